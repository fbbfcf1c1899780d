"""The review queue: anomalies as they are read, told, and reviewed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from p402.collector.anomalies.baseline import Baseline
from p402.collector.anomalies.detect import Rule
from p402.collector.anomalies.ports import AlreadyReviewed, Anomaly, AnomalyState
from p402.collector.notifications.events import Event, EventType
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.charges import within_scope
from p402.collector.storage.event_tables import anomalies
from p402.collector.storage.tables import scopes, sessions
from p402.vocabulary import Attribution, Level, Money, rfc3339

__all__ = [
    "AnomalyFilter",
    "anomalies_page",
    "anomaly_by_id",
    "anomaly_by_seq",
    "anomaly_of",
    "detected",
    "joined_anomalies",
    "review",
]


@dataclass(frozen=True, slots=True)
class AnomalyFilter:
    """Which anomalies are asked for; None: any."""

    state: AnomalyState | None = None
    rule: Rule | None = None


def anomalies_page(
    connection: Connection, within: Attribution, narrowed: Attribution, asked: AnomalyFilter, after: int, limit: int
) -> list[Anomaly]:
    """Give the next anomalies within a part of the tree, in the order in which they were flagged.

    Args:
        connection: where to read.
        within: the part of the tree that the asker may see.
        narrowed: the part that is asked for.
        asked: what else they must be.
        after: sequence number of the last one that is known.
        limit: how many at most.
    """
    query = joined_anomalies().where(anomalies.c.seq > after, *within_scope(within), *within_scope(narrowed))
    if asked.state is not None:
        query = query.where(anomalies.c.state == asked.state.value)
    if asked.rule is not None:
        query = query.where(anomalies.c.rule == asked.rule.value)
    return [anomaly_of(row) for row in connection.execute(query.order_by(anomalies.c.seq).limit(limit))]


def anomaly_by_id(connection: Connection, within: Attribution, anomaly_id: str) -> Anomaly | None:
    """Give one anomaly, None if there is none within the part of the tree."""
    row = connection.execute(
        joined_anomalies().where(anomalies.c.id == anomaly_id, *within_scope(within))
    ).one_or_none()
    return None if row is None else anomaly_of(row)


def anomaly_by_seq(connection: Connection, seq: int) -> Anomaly:
    """Give the anomaly of a sequence number."""
    return anomaly_of(connection.execute(joined_anomalies().where(anomalies.c.seq == seq)).one())


def review(
    connection: Connection,
    within: Attribution,
    anomaly_id: str,
    state: AnomalyState,
    reviewer: str | None,
    note: str | None,
    at: datetime,
) -> Anomaly | None:
    """Note what a reviewer says about an anomaly; None if there is none within the part of the tree.

    Raises:
        AlreadyReviewed: saying what was said before, and when.
    """
    found = anomaly_by_id(connection, within, anomaly_id)
    if found is None:
        return None
    if found.reviewed_at is not None:
        raise AlreadyReviewed(
            f"The anomaly {anomaly_id} was {found.state.value} at {rfc3339(found.reviewed_at)}; a review is made once."
        )
    change = update(anomalies).where(anomalies.c.id == anomaly_id)
    connection.execute(change.values(state=state.value, reviewed_by=reviewer, reviewed_at=to_millis(at), note=note))
    return anomaly_by_id(connection, within, anomaly_id)


def detected(anomaly: Anomaly) -> Event:
    """Tell that a session was flagged."""
    session, baseline = anomaly.session, anomaly.baseline
    told = f"Session {session.session} of {session.employee or 'an unknown employee'} has cost ${anomaly.cost}"
    if anomaly.rule is Rule.EMPLOYEE_MEAN:
        told += f"; the mean of the {baseline.sessions} others is ${Money(baseline.mean)}"
    return Event(
        EventType.ANOMALY_DETECTED,
        session.organisation or "",
        {
            "summary": f"{told}. Please review it.",
            "anomaly_id": anomaly.anomaly_id,
            "rule": anomaly.rule.value,
            **{level.value: value for level, value in session if level is not Level.ORGANISATION},
            "cost_usd": str(anomaly.cost),
            "baseline_mean_usd": str(Money(baseline.mean)),
            "baseline_sessions": baseline.sessions,
            "flagged_at": rfc3339(anomaly.flagged_at),
        },
        anomaly.flagged_at,
        dedupe_key=anomaly.anomaly_id,
    )


def joined_anomalies() -> Select[Any]:
    """Give the query of anomalies with their sessions; `anomaly_of` reads its rows."""
    levels = (scopes.c[level.value] for level in Level if level is not Level.REQUEST)
    query = select(anomalies, *levels, sessions.c.first_receipt_id)
    query = query.join(scopes, anomalies.c.scope_id == scopes.c.id)
    return query.join(sessions, anomalies.c.scope_id == sessions.c.scope_id, isouter=True)


def anomaly_of(row: Row[Any]) -> Anomaly:
    """Read a row of `joined_anomalies`."""
    return Anomaly(
        anomaly_id=row.id,
        seq=row.seq,
        session=Attribution(*(getattr(row, level.value) or None for level, _ in Attribution())),
        rule=Rule(row.rule),
        cost=Money(row.cost_nano_usd),
        baseline=Baseline(row.baseline_sessions, row.baseline_cost_nano_usd),
        flagged_at=from_millis(row.flagged_at),
        state=AnomalyState(row.state),
        reviewed_by=row.reviewed_by,
        reviewed_at=None if row.reviewed_at is None else from_millis(row.reviewed_at),
        note=row.note,
        receipt_id=row.first_receipt_id,
    )
