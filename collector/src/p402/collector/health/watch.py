"""Looks every few seconds what is behind, and tells the metrics."""

from __future__ import annotations

import asyncio

import structlog

from p402.collector.health.behind import WhatIsBehind
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock, Transient

__all__ = ["HealthWatch"]

_SECONDS = 5.0  # between two looks; Prometheus looks every fifteen or so

log = structlog.get_logger(__name__)


class HealthWatch:
    """The task that looks. Every collector of a database does it, and shows the same."""

    def __init__(self, store: WhatIsBehind, metrics: CollectorMetrics, clock: Clock) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_SECONDS)

    async def look(self) -> None:
        """Look once."""
        try:
            behind = await self._store.behind(self._clock.now())
        except Transient as error:
            self._metrics.storage(up=False)
            log.warning("storage_unavailable", problem=str(error))
            return
        self._metrics.storage(up=True)
        for follower, charges in behind.followers.items():
            self._metrics.follower_lag(follower, charges)
        for backend, queue in behind.forwarding.items():
            self._metrics.forward_lag(backend, queue.oldest_seconds)
        if behind.settlement is not None:
            receipts = behind.settlement.receipts
            self._metrics.unanchored(receipts.waiting, receipts.oldest_seconds, behind.settlement.in_doubt)
