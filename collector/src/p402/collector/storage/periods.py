"""Closed periods: months whose totals stand in the log, and where a charge posts that came too late for one.

A charge posts to the month (UTC) in which its call began. If that month was closed before the charge was recorded, the
charge is an *adjustment*: it posts to the month in which it was recorded, and no closed total changes. Clocks of collectors
differ: a charge that comes after a close in the ledger was recorded later than that, whatever its clock said. Whether it is one
follows from the table ``closed_periods`` alone, so nothing is noted on charges. For a single charge there is `posting_of`,
for queries `posting_to`; both say the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, literal, or_, select

from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.log import append_entry
from p402.collector.storage.log_keys import AvailableKeys
from p402.collector.storage.log_tables import closed_periods
from p402.collector.storage.tables import charges, scopes
from p402.receipts import Entry, EntryPlace, period_close_entry
from p402.vocabulary import Money, Permanent, rfc3339

__all__ = [
    "ClosedPeriod",
    "PeriodNotOver",
    "Posting",
    "close_period",
    "closed_periods_of",
    "last_close",
    "period_bounds",
    "period_of",
    "posting_of",
    "posting_to",
    "recorded_after_closes",
]

_PERIOD = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_DECEMBER = 12


class PeriodNotOver(Permanent):
    """A period can be closed after its last moment, not before."""


@dataclass(frozen=True, slots=True)
class ClosedPeriod:
    """A month whose totals are final."""

    period: str
    """``2026-10``, in UTC."""
    closed_at: datetime
    closed_by: str | None
    """Id of the API key."""
    charges: int
    """Of the calls that began in it and were recorded by the close."""
    unpriced_charges: int
    cost: Money
    through_seq: int
    """Sequence number of the last charge that was looked at; a later one is an adjustment."""
    entry_seq: int
    """The log's entry about it."""


@dataclass(frozen=True, slots=True)
class Posting:
    """Where a charge posts."""

    period: str
    adjustment: bool
    """Whether it came too late for the period in which its call began."""


