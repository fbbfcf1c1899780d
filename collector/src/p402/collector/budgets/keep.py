"""Expires leases: what their holders did not settle becomes unreconciled, and is let go of after its grace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock, Money, Transient

__all__ = ["LeaseFigures", "LeaseKeeper"]

_SECONDS = 1.0  # between two looks

log = structlog.get_logger(__name__)

Expire = Callable[[datetime], Awaitable[int]]
"""Expires what is past its time at a moment; returns how many leases that were."""


@dataclass(frozen=True, slots=True)
class LeaseFigures:
    """How leases stand."""

    open: int
    unreconciled: int
    unreconciled_cost: Money
    """The most that the unreconciled ones may have cost; what several budgets hold for the same calls counts once."""


Count = Callable[[], Awaitable[LeaseFigures]]
"""Looks how leases stand."""


class LeaseKeeper:
    """The task that looks after leases; several collectors may run it at once."""

    def __init__(self, expire: Expire, count: Count, metrics: CollectorMetrics, clock: Clock) -> None:
        self._expire = expire
        self._count = count
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Look every second until cancelled."""
        while True:
            try:
                while await self.look():
                    pass  # there may be more than one look takes in
            except Transient as error:
                log.warning("leases_wait_for_storage", problem=str(error))
            await asyncio.sleep(_SECONDS)

    async def look(self) -> int:
        """Expire what is past its time now; returns how many leases that were."""
        expired = await self._expire(self._clock.now())
        if expired:
            log.info("leases_expired", count=expired)
        figures = await self._count()
        self._metrics.leases(figures.open, figures.unreconciled, figures.unreconciled_cost)
        return expired
