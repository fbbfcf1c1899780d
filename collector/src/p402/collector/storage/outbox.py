"""The outbox: events, and what became of each at each channel. Implements `notifications.ports.DeliveryStore`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Update, func, select, update

from p402.collector.notifications.events import Event, EventType, StoredEvent
from p402.collector.notifications.ports import Claim, DeliveryState
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver, upsert
from p402.collector.storage.event_tables import deliveries, events
from p402.vocabulary import new_id

__all__ = ["SqlDeliveries", "publish", "stored_event"]

_PENDING = deliveries.c.state == DeliveryState.PENDING
_EVENTS_AT_ONCE = 500


def publish(connection: Connection, event: Event) -> None:
    """Put an event into the outbox, inside the change that makes it true. The same fact again changes nothing."""
    driver(connection).execute(
        "INSERT INTO events (id, organisation, type, dedupe_key, payload, at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (
            new_id("evt", event.at),
            event.organisation,
            event.type.value,
            event.dedupe_key,
            json.dumps(event.payload),
            to_millis(event.at),
        ),
    )


def stored_event(row: Row[Any]) -> StoredEvent:
    """Read an event from a row with the columns of ``events``."""
    return StoredEvent(row.id, row.seq, row.type, row.organisation, json.loads(row.payload), from_millis(row.at))


class SqlDeliveries:
    """The deliveries of this collector, and of those that share its database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spread(self, subscriptions: Mapping[str, frozenset[EventType]], tries: int, at: datetime) -> int:
        """Make a delivery of each new event for each channel that subscribes to it."""
        query = select(events.c.seq, events.c.type).where(events.c.spread_at.is_(None)).limit(_EVENTS_AT_ONCE)

        def change(connection: Connection) -> int:
            new = connection.execute(query.order_by(events.c.seq)).all()
            fresh = {"attempts": 0, "tries_left": tries, "due_at": to_millis(at), "claimed_until": 0}
            wanted = [
                {"event_seq": row.seq, "channel": channel, "state": DeliveryState.PENDING.value, **fresh}
                for row in new
                for channel, types in subscriptions.items()
                if row.type in types
            ]
            if wanted:
                connection.execute(upsert(connection, deliveries).on_conflict_do_nothing(), wanted)
            done = update(events).where(events.c.seq.in_([row.seq for row in new]))
            connection.execute(done.values(spread_at=to_millis(at)))
            return len(new)

        if not await self._database.read(lambda connection: connection.execute(query).first()):
            return 0  # as nearly always: then nothing is written
        return await self._database.write(change)

    async def claim(self, channel: str, at: datetime, lease: timedelta, limit: int) -> list[Claim]:
        """Take deliveries that are due."""
        now = to_millis(at)
        free = (_PENDING, deliveries.c.channel == channel, deliveries.c.due_at <= now, deliveries.c.claimed_until < now)
        query = select(deliveries.c.event_seq).where(*free).order_by(deliveries.c.due_at).limit(limit)

        def change(connection: Connection) -> list[Claim]:
            claims = []
            for seq in connection.execute(query).scalars().all():
                taken = update(deliveries).where(deliveries.c.event_seq == seq, *free).values(
                    claimed_until=to_millis(at + lease),
                    attempts=deliveries.c.attempts + 1,
                    tries_left=deliveries.c.tries_left - 1,
                )  # fmt: skip
                if connection.execute(taken).rowcount:
                    claims.append(_claim(connection, seq, channel))
            return claims

        if not await self._database.read(lambda connection: connection.execute(query).first()):
            return []
        return await self._database.write(change)

    async def delivered(self, claim: Claim, at: datetime) -> None:
        """Note that the channel took the event."""
        state = DeliveryState.DELIVERED.value
        await self._settle(claim, state=state, settled_at=to_millis(at), problem=None)

    async def retry(self, claim: Claim, problem: str, due_at: datetime) -> None:
        """Note what went wrong, and when to try again."""
        await self._settle(claim, due_at=to_millis(due_at), problem=problem)

    async def failed(self, claim: Claim, problem: str, at: datetime) -> None:
        """Give a delivery up."""
        await self._settle(claim, state=DeliveryState.FAILED.value, settled_at=to_millis(at), problem=problem)

    async def abandon_others(self, channels: frozenset[str], at: datetime) -> int:
        """Give up what is pending for channels that the configuration does not name."""
        gone = (_PENDING, deliveries.c.channel.not_in(sorted(channels)))
        change = update(deliveries).where(*gone).values(
            state=DeliveryState.FAILED.value,
            settled_at=to_millis(at),
            problem="the configuration names no such channel any more",
        )  # fmt: skip
        return await self._database.write(lambda connection: connection.execute(change).rowcount)

    async def backlog(self) -> int:
        """Count the deliveries that are pending."""
        query = select(func.count()).where(_PENDING)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def _settle(self, claim: Claim, **values: Any) -> None:
        change = _claimed(claim).values(claimed_until=0, **values)
        await self._database.write(lambda connection: connection.execute(change).rowcount)


def _claimed(claim: Claim) -> Update:
    """Address the delivery of a claim, unless its lease ended and somebody has tried since."""
    key: tuple[ColumnElement[bool], ...] = (
        deliveries.c.event_seq == claim.event.seq,
        deliveries.c.channel == claim.channel,
    )
    return update(deliveries).where(*key, _PENDING, deliveries.c.attempts == claim.attempt)


def _claim(connection: Connection, seq: int, channel: str) -> Claim:
    query = select(events, deliveries.c.attempts, deliveries.c.tries_left).join(deliveries)
    row = connection.execute(query.where(events.c.seq == seq, deliveries.c.channel == channel)).one()
    return Claim(stored_event(row), channel, row.attempts, row.tries_left)
