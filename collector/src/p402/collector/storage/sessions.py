"""Sessions: implements `sessions.ports.SessionStore`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from p402.collector.notifications.events import Event, EventType
from p402.collector.sessions.ports import MakeReceipt, OpenPart
from p402.collector.sessions.track import SessionRules, due_at
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.charges import charges_joined, charges_of
from p402.collector.storage.database import Database
from p402.collector.storage.driver import Driver, driver, upsert
from p402.collector.storage.log import LogWriter, Signers
from p402.collector.storage.outbox import publish
from p402.collector.storage.suppressions import Suppressions
from p402.collector.storage.tables import charges, closings, cursors, scopes, sessions
from p402.collector.storage.vault import Kept, Vault, subject_of_session
from p402.receipts import CORRECTION_TYPE, RECEIPT_TYPE, ClosedBy, SealedReceipt
from p402.receipts.errors import NotSealable
from p402.vocabulary import Level, Money

__all__ = ["FOLLOWER", "SqlSessions"]

AnyRow = Row[*tuple[Any, ...]]

FOLLOWER = "sessions"
_SESSION = select(sessions).where(sessions.c.scope_id == bindparam("scope"))
_UNSEALED = (
    charges_joined()
    .where(charges.c.scope_id == bindparam("scope"), charges.c.seq > bindparam("after"))
    .order_by(charges.c.seq)
)
_KNOWN = "SELECT opened_at, last_seen_at, due_at, sealed_through_seq FROM sessions WHERE scope_id = ?"
_CLOSED = (
    "SELECT requested_at FROM closings JOIN scopes ON scopes.organisation = closings.organisation"
    " AND scopes.session = closings.session WHERE scopes.id = ?"
)
_SAW = (
    "INSERT INTO sessions (scope_id, opened_at, last_seen_at, due_at, sealed_through_seq, parts) VALUES (?, ?, ?, ?, 0, 0)"
    " ON CONFLICT (scope_id) DO UPDATE SET opened_at = excluded.opened_at, last_seen_at = excluded.last_seen_at,"
    " due_at = excluded.due_at"
)
_LEVELS_DOWN = {level.value: depth for depth, level in enumerate(Level)}


class SqlSessions:
    """The sessions, and their receipts in the log."""

    def __init__(self, database: Database, signers: Signers, vault: Vault, suppressions: Suppressions) -> None:
        self._database = database
        self._signers = signers
        self._vault = vault
        self._suppressions = suppressions

    async def follow(self, rules: SessionRules, limit: int) -> int:
        """Take the next recorded charges into their sessions."""
        return await self._database.write(lambda connection: _follow(connection, rules, limit))

    async def request_close(self, organisation: str, session: str, rules: SessionRules, at: datetime) -> int:
        """Note that a session is over."""

        def change(connection: Connection) -> int:
            known_as = self._suppressions.sessions(driver(connection), organisation, session)
            for name in known_as:
                key = {"organisation": organisation, "session": name}
                closing = upsert(connection, closings).values(**key, requested_at=to_millis(at))
                latest = {"requested_at": closing.excluded.requested_at}
                connection.execute(closing.on_conflict_do_update(index_elements=list(key), set_=latest))
            of_them = scopes.c.organisation == organisation, scopes.c.session.in_(known_as)
            open_parts = connection.execute(
                select(sessions).join(scopes).where(*of_them, sessions.c.due_at.is_not(None))
            ).all()
            for part in open_parts:
                due = due_at(rules, from_millis(part.opened_at), from_millis(part.last_seen_at), at)
                connection.execute(_at(part.scope_id).values(due_at=to_millis(due)))
            return len(open_parts)

        return await self._database.write(change)

    async def due(self, at: datetime, limit: int) -> list[int]:
        """Give sessions whose open part is to be sealed."""
        query = (
            select(sessions.c.scope_id)
            .where(sessions.c.due_at <= to_millis(at))
            .order_by(sessions.c.due_at, sessions.c.scope_id)
        )
        return await self._database.read(lambda connection: list(connection.execute(query.limit(limit)).scalars()))

    async def count_open(self) -> int:
        """Count the sessions with an open part."""
        query = select(func.count()).where(sessions.c.due_at.is_not(None))
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def seal(self, scope_ids: Sequence[int], make: MakeReceipt, at: datetime) -> list[SealedReceipt]:
        """Seal the open parts of sessions; each log gets one checkpoint."""

        def change(connection: Connection) -> list[SealedReceipt]:
            logs: dict[str, LogWriter] = {}
            sealed = [self._seal(connection, logs, scope_id, make, at) for scope_id in scope_ids]
            for log in logs.values():
                log.sign()
            return [receipt for receipt in sealed if receipt is not None]

        return await self._database.write(change)

    def _seal(
        self, connection: Connection, logs: dict[str, LogWriter], scope_id: int, make: MakeReceipt, at: datetime
    ) -> SealedReceipt | None:
        session = connection.execute(_SESSION, {"scope": scope_id}).one()
        if session.due_at is None or session.due_at > to_millis(at):
            return None
        rows = _unsealed(connection, session)
        unsealed = len(rows)
        organisation = rows[0]["organisation"]
        log = logs.get(organisation)
        if log is None:
            log = logs[organisation] = LogWriter(connection, organisation, self._signers.signer(organisation), at)
        while True:
            part = _open_part(connection, session, rows)
            try:
                receipt = log.append(CORRECTION_TYPE if part.correction else RECEIPT_TYPE, partial(make, part))
                break
            except NotSealable:  # more models or rationales than an entry holds: the rest becomes the next part
                if len(rows) == 1:
                    raise
                rows = rows[: len(rows) // 2]
        cost = Money(sum(charge.cost.nano_usd for charge in part.charges if charge.cost))
        sql = driver(connection)
        sql.execute(
            "INSERT INTO receipts (id, organisation, seq, scope_id, issued_at, cost_nano_usd) VALUES (?, ?, ?, ?, ?, ?)",
            (receipt.receipt_id, organisation, receipt.seq, scope_id, to_millis(at), cost.nano_usd),
        )
        whose = part.charges[0].attribution
        subject = subject_of_session(whose.employee, whose.session)
        kept = [Kept(disclosure, subject) for disclosure in receipt.disclosures]
        self._vault.keep(connection, organisation, receipt.seq, kept)
        publish(connection, _issued(part, receipt, cost, at))
        sql.execute(
            "UPDATE sessions SET due_at = ?, sealed_through_seq = ?, parts = ?, first_receipt_id = ? WHERE scope_id = ?",
            (
                None if len(rows) == unsealed else to_millis(at),
                rows[-1]["seq"],
                part.part,
                session.first_receipt_id or receipt.receipt_id,
                scope_id,
            ),
        )
        return receipt


def _at(scope_id: int) -> Any:
    return update(sessions).where(sessions.c.scope_id == scope_id)


def _follow(connection: Connection, rules: SessionRules, limit: int) -> int:
    after = connection.execute(select(cursors.c.seq).where(cursors.c.follower == FOLLOWER)).scalar() or 0
    query = select(charges.c.seq, charges.c.scope_id, charges.c.recorded_at).where(charges.c.seq > after)
    rows = connection.execute(query.order_by(charges.c.seq).limit(limit)).all()
    if not rows:
        return 0
    by_scope: dict[int, list[AnyRow]] = {}
    for row in rows:
        by_scope.setdefault(row.scope_id, []).append(row)
    sql = driver(connection)
    saw = [_saw(sql, rules, scope_id, new) for scope_id, new in by_scope.items()]
    sql.executemany(_SAW, [session for session in saw if session is not None])
    cursor = upsert(connection, cursors).values(follower=FOLLOWER, seq=rows[-1].seq)
    moved = {"seq": cursor.excluded.seq}
    connection.execute(cursor.on_conflict_do_update(index_elements=["follower"], set_=moved))
    return len(rows)


def _saw(sql: Driver, rules: SessionRules, scope_id: int, new: Sequence[AnyRow]) -> tuple[int, ...] | None:
    """Give the row of a session with charges that are new; None if its receipt covers them already."""
    known = sql.execute(_KNOWN, (scope_id,)).fetchone()
    first, last = min(row.recorded_at for row in new), max(row.recorded_at for row in new)
    if known is not None:
        opened_at, last_seen_at, due, sealed_through_seq = known
        if new[-1].seq <= sealed_through_seq:
            return None  # the receipt was faster than this follower
        if due is not None:
            first, last = min(first, opened_at), max(last, last_seen_at)
    closing = sql.execute(_CLOSED, (scope_id,)).fetchone()
    closed_at = None if closing is None else from_millis(closing[0])
    return scope_id, first, last, to_millis(due_at(rules, from_millis(first), from_millis(last), closed_at))


def _unsealed(connection: Connection, session: AnyRow) -> Sequence[Any]:
    place = {"scope": session.scope_id, "after": session.sealed_through_seq}
    return connection.execute(_UNSEALED, place).mappings().all()


def _open_part(connection: Connection, session: AnyRow, rows: Sequence[Any]) -> OpenPart:
    organisation, name = rows[0]["organisation"], rows[0]["session"]
    query = "SELECT requested_at FROM closings WHERE organisation = ? AND session = ?"
    closed = driver(connection).execute(query, (organisation, name)).fetchone()
    corrected = _corrected(connection, session.scope_id, rows)
    verified = min((row["verified_through"] for row in rows), key=lambda level: _LEVELS_DOWN.get(level, -1))
    return OpenPart(
        organisation=organisation,
        charges=charges_of(rows),
        part=session.parts + 1,
        supplements=corrected or session.first_receipt_id,
        correction=corrected is not None,
        closed_by=ClosedBy.IDLE if closed is None else ClosedBy.API,
        verified_through=None if verified is None else Level(verified),
    )


def _corrected(connection: Connection, scope_id: int, rows: Sequence[Any]) -> str | None:
    """Give the receipt that should have had these calls; None if one of them began after the last part was sealed.

    It is the first one of the session that was sealed after all of them had begun.
    """
    begun = max(row["started_at"] for row in rows)
    query = "SELECT id FROM receipts WHERE scope_id = ? AND issued_at > ? ORDER BY seq LIMIT 1"
    found = driver(connection).execute(query, (scope_id, begun)).fetchone()
    return found[0] if found else None


def _issued(part: OpenPart, receipt: SealedReceipt, cost: Money, at: datetime) -> Event:
    whose = part.charges[0].attribution
    kind = CORRECTION_TYPE if part.correction else RECEIPT_TYPE
    return Event(
        EventType.RECEIPT_ISSUED,
        part.organisation,
        {
            "summary": f"A {kind} over ${cost} was issued: {receipt.receipt_id}.",
            "receipt_id": receipt.receipt_id,
            "type": kind,
            "seq": receipt.seq,
            "department": whose.department,
            "project": whose.project,
            "client": whose.client,
            "cost_usd": str(cost),
            "leaf_hash": receipt.leaf_hash.hex(),
        },
        at,
        dedupe_key=receipt.receipt_id,
    )
