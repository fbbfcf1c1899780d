"""Reading sessions: whose they are, how far they have come, what they cost, and what was decided in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select

from p402.collector.storage.charge_rows import charge_of, from_millis
from p402.collector.storage.charges import charges_joined, within_scope
from p402.collector.storage.decision_rows import Decided, attribution_of, decisions_about, decisions_between
from p402.collector.storage.driver import driver
from p402.collector.storage.tables import charges, receipts, scopes, sessions
from p402.vocabulary import Attribution, Charge, Level, Money

__all__ = [
    "ListedSession",
    "charges_of_sessions",
    "decisions_of_owner",
    "decisions_of_session",
    "is_within",
    "sessions_page",
]

_AROUND = timedelta(hours=1)  # a decision is made before its call begins, and calls end before they are recorded
_MOST_DECISIONS = 10_000  # that are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession:
    """A session of one owner at every level; the same id with another owner is another one."""

    number: int
    """In the order in which they were first seen."""
    owner: Attribution
    opened_at: datetime
    """Of the part that is open now, or was last."""
    last_seen_at: datetime
    due_at: datetime | None
    """When the open part gets its receipt; None: no part is open."""
    calls: int
    unpriced_calls: int
    cost: Money
    receipts: tuple[str, ...]
    """Ids, in the order of the log."""


def sessions_page(
    connection: Connection, within: Attribution, narrowed: Attribution, after: int, limit: int, *, open_: bool | None
) -> list[ListedSession]:
    """Give sessions within a part of the tree, in the order in which they were first seen."""
    levels = [scopes.c[level.value] for level in Level if level is not Level.REQUEST]
    query = select(sessions, *levels).join(scopes, sessions.c.scope_id == scopes.c.id)
    query = query.where(sessions.c.scope_id > after, *within_scope(within), *within_scope(narrowed))
    if open_ is not None:
        query = query.where(sessions.c.due_at.is_not(None) if open_ else sessions.c.due_at.is_(None))
    rows = connection.execute(query.order_by(sessions.c.scope_id).limit(limit)).all()
    numbers = [row.scope_id for row in rows]
    sums = (func.count(), func.count(charges.c.cost_nano_usd), func.coalesce(func.sum(charges.c.cost_nano_usd), 0))
    spent = select(charges.c.scope_id, *sums).where(charges.c.scope_id.in_(numbers)).group_by(charges.c.scope_id)
    by_number = {number: rest for number, *rest in connection.execute(spent).all()}
    issued: dict[int, list[str]] = {}
    found = select(receipts.c.scope_id, receipts.c.id).where(receipts.c.scope_id.in_(numbers))
    for number, receipt_id in connection.execute(found.order_by(receipts.c.seq)):
        issued.setdefault(number, []).append(receipt_id)
    return [_listed(row, by_number.get(row.scope_id, (0, 0, 0)), issued.get(row.scope_id, ())) for row in rows]


def is_within(connection: Connection, organisation: str, session: str, within: Attribution) -> bool:
    """Tell whether all calls of a session are within a part of the tree; one that nobody knows yet is."""
    of_session = scopes.c.organisation == organisation, scopes.c.session == session
    count = select(func.count()).select_from(scopes).where(*of_session)
    return connection.execute(count).scalar_one() == connection.execute(count.where(*within_scope(within))).scalar_one()


def charges_of_sessions(
    connection: Connection, numbers: Sequence[int], after: int, limit: int
) -> list[tuple[int, int, Charge]]:
    """Give the charges of sessions together in the order of recording, each with its session and its sequence number."""
    query = charges_joined().where(charges.c.scope_id.in_(numbers), charges.c.seq > after)
    rows = connection.execute(query.order_by(charges.c.seq).limit(limit)).mappings()
    return [(row["scope_id"], row["seq"], charge_of(dict(row))) for row in rows]


def decisions_of_session(
    connection: Connection, listed: ListedSession, called: Sequence[Charge], sharing: int = 1
) -> list[Decided]:
    """Give what was decided about calls of a session, around the time of the calls that are shown; refusals too.

    ``sharing`` is how many sessions are shown: together they look through no more decisions than one.
    """
    if not called:
        return []
    first, last = min(charge.started_at for charge in called), max(charge.ended_at for charge in called)
    begin, end = first - _AROUND, max(last, listed.last_seen_at) + _AROUND
    return decisions_of_owner(connection, listed.owner, begin, end, _MOST_DECISIONS // sharing)


def decisions_of_owner(
    connection: Connection, owner: Attribution, begin: datetime, end: datetime, limit: int
) -> list[Decided]:
    """Give what was decided in a period about calls of one owner at every level, session included; refusals too."""
    sql, organisation = driver(connection), owner.organisation or ""
    if owner.session is None:
        found = decisions_between(sql, organisation, begin, end, limit)
    else:
        found = decisions_about(sql, organisation, owner.session, begin, end, limit)
    return [decided for decided in found if attribution_of(decided) == owner]


def _listed(row: Row[Any], spent: Sequence[Any], issued: Sequence[str]) -> ListedSession:
    calls, priced, cost = spent
    levels = {level.value: getattr(row, level.value) or None for level in Level if level is not Level.REQUEST}
    return ListedSession(
        number=row.scope_id,
        owner=Attribution(**levels),
        opened_at=from_millis(row.opened_at),
        last_seen_at=from_millis(row.last_seen_at),
        due_at=None if row.due_at is None else from_millis(row.due_at),
        calls=calls,
        unpriced_calls=calls - priced,
        cost=Money(int(cost)),
        receipts=tuple(issued),
    )
