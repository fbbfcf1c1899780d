"""The log of sessions for people: the newest or the dearest first, each with its receipts and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, or_, select

from p402.collector.anomalies.ports import AnomalyState
from p402.collector.storage.calls import Place, conditions_of
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.charges import within_scope
from p402.collector.storage.event_tables import anomalies
from p402.collector.storage.narrowing import begins_with, few, few_owners, is_few, unindexed
from p402.collector.storage.receipt_reviews import reviews_of
from p402.collector.storage.tables import charges, models, receipts, scopes, sessions
from p402.collector.storage.usage_tables import usage_sessions
from p402.collector.usage.slices import Dimension, Period
from p402.receipts import ReviewAction
from p402.vocabulary import Attribution, Level, Money

__all__ = ["LoggedSession", "SessionFilter", "session_log", "sessions_called"]

_OF_CALLS = (Dimension.PROVIDER, Dimension.MODEL, Dimension.TASK_TYPE)
_MOST_CALLS = 2_000  # of a session whose models are looked for
_MOST_OF_ONE_ID = 100
_LEVELS = tuple(level.value for level in Level if level is not Level.REQUEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions are asked for."""

    within: Attribution
    """The part of the tree that may be seen; it names the organisation."""
    period: Period
    """In which the last call began."""
    only: Mapping[Dimension, str] = field(default_factory=dict)
    begins: str = ""
    """How the id begins."""
    open_: bool | None = None
    """Whether a part waits for its receipt; None: either."""
    dearest: bool = False
    """Whether the dearest come first, and not the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedSession:
    """A session of one owner at every level; the same id with another owner is another one."""

    number: int
    owner: Attribution
    first_at: datetime
    last_at: datetime
    """When its first and its last call began."""
    cost: Money
    calls: int
    unpriced_calls: int
    input_tokens: int
    output_tokens: int
    due_at: datetime | None
    """When the open part gets its receipt; None: no part is open."""
    models: tuple[str, ...] | None
    """That answered; None: there are too many calls to look through."""
    receipts: tuple[tuple[str, bool], ...]
    """Ids in the order of the log, each with whether it is anchored."""
    anomalies: tuple[AnomalyState, ...]
    review: ReviewAction | None
    """The last step of a review of its receipts that says more than a comment."""

    @property
    def state(self) -> str:
        """How far its proof is: ``open``, ``sealed``, ``anchored``."""
        if self.due_at is not None or not self.receipts:
            return "open"
        return "anchored" if all(anchored for _, anchored in self.receipts) else "sealed"


def session_log(
    connection: Connection, asked: SessionFilter, before: Place | None, limit: int
) -> list[tuple[Place, LoggedSession]]:
    """Give sessions that had a call in the period as their last, each with its place for the next page."""
    organisation = asked.within.organisation or ""
    owners = [*_within(asked.within), *conditions_of(asked.only, but=_OF_CALLS)]
    if asked.begins:
        owners += begins_with(connection, asked.begins)
    key = usage_sessions.c.cost_nano_usd if asked.dearest else usage_sessions.c.last_at
    numbers = few_owners(connection, organisation, owners)
    if numbers is None and asked.open_:
        numbers = few(connection, select(sessions.c.scope_id).where(sessions.c.due_at >= 0))
    if numbers == []:
        return []
    query = _joined().where(*owners, *_in_period(connection, organisation, asked, numbers))
    if asked.open_ is not None:
        query = query.where(sessions.c.due_at.is_not(None) if asked.open_ else sessions.c.due_at.is_(None))
    of_calls = conditions_of({name: value for name, value in asked.only.items() if name in _OF_CALLS})
    if of_calls:
        called = select(charges.c.seq).join(models, charges.c.model_id == models.c.id)
        query = query.where(exists(called.where(charges.c.scope_id == usage_sessions.c.scope_id, *of_calls)))
    if before is not None:
        same = and_(key == before.started_at, usage_sessions.c.scope_id < before.seq)
        query = query.where(key <= before.started_at, or_(key < before.started_at, same))
    rows = connection.execute(query.order_by(key.desc(), usage_sessions.c.scope_id.desc()).limit(limit)).all()
    places = [Place(row.cost_nano_usd if asked.dearest else row.last_at, row.scope_id) for row in rows]
    return list(zip(places, _logged(connection, rows), strict=True))


def sessions_called(connection: Connection, within: Attribution, session: str) -> list[LoggedSession]:
    """Give the sessions of an id, one for each owner, the one with the newest call first."""
    of_id = (scopes.c.organisation == within.organisation, scopes.c.session == session, *_within(within))
    query = _joined().where(*of_id).order_by(usage_sessions.c.last_at.desc(), usage_sessions.c.scope_id.desc())
    return _logged(connection, connection.execute(query.limit(_MOST_OF_ONE_ID)).all())


def _in_period(
    connection: Connection, organisation: str, asked: SessionFilter, numbers: Sequence[int] | None
) -> list[ColumnElement[bool]]:
    """Give the conditions on the usage of sessions, such that few rows are read for a page.

    Those that are numbered, if they are few; else those of the period, if their order is of time or they are few; else the
    dearest of all, of which enough are of the period.
    """
    own = usage_sessions.c.organisation == organisation
    last_at: ColumnElement[int] = usage_sessions.c.last_at
    begin, end = to_millis(asked.period.begin), to_millis(asked.period.end)
    if numbers is not None:
        of_them = usage_sessions.c.scope_id.in_(numbers), _same(organisation)
        return [unindexed(last_at) >= begin, unindexed(last_at) < end, *of_them]
    in_period = [own, last_at >= begin, last_at < end]
    if asked.dearest and not is_few(connection, select(usage_sessions.c.scope_id).where(*in_period)):
        return [own, unindexed(last_at) >= begin, unindexed(last_at) < end]
    return in_period


def _same(organisation: str) -> ColumnElement[bool]:
    """Keep to an organisation without going by the indexes that begin with it."""
    return usage_sessions.c.organisation + "" == organisation


def _within(within: Attribution) -> list[ColumnElement[bool]]:
    """Give the conditions below the organisation, by which the usage of sessions goes itself."""
    return within_scope(replace(within, organisation=None))


def _joined() -> Select[Any]:
    levels = [scopes.c[level] for level in _LEVELS]
    query = select(usage_sessions, sessions.c.due_at, *levels).join(scopes, usage_sessions.c.scope_id == scopes.c.id)
    return query.join(sessions, sessions.c.scope_id == usage_sessions.c.scope_id, isouter=True)


def _logged(connection: Connection, rows: Sequence[Row[Any]]) -> list[LoggedSession]:
    numbers = [row.scope_id for row in rows]
    issued = _by_number(
        connection, receipts.c.scope_id, receipts.c.seq, numbers, receipts.c.id, receipts.c.settlement_id
    )
    flagged = _by_number(connection, anomalies.c.scope_id, anomalies.c.seq, numbers, anomalies.c.state)
    called = _models(connection, [row.scope_id for row in rows if row.charges <= _MOST_CALLS])
    reviews = reviews_of(connection, [receipt_id for found in issued.values() for receipt_id, _ in found])
    told = {
        receipt_id: [step.action for step in steps if step.action is not ReviewAction.COMMENTED]
        for receipt_id, steps in reviews.items()
    }
    result = []
    for row in rows:
        of_it = issued.get(row.scope_id, [])
        steps = [action for receipt_id, _ in of_it for action in told.get(receipt_id, ())]
        session = LoggedSession(
            number=row.scope_id,
            owner=Attribution(*(getattr(row, level) or None for level in _LEVELS)),
            first_at=from_millis(row.first_at),
            last_at=from_millis(row.last_at),
            cost=Money(row.cost_nano_usd),
            calls=row.charges,
            unpriced_calls=row.unpriced_charges,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            due_at=None if row.due_at is None else from_millis(row.due_at),
            models=tuple(called.get(row.scope_id, ())) if row.charges <= _MOST_CALLS else None,
            receipts=tuple((receipt_id, settlement_id is not None) for receipt_id, settlement_id in of_it),
            anomalies=tuple(AnomalyState(state) for (state,) in flagged.get(row.scope_id, ())),
            review=steps[-1] if steps else None,
        )
        result.append(session)
    return result


def _by_number(
    connection: Connection, number: Any, order: Any, numbers: Sequence[int], *columns: Any
) -> dict[int, list[tuple[Any, ...]]]:
    """Give columns of the rows of some sessions, by session."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for key, *values in connection.execute(select(number, *columns).where(number.in_(numbers)).order_by(order)):
        found.setdefault(key, []).append(tuple(values))
    return found


def _models(connection: Connection, numbers: Sequence[int]) -> dict[int, list[str]]:
    query = select(charges.c.scope_id, models.c.response_model, models.c.request_model).distinct()
    query = query.join(models, charges.c.model_id == models.c.id).where(charges.c.scope_id.in_(numbers))
    found: dict[int, set[str]] = {}
    for number, answered, asked in connection.execute(query):
        found.setdefault(number, set()).add(answered or asked or "unknown")
    return {number: sorted(names) for number, names in found.items()}
