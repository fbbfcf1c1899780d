"""The outbox: an event is kept with the fact, and goes to each channel until it arrives, once as far as can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from p402.collector.notifications.deliver import Courier
from p402.collector.notifications.events import Event, EventType, StoredEvent
from p402.collector.notifications.ports import Answer
from p402.collector.storage.database import Database
from p402.collector.storage.events import EventFilter, EventWithDeliveries, event_by_id, events_page, redeliver
from p402.collector.storage.outbox import SqlDeliveries, publish
from p402.exporters.prometheus import CollectorMetrics
from support.clock import FakeClock
from support.open_books import open_database

ALL = frozenset(EventType)
ANY = EventFilter()


@dataclass
class Told:
    """A channel that remembers what it was told, and answers as it is told."""

    name: str = "ops"
    subscribed: frozenset[EventType] = ALL
    at_once: int = 10
    answers: list[Answer] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    sending: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event | None = None

    async def send(self, event: StoredEvent, at: datetime) -> Answer:
        del at
        self.events.append(event.event_id)
        self.sending.set()
        if self.may_answer is not None:
            await self.may_answer.wait()
        return self.answers.pop(0) if self.answers else Answer()

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Outbox:
    database: Database
    clock: FakeClock
    metrics: CollectorMetrics

    def courier(self, *channels: Told) -> Courier:
        return Courier(SqlDeliveries(self.database), channels, self.metrics, self.clock, lambda: 0.5)

    async def publish(self, key: str, kind: EventType = EventType.ANOMALY_DETECTED) -> None:
        event = Event(kind, "acme", {"summary": key}, self.clock.now(), key)
        await self.database.write(lambda connection: publish(connection, event))

    async def all(self, asked: EventFilter = ANY, after: int = 0, limit: int = 100) -> Sequence[EventWithDeliveries]:
        return await self.database.read(lambda connection: events_page(connection, "acme", asked, after, limit))

    async def deliveries(self) -> list[tuple[str, str, int, str | None]]:
        found = [delivery for item in await self.all() for delivery in item.deliveries]
        return [(each.channel, each.state.value, each.attempts, each.problem) for each in found]

    def metric(self, name: str) -> float:
        lines = [line for line in self.metrics.exposition().decode().splitlines() if line.startswith(f"{name} ")]
        return float(lines[0].split()[-1]) if lines else 0.0


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    async with open_database(tmp_path) as database:
        yield Outbox(database, FakeClock(), CollectorMetrics())


async def test_an_event_goes_to_every_channel_that_subscribes_to_it(outbox: Outbox) -> None:
    ops, budgets = Told(), Told("budgets", frozenset({EventType.BUDGET_THRESHOLD}))
    await outbox.publish("a")
    await outbox.publish("b", EventType.BUDGET_THRESHOLD)
    assert await outbox.courier(ops, budgets).catch_up() == 3
    assert (len(ops.events), len(budgets.events)) == (2, 1)
    assert {state for _, state, _, _ in await outbox.deliveries()} == {"delivered"}
    assert outbox.metric('p402_event_deliveries_total{outcome="delivered"}') == 3


async def test_the_same_fact_is_published_once_and_others_beside_it(outbox: Outbox) -> None:
    for _ in range(2):
        await outbox.publish("a")
        await outbox.publish("a", EventType.BUDGET_THRESHOLD)
    assert [item.event.type for item in await outbox.all()] == ["anomaly.detected", "budget.threshold"]


async def test_an_event_of_a_change_that_is_undone_never_was(outbox: Outbox) -> None:
    event = Event(EventType.BUDGET_THRESHOLD, "acme", {}, outbox.clock.now(), "a")

    def fail(connection: Connection) -> None:
        publish(connection, event)
        raise LookupError

    with pytest.raises(LookupError):
        await outbox.database.write(fail)
    assert await outbox.all() == []


async def test_what_was_not_taken_is_tried_again_after_growing_pauses(outbox: Outbox) -> None:
    ops = Told(answers=[Answer("HTTP 503")] * 2)
    courier = outbox.courier(ops)
    await outbox.publish("a")
    await courier.catch_up()
    assert await outbox.deliveries() == [("ops", "pending", 1, "HTTP 503")]
    for pause in (15, 60):
        outbox.clock.advance(seconds=pause - 1)
        assert await courier.catch_up() == 0
        outbox.clock.advance(seconds=1)
        assert await courier.catch_up() == 1
    assert await outbox.deliveries() == [("ops", "delivered", 3, None)]
    assert len(set(ops.events)) == 1
    assert outbox.metric('p402_event_deliveries_total{outcome="retried"}') == 2


async def test_after_eight_tries_a_delivery_has_failed_and_is_seen_to_have(outbox: Outbox) -> None:
    ops = Told(answers=[Answer("HTTP 500")] * 100)
    courier = outbox.courier(ops)
    await outbox.publish("a")
    for _ in range(20):
        await courier.catch_up()
        outbox.clock.advance(hours=24)
    assert len(ops.events) == 8
    assert await outbox.deliveries() == [("ops", "failed", 8, "HTTP 500")]
    assert outbox.metric('p402_event_deliveries_total{outcome="failed"}') == 1


async def test_where_trying_again_cannot_help_nobody_tries_again(outbox: Outbox) -> None:
    await outbox.publish("a")
    await outbox.courier(Told(answers=[Answer("HTTP 410", final=True)])).catch_up()
    assert await outbox.deliveries() == [("ops", "failed", 1, "HTTP 410")]


async def test_two_collectors_never_send_the_same_event_at_once(outbox: Outbox) -> None:
    slow = Told(may_answer=asyncio.Event())
    quick = Told()
    await outbox.publish("a")
    first = asyncio.create_task(outbox.courier(slow).catch_up())
    await asyncio.wait_for(slow.sending.wait(), 30)
    assert await outbox.courier(quick).catch_up() == 0
    assert slow.may_answer is not None
    slow.may_answer.set()
    assert await first == 1
    assert quick.events == []


async def test_many_collectors_share_the_work_and_send_each_event_once(outbox: Outbox) -> None:
    for number in range(60):
        await outbox.publish(str(number))
    channels = [Told() for _ in range(4)]
    tries = await asyncio.gather(*(outbox.courier(channel).catch_up() for channel in channels))
    sent = [event for channel in channels for event in channel.events]
    assert (sum(tries), len(sent), len(set(sent))) == (60, 60, 60)


async def test_what_a_crash_left_under_way_is_sent_again_with_the_same_id(outbox: Outbox) -> None:
    hanging = Told(may_answer=asyncio.Event())
    await outbox.publish("a")
    crashed = asyncio.create_task(outbox.courier(hanging).catch_up())
    await asyncio.wait_for(hanging.sending.wait(), 30)
    crashed.cancel()
    await asyncio.wait([crashed])
    after = Told()
    assert await outbox.courier(after).catch_up() == 0
    outbox.clock.advance(minutes=3)
    assert await outbox.courier(after).catch_up() == 1
    assert after.events == hanging.events
    assert await outbox.deliveries() == [("ops", "delivered", 2, None)]


async def test_the_result_of_a_try_whose_lease_ended_does_not_count(outbox: Outbox) -> None:
    stalled = Told(may_answer=asyncio.Event(), answers=[Answer("HTTP 500", final=True)])
    await outbox.publish("a")
    late = asyncio.create_task(outbox.courier(stalled).catch_up())
    await asyncio.wait_for(stalled.sending.wait(), 30)
    outbox.clock.advance(minutes=3)
    await outbox.courier(Told()).catch_up()
    assert stalled.may_answer is not None
    stalled.may_answer.set()
    await late
    assert await outbox.deliveries() == [("ops", "delivered", 2, None)]


async def test_a_channel_that_fails_does_not_hold_up_another(outbox: Outbox) -> None:
    class Broken(Told):
        async def send(self, event: StoredEvent, at: datetime) -> Answer:
            raise LookupError(event, at)

    ops = Told()
    await outbox.publish("a")
    await outbox.courier(Broken("broken"), ops).catch_up()
    assert len(ops.events) == 1
    assert ("broken", "pending", 1, "a fault of the collector; its log has the details") in await outbox.deliveries()


async def test_an_event_from_before_a_channel_was_configured_is_not_sent_to_it(outbox: Outbox) -> None:
    await outbox.publish("old")
    await outbox.courier().catch_up()
    ops = Told()
    assert await outbox.courier(ops).catch_up() == 0


async def test_sending_again_reaches_those_who_had_it_and_those_who_came_since(outbox: Outbox) -> None:
    ops, chat = Told(answers=[Answer("HTTP 410", final=True)]), Told("chat")
    await outbox.publish("a")
    await outbox.courier(ops).catch_up()
    [item] = await outbox.all()
    names = frozenset({"ops", "chat"})

    def again(connection: Connection) -> Any:
        return redeliver(connection, "acme", item.event.event_id, names, outbox.clock.now())

    assert await outbox.database.write(again) is not None
    await outbox.courier(ops, chat).catch_up()
    assert await outbox.deliveries() == [("chat", "delivered", 1, None), ("ops", "delivered", 2, None)]
    assert ops.events == [item.event.event_id] * 2


async def test_another_organisations_event_is_neither_seen_nor_sent_again(outbox: Outbox) -> None:
    await outbox.publish("a")
    [item] = await outbox.all()
    event_id, now = item.event.event_id, outbox.clock.now()
    assert await outbox.database.read(lambda connection: event_by_id(connection, "initech", event_id)) is None
    assert (
        await outbox.database.write(lambda connection: redeliver(connection, "initech", event_id, frozenset(), now))
        is None
    )


async def test_what_waits_for_a_channel_that_is_gone_fails_at_the_next_start(outbox: Outbox) -> None:
    await outbox.publish("a")
    await outbox.courier(Told("gone", answers=[Answer("HTTP 500")])).catch_up()
    ops = Told()
    running = asyncio.create_task(outbox.courier(ops).run())
    try:
        await outbox.publish("b")
        await asyncio.wait_for(ops.sending.wait(), 30)
    finally:
        running.cancel()
        await asyncio.wait([running])
    found = {(channel, state, problem) for channel, state, _, problem in await outbox.deliveries() if channel == "gone"}
    assert found == {("gone", "failed", "the configuration names no such channel any more")}


async def test_the_backlog_is_what_is_pending(outbox: Outbox) -> None:
    courier = outbox.courier(Told(answers=[Answer("HTTP 500")]))
    await outbox.publish("a")
    await courier.catch_up()
    await courier.spread()
    assert outbox.metric("p402_event_backlog") == 1
