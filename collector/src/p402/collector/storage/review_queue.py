"""The review queue as people work through it: what is open first, then what was reviewed, each with the newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select

from p402.collector.anomalies.detect import Rule
from p402.collector.anomalies.ports import Anomaly, AnomalyState
from p402.collector.storage.charges import within_scope
from p402.collector.storage.event_tables import anomalies
from p402.collector.storage.reviews import anomaly_of, joined_anomalies
from p402.collector.storage.tables import api_keys, scopes
from p402.collector.storage.web_session_tables import web_sessions
from p402.vocabulary import Attribution

__all__ = ["QueueFilter", "QueuePlace", "Reviewer", "queue_counts", "queue_departments", "queue_page", "reviewers_of"]

_LONGEST_PLACE = 24  # a number of 64 bits, with its group
_IS_OPEN = anomalies.c.state == AnomalyState.OPEN.value


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which anomalies are asked for; None: any. ``""`` is the department that nobody knows."""

    state: AnomalyState | None = None
    rule: Rule | None = None
    department: str | None = None
    employee: str | None = None

    def conditions(self, within: Attribution) -> list[ColumnElement[bool]]:
        """Give the conditions, without that on the state."""
        asked: list[ColumnElement[bool]] = within_scope(within)
        asked += [] if self.rule is None else [anomalies.c.rule == self.rule.value]
        asked += [] if self.department is None else [scopes.c.department == self.department]
        return asked + ([] if self.employee is None else [scopes.c.employee == self.employee])


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where an anomaly is in the queue."""

    is_open: bool
    seq: int

    def __str__(self) -> str:
        """Write it for the address of the next page."""
        return f"{'open' if self.is_open else 'done'}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> QueuePlace:
        """Read what was written; raise ValueError if it is something else."""
        group, _, seq = text.partition("-")
        if group not in ("open", "done") or not (seq.isascii() and seq.isdigit()) or len(text) > _LONGEST_PLACE:
            raise ValueError("not a place")
        return cls(group == "open", int(seq))

    @classmethod
    def of(cls, anomaly: Anomaly) -> QueuePlace:
        """Give the place of an anomaly."""
        return cls(anomaly.state is AnomalyState.OPEN, anomaly.seq)


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who reviewed, as far as it is known."""

    name: str
    employee: str | None
    """Whose sessions are their own."""


def queue_page(
    connection: Connection, within: Attribution, asked: QueueFilter, place: QueuePlace | None, limit: int
) -> list[Anomaly]:
    """Give the next anomalies of the queue.

    Args:
        connection: where to read.
        within: the part of the tree that the asker may see.
        asked: which of them.
        place: of the last one that is known; None: from the start.
        limit: how many at most.
    """
    found: list[Anomaly] = []
    for is_open in (True, False):
        is_wanted = asked.state is None or (asked.state is AnomalyState.OPEN) == is_open
        were_shown = place is not None and is_open and not place.is_open
        if not is_wanted or were_shown or len(found) == limit:
            continue
        state = _IS_OPEN if is_open else ~_IS_OPEN if asked.state is None else anomalies.c.state == asked.state.value
        query = joined_anomalies().where(state, *asked.conditions(within))
        if place is not None and place.is_open == is_open:
            query = query.where(anomalies.c.seq < place.seq)
        query = query.order_by(anomalies.c.seq.desc()).limit(limit - len(found))
        found += [anomaly_of(row) for row in connection.execute(query)]
    return found


def queue_counts(connection: Connection, within: Attribution, asked: QueueFilter) -> Mapping[AnomalyState, int]:
    """Count the anomalies by state, whichever state is asked for."""
    query = select(anomalies.c.state, func.count()).join(scopes, anomalies.c.scope_id == scopes.c.id)
    query = query.where(*asked.conditions(within)).group_by(anomalies.c.state)
    return dict.fromkeys(AnomalyState, 0) | {
        AnomalyState(state): int(number) for state, number in connection.execute(query)
    }


def queue_departments(connection: Connection, within: Attribution) -> Sequence[str]:
    """Give the departments that have anomalies, in alphabetical order."""
    query = select(scopes.c.department).join(anomalies, anomalies.c.scope_id == scopes.c.id)
    return (
        connection.execute(query.where(*within_scope(within)).distinct().order_by(scopes.c.department)).scalars().all()
    )


def reviewers_of(connection: Connection, found: Iterable[Anomaly]) -> Mapping[str, Reviewer]:
    """Say who the reviewers of anomalies are, by the id that is kept with the review."""
    ids = {anomaly.reviewed_by for anomaly in found if anomaly.reviewed_by is not None}
    if not ids:
        return {}
    keys = select(api_keys.c.id, api_keys.c.name, api_keys.c.employee).where(api_keys.c.id.in_(sorted(ids)))
    signed_in = select(web_sessions.c.id, web_sessions.c.name, web_sessions.c.known_as)
    rows = [
        *connection.execute(keys),
        *connection.execute(signed_in.where(web_sessions.c.id.in_(sorted(ids)), web_sessions.c.name.is_not(None))),
    ]
    return {id_: Reviewer(name, employee) for id_, name, employee in rows}