def period_of(moment: datetime) -> str:
    """Give the period of a time: ``2026-10``."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def period_bounds(period: str) -> tuple[datetime, datetime]:
    """Give the first moment of a period, and the first one after it.

    Raises:
        ValueError: if it is not written like ``2026-10``.
    """
    match = _PERIOD.fullmatch(period)
    if match is None or match[1] in {"0000", "9999"}:
        raise ValueError(f"a period is a month such as 2026-10; got {period[:20]!r}")
    year, month = int(match[1]), int(match[2])
    following = (year + 1, 1) if month == _DECEMBER else (year, month + 1)
    return datetime(year, month, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)


def posting_of(seq: int, started_at: datetime, recorded_at: datetime, closed: Mapping[str, ClosedPeriod]) -> Posting:
    """Tell to which period a charge posts, and whether it is an adjustment (pure).

    Args:
        seq: the charge's sequence number in the ledger.
        started_at: when its call began.
        recorded_at: when it was recorded (column ``recorded_at`` of ``charges``).
        closed: the closed periods of its organisation, from `closed_periods_of`.
    """
    begun = period_of(started_at)
    known = closed.get(begun)
    if known is None or seq <= known.through_seq:
        return Posting(begun, adjustment=False)
    return Posting(period_of(max(recorded_at, last_close(seq, closed) or recorded_at)), adjustment=True)


def last_close(seq: int, closed: Mapping[str, ClosedPeriod]) -> datetime | None:
    """Give when the last period was closed of those that were before a charge was recorded; None: there were none."""
    return max((it.closed_at for it in closed.values() if seq > it.through_seq), default=None)


def recorded_after_closes(closed: Mapping[str, ClosedPeriod]) -> ColumnElement[int]:
    """Give the milliseconds of `charges` at which an adjustment was recorded: not before the last close before it."""
    newest_first = sorted(closed.values(), key=lambda it: it.closed_at, reverse=True)
    recorded: ColumnElement[int] = charges.c.recorded_at
    if not newest_first:
        return recorded
    closes = [(charges.c.seq > it.through_seq, literal(to_millis(it.closed_at))) for it in newest_first]
    known = case(*closes, else_=recorded)
    return case((recorded > known, recorded), else_=known)


def posting_to(period: str, closed: Mapping[str, ClosedPeriod]) -> ColumnElement[bool]:
    """Give the condition on ``charges`` that keeps those that post to a period, adjustments of others included.

    Args:
        period: which one.
        closed: the closed periods of the organisation that the query is about, from `closed_periods_of`.
    """
    begin, end = (to_millis(bound) for bound in period_bounds(period))
    recorded = and_(recorded_after_closes(closed) >= begin, recorded_after_closes(closed) < end)
    ways = [_begun_in(period)]
    if period in closed:
        ways = [and_(_begun_in(period), charges.c.seq <= closed[period].through_seq)]
    ways += [and_(recorded, _begun_in(other), charges.c.seq > it.through_seq) for other, it in closed.items()]
    return or_(*ways)


def closed_periods_of(connection: Connection, organisation: str) -> dict[str, ClosedPeriod]:
    """Give the closed periods of an organisation by name, the earliest first."""
    query = select(closed_periods).where(closed_periods.c.organisation == organisation)
    return {
        row.period: ClosedPeriod(
            period=row.period,
            closed_at=from_millis(row.closed_at),
            closed_by=row.closed_by,
            charges=row.charges,
            unpriced_charges=row.unpriced_charges,
            cost=Money(row.cost_nano_usd),
            through_seq=row.through_seq,
            entry_seq=row.entry_seq,
        )
        for row in connection.execute(query.order_by(closed_periods.c.period))
    }


def close_period(
    connection: Connection, organisation: str, period: str, keys: AvailableKeys, at: datetime, closed_by: str | None
) -> ClosedPeriod:
    """Close a period: its totals are computed, kept, and appended to the log. Closing it again changes nothing.

    Raises:
        ValueError: if it is no period.
        PeriodNotOver: saying when it will be.
        LogOfAnotherKey: if the log's key is not at hand.
    """
    _, end = period_bounds(period)
    if at < end:
        raise PeriodNotOver(f"The period {period} is not over: it can be closed from {rfc3339(end)} on.")
    known = closed_periods_of(connection, organisation).get(period)
    if known is not None:
        return known
    through = connection.execute(select(func.max(charges.c.seq))).scalar() or 0
    count, priced, cost = connection.execute(
        select(func.count(), func.count(charges.c.cost_nano_usd), func.sum(charges.c.cost_nano_usd))
        .select_from(charges.join(scopes, charges.c.scope_id == scopes.c.id))
        .where(scopes.c.organisation == organisation, _begun_in(period), charges.c.seq <= through)
    ).one()
    totals: dict[str, int] = {"charges": count, "unpriced_charges": count - priced, "through_seq": through}
    spent = Money(int(cost or 0))

    def make(seq: int, prev: bytes) -> Entry:
        return period_close_entry(
            EntryPlace(organisation=organisation, seq=seq, prev=prev, issued_at=at), period=period, cost=spent, **totals
        )

    entry = append_entry(connection, organisation, "period-close", make, keys, at)
    closed = ClosedPeriod(period=period, closed_at=at, closed_by=closed_by, cost=spent, entry_seq=entry.seq, **totals)
    connection.execute(
        insert(closed_periods).values(
            organisation=organisation,
            period=period,
            closed_at=to_millis(at),
            closed_by=closed_by,
            cost_nano_usd=spent.nano_usd,
            entry_seq=entry.seq,
            **totals,
        )
    )
    return closed


def _begun_in(period: str) -> ColumnElement[bool]:
    begin, end = period_bounds(period)
    return and_(charges.c.started_at >= to_millis(begin), charges.c.started_at < to_millis(end))
