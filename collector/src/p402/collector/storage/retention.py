"""Deletes what is past its time, some rows in each change; what a legal hold covers stays.

Implements `privacy.ports.Pruner`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from p402.collector.privacy.holds import Hold, matters_over
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.erasure_entries import record_erased
from p402.collector.storage.holds import active_holds
from p402.collector.storage.log import Signers
from p402.collector.storage.vault import Vault, forget_unused_keys
from p402.vocabulary import Attribution, IdFactory, Level

__all__ = ["RetentionRules", "SqlRetention"]

_WINDOW = 2_000  # rows that are looked at in one step

_DECISIONS = "SELECT id, organisation, question, decided_at FROM decisions WHERE {window} AND decided_at < ?"
_LEASES = (
    "SELECT id, organisation, attribution, changed_at FROM leases WHERE {window} AND changed_at < ? AND state = 'closed'"
    " AND NOT EXISTS (SELECT 1 FROM decisions WHERE lease_id = leases.id)"
)
_EVENTS = (
    "SELECT seq, organisation, payload, at FROM events WHERE {window} AND at < ? AND spread_at IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event_seq = events.seq AND state = 'pending')"
)
_WEB_SESSIONS = "SELECT id FROM web_sessions WHERE {window} AND expires_at < ?"
_RECEIPTS = (
    "SELECT receipts.id, receipts.organisation, receipts.seq, department, project, client, employee, session, issued_at,"
    " (SELECT MIN(started_at) FROM charges WHERE charges.scope_id = receipts.scope_id)"
    " FROM receipts JOIN scopes ON scopes.id = receipts.scope_id WHERE {window} AND issued_at < ?"
)
_WITH_DISCLOSURES = (
    " AND (EXISTS (SELECT 1 FROM vault WHERE vault.organisation = receipts.organisation AND vault.seq = receipts.seq)"
    " OR EXISTS (SELECT 1 FROM receipt_reviews JOIN vault ON vault.organisation = receipt_reviews.organisation"
    " AND vault.seq = receipt_reviews.seq WHERE receipt_reviews.receipt_id = receipts.id))"
)

Key = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """How long things are kept; None: for ever."""

    disclosures: timedelta | None
    receipts: timedelta | None
    operations: timedelta


@dataclass(frozen=True, slots=True)
class _Held:
    """Asks the holds of each organisation, which are read once."""

    connection: Connection
    vault: Vault
    holds: dict[str, list[Hold]]

    def __call__(self, whose: Attribution, first: int, last: int) -> bool:
        organisation = whose.organisation or ""
        if organisation not in self.holds:
            self.holds[organisation] = active_holds(self.connection, organisation)
        found = self.holds[organisation]
        return bool(found) and bool(matters_over(found, whose, first, last, self.vault.keys.locate))


@dataclass(frozen=True, slots=True)
class _Step:
    """One kind of rows: where they are, which of them are past their time, and how they are deleted."""

    table: str
    key: str
    first: Key
    """Smaller than every key."""
    query: str
    keep: timedelta
    delete: Callable[[Connection, Sequence[Any], datetime], None]


class SqlRetention:
    """A pass over everything that is kept for a while only, from one window of rows to the next."""

    def __init__(
        self, database: Database, vault: Vault, signers: Signers, rules: RetentionRules, new_id: IdFactory
    ) -> None:
        self._database = database
        self._vault = vault
        self._signers = signers
        self._new_id = new_id
        self._steps = [
            _Step("decisions", "id", "", _DECISIONS, rules.operations, self._decisions),
            _Step("leases", "id", "", _LEASES, rules.operations, self._leases),
            _Step("events", "seq", -1, _EVENTS, rules.operations, self._events),
            _Step("web_sessions", "id", "", _WEB_SESSIONS, rules.operations, _web_sessions),
        ]
        if rules.receipts is not None:
            delete = partial(self._receipts, rules.receipts)
            self._steps.append(_Step("receipts", "id", "", _RECEIPTS, rules.receipts, delete))
        if rules.disclosures is not None:
            delete = partial(self._disclosures, rules.disclosures)
            query = _RECEIPTS + _WITH_DISCLOSURES
            self._steps.append(_Step("receipts", "id", "", query, rules.disclosures, delete))
        self._step = 0
        self._after: Key | None = None

    async def prune_some(self, at: datetime) -> bool:
        """Look at the next window, and delete of it; tells whether there may be more."""
        step = self._steps[self._step]
        after = step.first if self._after is None else self._after
        last, rows = await self._database.read(lambda connection: _window(driver(connection), step, after, at))
        if rows:
            await self._database.write(lambda connection: step.delete(connection, rows, at))
        if last is not None:
            self._after = last
            return True
        self._step, self._after = (self._step + 1) % len(self._steps), None
        return self._step != 0

    def _decisions(self, connection: Connection, rows: Sequence[Any], _: datetime) -> None:
        driver(connection).executemany("DELETE FROM decisions WHERE id = ?", self._free(connection, rows))

    def _leases(self, connection: Connection, rows: Sequence[Any], _: datetime) -> None:
        sql, gone = driver(connection), self._free(connection, rows)
        sql.executemany("DELETE FROM lease_holds WHERE lease_id = ?", gone)
        sql.executemany("DELETE FROM leases WHERE id = ?", gone)

    def _events(self, connection: Connection, rows: Sequence[Any], _: datetime) -> None:
        sql, gone = driver(connection), self._free(connection, rows)
        sql.executemany("DELETE FROM deliveries WHERE event_seq = ?", gone)
        sql.executemany("DELETE FROM events WHERE seq = ?", gone)

    def _disclosures(self, keep: timedelta, connection: Connection, rows: Sequence[Any], at: datetime) -> None:
        free = self._free_receipts(connection, rows)
        self._delete_disclosures(connection, free, f"retention of {keep.days} days", at)

    def _receipts(self, keep: timedelta, connection: Connection, rows: Sequence[Any], at: datetime) -> None:
        sql, free = driver(connection), self._free_receipts(connection, rows)
        self._delete_disclosures(connection, free, f"retention of {keep.days} days", at)
        for receipt_id, organisation, seq in free:
            sql.execute("DELETE FROM receipt_reviews WHERE receipt_id = ?", (receipt_id,))
            sql.execute("DELETE FROM receipts WHERE id = ?", (receipt_id,))
            # Its leaf hash stays in the tree, so every other proof does too.
            sql.execute("UPDATE log_entries SET body = ? WHERE organisation = ? AND seq = ?", (b"", organisation, seq))

    def _free(self, connection: Connection, rows: Sequence[Any]) -> list[tuple[Key]]:
        """Give the keys of rows that no hold covers: key, organisation, JSON with levels, time."""
        held = _Held(connection, self._vault, {})
        return [
            (key,)
            for key, organisation, document, moment in rows
            if not held(_levels(json.loads(document), organisation), moment, moment)
        ]

    def _free_receipts(self, connection: Connection, rows: Sequence[Any]) -> list[tuple[str, str, int]]:
        held = _Held(connection, self._vault, {})
        free = []
        for receipt_id, organisation, seq, department, project, client, employee, session, issued_at, first in rows:
            levels = (level or None for level in (department, project, client, employee, session))
            if not held(Attribution(organisation, *levels), min(first or issued_at, issued_at), issued_at):
                free.append((receipt_id, organisation, int(seq)))
        return free

    def _delete_disclosures(
        self, connection: Connection, receipts: Sequence[tuple[str, str, int]], basis: str, at: datetime
    ) -> None:
        """Delete what is personal of receipts and of their reviews, and say so in their logs."""
        sql = driver(connection)
        digests: dict[str, list[str]] = {}
        for receipt_id, organisation, seq in receipts:
            rows = sql.execute(
                "SELECT id, digest, subject_id FROM vault WHERE organisation = ? AND (seq = ? OR seq IN"
                " (SELECT seq FROM receipt_reviews WHERE receipt_id = ?))",
                (organisation, seq, receipt_id),
            ).fetchall()
            sql.executemany("DELETE FROM vault WHERE id = ?", [(vault_id,) for vault_id, _, _ in rows])
            forget_unused_keys(sql, {subject_id for _, _, subject_id in rows})
            if rows:
                digests.setdefault(organisation, []).extend(digest for _, digest, _ in rows)
        for organisation, gone in digests.items():
            record_erased(
                connection,
                self._vault,
                self._signers,
                organisation,
                self._new_id("era", at),
                legal_basis=basis,
                digests=gone,
                held_back=0,
                by=None,
                at=at,
            )


def _web_sessions(connection: Connection, rows: Sequence[Any], _: datetime) -> None:
    """Delete whole: what somebody did in one is in the audit trail and the access log."""
    driver(connection).executemany("DELETE FROM web_sessions WHERE id = ?", [(row[0],) for row in rows])


def _window(sql: Driver, step: _Step, after: Key, at: datetime) -> tuple[Key | None, Sequence[Any]]:
    """Read the rows of the next window that are past their time; gives the window's end too, None after the last."""
    key = f"{step.table}.{step.key}"
    [(last,)] = sql.execute(
        f"SELECT MAX(found) FROM (SELECT {key} AS found FROM {step.table} WHERE {key} > ? ORDER BY {key} LIMIT {_WINDOW})"
        " AS keys",
        (after,),
    ).fetchall()
    if last is None:
        return None, ()
    query = step.query.format(window=f"{key} > ? AND {key} <= ?")
    return last, sql.execute(query, (after, last, to_millis(at - step.keep))).fetchall()


def _levels(document: Any, organisation: str) -> Attribution:
    said = {level.value: document.get(level.value) for level in Level if level is not Level.REQUEST}
    known = Attribution(**{name: value if isinstance(value, str) else None for name, value in said.items()})
    return known.over(Attribution(organisation=organisation))
