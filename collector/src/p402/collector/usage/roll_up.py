"""Keeps the roll-up of usage behind the charges by less than a second. A crash repeats the work, and counts nothing twice."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from p402.collector.observed_work import Observe, unobserved
from p402.vocabulary import Transient

__all__ = ["UsageRollUp", "UsageStore"]

_CHARGES_AT_ONCE = 5_000  # bounds how long others wait for the writer
_PAUSE_SECONDS = 0.5  # between two looks; pages show what was spent within two seconds

log = structlog.get_logger(__name__)


class UsageStore(Protocol):
    """Where usage is summed."""

    async def follow(self, limit: int) -> int:
        """Add the next recorded charges, with the cursor in one transaction; returns how many."""
        ...


class UsageRollUp:
    """The follower that sums usage by day."""

    def __init__(self, store: UsageStore, observe: Observe = unobserved) -> None:
        self._store = store
        self._observe = observe

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self.catch_up()
            except Transient as error:
                log.warning("usage_waits_for_storage", problem=str(error))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def catch_up(self) -> None:
        """Take in all recorded charges."""
        charges = _CHARGES_AT_ONCE
        while charges == _CHARGES_AT_ONCE:
            with self._observe("roll up usage") as work:
                charges = await self._store.follow(_CHARGES_AT_ONCE)
                if charges:
                    work.did(charges=charges)
