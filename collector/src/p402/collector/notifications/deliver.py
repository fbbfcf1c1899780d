"""Follows the outbox: each event goes to each channel that subscribes to it, and is tried again until it arrives.

What is under way is leased in the database, so several collectors share the work. A crash repeats at most what was under
way, with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog

from p402.collector.notifications.ports import Channel, Claim, DeliveryStore
from p402.collector.notifications.retry import TRIES, pause_before_retry
from p402.collector.observed_work import Observe, unobserved
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock, Transient

__all__ = ["Courier"]

_PAUSE_SECONDS = 1.0  # between two looks
_LEASE = timedelta(minutes=2)  # longer than any try, and than clocks of two collectors differ

log = structlog.get_logger(__name__)


class Courier:
    """Delivers events. Channels do not wait for each other."""

    def __init__(
        self,
        store: DeliveryStore,
        channels: Sequence[Channel],
        metrics: CollectorMetrics,
        clock: Clock,
        random: Callable[[], float],
        observe: Observe = unobserved,
    ) -> None:
        self._store = store
        self._channels = channels
        self._subscriptions = {channel.name: channel.subscribed for channel in channels}
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._observe = observe

    async def run(self) -> None:
        """Deliver until cancelled."""
        await self._abandon_others()
        async with asyncio.TaskGroup() as group:
            group.create_task(_for_ever(self.spread))
            for channel in self._channels:
                group.create_task(_for_ever(self._deliveries(channel)))

    async def close(self) -> None:
        """Let go of connections."""
        for channel in self._channels:
            await channel.close()

    async def catch_up(self) -> int:
        """Deliver everything that is due now; returns how many tries that took."""
        await self.spread()
        return sum(await asyncio.gather(*(self._deliveries(channel)() for channel in self._channels)))

    async def spread(self) -> int:
        """Make deliveries of new events; returns how many events were new."""
        new = await self._store.spread(self._subscriptions, TRIES, self._clock.now())
        self._metrics.event_backlog(await self._store.backlog())
        return new

    def _deliveries(self, channel: Channel) -> Callable[[], Awaitable[int]]:
        async def deliver_due() -> int:
            tries = 0
            with self._observe("deliver events") as work:
                while claims := await self._store.claim(channel.name, self._clock.now(), _LEASE, channel.at_once):
                    await asyncio.gather(*(self._try(channel, claim) for claim in claims))
                    tries += len(claims)
                    work.did(channel=channel.name, tries=tries)
            return tries

        return deliver_due

    async def _try(self, channel: Channel, claim: Claim) -> None:
        try:
            answer = await channel.send(claim.event, self._clock.now())
            problem, final = answer.problem, answer.final
        except Exception:  # one event that cannot be sent must not hold up the others
            log.exception("delivery_fault", event_id=claim.event.event_id, channel=channel.name)
            problem, final = "a fault of the collector; its log has the details", False
        now = self._clock.now()
        if problem is None:
            await self._store.delivered(claim, now)
            self._metrics.event_delivery("delivered")
        elif final or claim.tries_left <= 0:
            await self._store.failed(claim, problem, now)
            self._metrics.event_delivery("failed")
            log.error("delivery_failed", event_id=claim.event.event_id, channel=channel.name, problem=problem)
        else:
            due_at = now + pause_before_retry(claim.tries_left, self._random)
            await self._store.retry(claim, problem, due_at)
            self._metrics.event_delivery("retried")
            log.warning("delivery_retried", event_id=claim.event.event_id, channel=channel.name, problem=problem)

    async def _abandon_others(self) -> None:
        count = await self._store.abandon_others(frozenset(self._subscriptions), self._clock.now())
        if count:
            log.warning("deliveries_abandoned", count=count, problem="the configuration names their channel no more")


async def _for_ever(look: Callable[[], Awaitable[int]]) -> None:
    while True:
        try:
            await look()
        except Transient as error:
            log.warning("deliveries_wait_for_storage", problem=str(error))
        await asyncio.sleep(_PAUSE_SECONDS)
