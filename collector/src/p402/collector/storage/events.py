"""Reading events with their deliveries, and asking for an event to be sent again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from p402.collector.notifications.events import EventType, StoredEvent
from p402.collector.notifications.ports import DeliveryState
from p402.collector.notifications.retry import TRIES
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.event_tables import deliveries, events
from p402.collector.storage.outbox import stored_event

__all__ = [
    "Delivery",
    "EventFilter",
    "EventWithDeliveries",
    "deliveries_about",
    "event_by_id",
    "events_page",
    "redeliver",
]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an event at one channel."""

    channel: str
    state: DeliveryState
    attempts: int
    due_at: datetime | None
    """When it is tried next; None once it is settled."""
    settled_at: datetime | None
    problem: str | None
    """What went wrong at the last try."""


@dataclass(frozen=True, slots=True)
class EventWithDeliveries:
    """An event, and what became of it."""

    event: StoredEvent
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are asked for; None: any."""

    type: EventType | None = None
    delivery_state: DeliveryState | None = None
    """At one channel or more."""


def events_page(
    connection: Connection, organisation: str, asked: EventFilter, after: int, limit: int
) -> list[EventWithDeliveries]:
    """Give the next events of an organisation in the order in which they were published."""
    query = select(events).where(events.c.organisation == organisation, events.c.seq > after)
    if asked.type is not None:
        query = query.where(events.c.type == asked.type.value)
    if asked.delivery_state is not None:
        state = deliveries.c.state == asked.delivery_state.value
        query = query.where(events.c.seq.in_(select(deliveries.c.event_seq).where(state)))
    return _with_deliveries(connection, query.order_by(events.c.seq).limit(limit))


def event_by_id(connection: Connection, organisation: str, event_id: str) -> EventWithDeliveries | None:
    """Give one event of an organisation, None if there is none."""
    query = select(events).where(events.c.organisation == organisation, events.c.id == event_id)
    return next(iter(_with_deliveries(connection, query)), None)


def deliveries_about(
    connection: Connection, organisation: str, types: Collection[EventType], keys: Collection[str]
) -> dict[str, tuple[Delivery, ...]]:
    """Give what became of the events about some things, by what was published once for each: such as an alert's id."""
    query = (
        select(events.c.dedupe_key, deliveries)
        .join(deliveries, deliveries.c.event_seq == events.c.seq)
        .where(events.c.organisation == organisation, events.c.dedupe_key.in_(sorted(keys)))
        .where(events.c.type.in_(sorted(one.value for one in types)))
        .order_by(deliveries.c.channel)
    )
    found: dict[str, list[Delivery]] = {}
    for row in connection.execute(query):
        found.setdefault(row.dedupe_key, []).append(_delivery(row))
    return {key: tuple(of_one) for key, of_one in found.items()}


def redeliver(
    connection: Connection, organisation: str, event_id: str, channels: frozenset[str], at: datetime
) -> EventWithDeliveries | None:
    """Have an event sent once more to those of the channels that subscribe to it; None if there is no such event.

    A try that is under way goes on; channels that were added since are reached as well.
    """
    found = event_by_id(connection, organisation, event_id)
    if found is None:
        return None
    sent = (deliveries.c.event_seq == found.event.seq, deliveries.c.channel.in_(sorted(channels)))
    again = update(deliveries).where(*sent).values(
        state=DeliveryState.PENDING.value, tries_left=TRIES, due_at=to_millis(at), settled_at=None
    )  # fmt: skip
    connection.execute(again)
    connection.execute(update(events).where(events.c.seq == found.event.seq).values(spread_at=None))
    return event_by_id(connection, organisation, event_id)


def _with_deliveries(connection: Connection, query: Select[Any]) -> list[EventWithDeliveries]:
    found = [stored_event(row) for row in connection.execute(query)]
    of_these = select(deliveries).where(deliveries.c.event_seq.in_([event.seq for event in found]))
    by_event: dict[int, list[Delivery]] = {}
    for row in connection.execute(of_these.order_by(deliveries.c.channel)):
        by_event.setdefault(row.event_seq, []).append(_delivery(row))
    return [EventWithDeliveries(event, tuple(_of(by_event, event))) for event in found]


def _of(by_event: dict[int, list[Delivery]], event: StoredEvent) -> Sequence[Delivery]:
    return by_event.get(event.seq, ())


def _delivery(row: Row[Any]) -> Delivery:
    pending = row.state == DeliveryState.PENDING
    return Delivery(
        channel=row.channel,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        due_at=from_millis(row.due_at) if pending else None,
        settled_at=None if row.settled_at is None else from_millis(row.settled_at),
        problem=row.problem,
    )
