"""Follows the recorded charges and flags sessions, seconds after the spend. A crash repeats the work, to no effect."""

from __future__ import annotations

import asyncio

import structlog

from p402.collector.anomalies.detect import AnomalyRules
from p402.collector.anomalies.ports import AnomalyStore
from p402.collector.observed_work import Observe, unobserved
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock, Transient

__all__ = ["AnomalyWatch"]

_CHARGES_AT_ONCE = 2_000  # bounds how long others wait for the writer
_PAUSE_SECONDS = 1.0  # between two looks

log = structlog.get_logger(__name__)


class AnomalyWatch:
    """The follower that looks at what sessions cost."""

    def __init__(
        self,
        store: AnomalyStore,
        rules: AnomalyRules,
        metrics: CollectorMetrics,
        clock: Clock,
        observe: Observe = unobserved,
    ) -> None:
        self._store = store
        self._rules = rules
        self._metrics = metrics
        self._clock = clock
        self._observe = observe

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                await self.catch_up()
            except Transient as error:
                log.warning("anomalies_wait_for_storage", problem=str(error))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def catch_up(self) -> int:
        """Follow all recorded charges; returns how many anomalies that flagged."""
        flagged = 0
        charges = _CHARGES_AT_ONCE
        while charges == _CHARGES_AT_ONCE:
            with self._observe("look for anomalies") as work:
                charges, new = await self._store.follow(self._rules, self._clock.now(), _CHARGES_AT_ONCE)
                if charges:
                    work.did(charges=charges, flagged=new)
            flagged += new
        if flagged:
            log.info("sessions_flagged", count=flagged)
        self._metrics.anomalies_open(await self._store.count_open())
        return flagged
