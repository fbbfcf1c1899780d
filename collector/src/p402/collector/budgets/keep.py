"""Expires leases: what their holders did not settle becomes unreconciled, and is let go of after its grace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from p402.vocabulary import Clock, Transient

__all__ = ["LeaseKeeper"]

_SECONDS = 1.0  # between two looks

log = structlog.get_logger(__name__)

Expire = Callable[[datetime], Awaitable[int]]
"""Expires what is past its time at a moment; returns how many leases that were."""


class LeaseKeeper:
    """The task that looks after leases; several collectors may run it at once."""

    def __init__(self, expire: Expire, clock: Clock) -> None:
        self._expire = expire
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
        return expired
