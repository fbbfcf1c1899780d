"""The ledger on SQLite: charges and counters in one transaction, each call counted once.

This is the hot path, so it speaks to the driver directly. A batch of new charges goes in with one statement; only when
some row was there already, or a span may belong to a call that another span reports too, are rows taken one by one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection

from p402.collector.pipeline.ports import Outcome
from p402.collector.pipeline.records import Recordable, WithoutUsage
from p402.collector.storage.charge_rows import CHARGE_COLUMNS, USAGE_COLUMNS, row_of, to_millis
from p402.collector.storage.counters import add_to_counters
from p402.collector.storage.database import Database
from p402.collector.storage.interned import Interned
from p402.vocabulary import MAX_ID_LENGTH
from p402.vocabulary.attributes import GEN_AI_REQUEST_MODEL

__all__ = ["SqliteLedger"]

_INSERT = (
    f"INSERT INTO charges ({', '.join(CHARGE_COLUMNS)}) VALUES ({', '.join('?' * len(CHARGE_COLUMNS))})"
    " ON CONFLICT DO NOTHING"
)
_USAGE = ", ".join(USAGE_COLUMNS)
_USAGE_AT = slice(CHARGE_COLUMNS.index(USAGE_COLUMNS[0]), CHARGE_COLUMNS.index(USAGE_COLUMNS[-1]) + 1)
_NESTED = (
    "WITH reports AS ("
    " SELECT span_key, parent_span_id, seq FROM charges WHERE span_key BETWEEN ? AND ? UNION ALL"
    " SELECT span_key, parent_span_id, charge_seq FROM set_aside WHERE span_key BETWEEN ? AND ?)"
    f" SELECT charges.seq, key_id, {_USAGE} FROM reports JOIN charges ON charges.seq = reports.seq"
    " WHERE (reports.parent_span_id = ? OR reports.span_key = ?) AND key_id IS ? ORDER BY charges.seq LIMIT 1"
)
"""The charge that a span around or inside this one reported, be it the charged span or one that was set aside."""

Row = tuple[Any, ...]


class SqliteLedger:
    """Implements `pipeline.ports.Ledger`."""

    def __init__(self, database: Database, after_commit: Callable[[], None]) -> None:
        self._database = database
        self._after_commit = after_commit
        self._interned = Interned()
        database.on_rollback(self._interned.forget)

    async def record(
        self, calls: Sequence[Recordable], without_usage: Sequence[WithoutUsage], at: datetime
    ) -> list[Outcome]:
        """Record a batch, see `pipeline.ports.Ledger`."""
        outcomes = await self._database.write(lambda connection: self._record(connection, calls, without_usage, at))
        if Outcome.CHARGED in outcomes:
            self._after_commit()
        return outcomes

    def _record(
        self, connection: Connection, calls: Sequence[Recordable], without_usage: Sequence[WithoutUsage], at: datetime
    ) -> list[Outcome]:
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        rows = [self._row(driver, call, at) for call in calls]
        outcomes = self._insert_together(driver, calls, rows)
        if outcomes is None:
            outcomes = [self._insert_one(driver, call, row, at) for call, row in zip(calls, rows, strict=True)]
        charged = [call for call, outcome in zip(calls, outcomes, strict=True) if outcome is Outcome.CHARGED]
        add_to_counters(driver, [call.charge for call in charged])
        for span in without_usage:
            model = span.span.attributes.get(GEN_AI_REQUEST_MODEL)
            detail = {"model": model[:MAX_ID_LENGTH] if isinstance(model, str) else None}
            _set_aside(driver, span.span.key, None, span.organisation, Outcome.NO_USAGE, None, detail, at)
            outcomes.append(Outcome.NO_USAGE)
        return outcomes

    def _row(self, driver: sqlite3.Connection, call: Recordable, at: datetime) -> Row:
        charge = call.charge
        return row_of(
            call,
            at,
            self._interned.scope(driver, charge.attribution),
            self._interned.model(driver, charge),
            self._interned.price_book(driver, charge.price) if charge.price else None,
        )

    @staticmethod
    def _insert_together(
        driver: sqlite3.Connection, calls: Sequence[Recordable], rows: list[Row]
    ) -> list[Outcome] | None:
        """Insert all rows at once; None, and nothing inserted, when they must be looked at one by one."""
        if any(call.may_nest for call in calls):
            return None
        driver.execute("SAVEPOINT together")
        inserted = driver.executemany(_INSERT, rows).rowcount if rows else 0
        if inserted != len(rows):
            driver.execute("ROLLBACK TO together")
        driver.execute("RELEASE together")
        return [Outcome.CHARGED] * len(rows) if inserted == len(rows) else None

    @staticmethod
    def _insert_one(driver: sqlite3.Connection, call: Recordable, row: Row, at: datetime) -> Outcome:
        usage = row[_USAGE_AT]
        query = f"SELECT seq, key_id, {_USAGE} FROM charges WHERE span_key = ?"
        known = driver.execute(query, (call.span.key,)).fetchone()
        outcome = Outcome.REPEATED
        if known is None:
            known, outcome = _charge_of_same_call(driver, call), Outcome.DUPLICATE
        if known is None:
            driver.execute(_INSERT, row)
            return Outcome.CHARGED
        seq, key_id, *its_usage = known
        if key_id != call.key_id or its_usage != list(usage):
            # Somebody else's span, or another claim: neither may replace or hide a charge.
            outcome = Outcome.QUARANTINED
        if outcome is not Outcome.REPEATED:
            detail = {"model": call.charge.model, **dict(zip(USAGE_COLUMNS, usage, strict=True))}
            organisation = call.charge.attribution.organisation or ""
            parent = call.span.parent_span_id if key_id == call.key_id else None
            _set_aside(driver, call.span.key, parent, organisation, outcome, seq, detail, at)
        return outcome


def _charge_of_same_call(driver: sqlite3.Connection, call: Recordable) -> Row | None:
    """Find the charge of the same provider's answer: by the answer's id, else by nesting within the trace.

    A model call never contains another one, so a span directly around or inside one that reported a charged call
    reports the same call.
    """
    if call.call_key is not None:
        query = f"SELECT seq, key_id, {_USAGE} FROM charges WHERE call_key = ?"
        if known := cast("Row | None", driver.execute(query, (call.call_key,)).fetchone()):
            return known
    if not call.may_nest:
        return None
    span = call.span
    within_trace = (span.trace_id, span.trace_id + b"\xff" * 8)
    around_or_inside = (span.span_id, span.trace_id + (span.parent_span_id or b""))
    return cast("Row | None", driver.execute(_NESTED, (*within_trace * 2, *around_or_inside, call.key_id)).fetchone())


def _set_aside(
    driver: sqlite3.Connection,
    span_key: bytes,
    parent_span_id: bytes | None,
    organisation: str,
    reason: Outcome,
    charge_seq: int | None,
    detail: dict[str, Any],
    at: datetime,
) -> None:
    driver.execute(
        "INSERT INTO set_aside (span_key, parent_span_id, organisation, reason, charge_seq, detail, recorded_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            span_key,
            parent_span_id,
            organisation,
            reason,
            charge_seq,
            json.dumps(detail, sort_keys=True),
            to_millis(at),
        ),
    )
