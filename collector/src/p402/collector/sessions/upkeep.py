"""Keeps the ends of the logs signed: a log to which nothing was appended for a while gets a heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from p402.collector.observed_work import Observe, unobserved
from p402.vocabulary import Clock, Transient

__all__ = ["LogKeeper", "LogStore"]

_LONGEST_WAIT_SECONDS = 10.0  # between two looks at what is idle

log = structlog.get_logger(__name__)


class LogStore(Protocol):
    """Where the logs are."""

    async def idle(self, since: datetime, limit: int) -> Sequence[str]:
        """Give organisations to whose logs nothing was appended since a time."""
        ...

    async def beat(self, organisation: str, since: datetime, at: datetime) -> bool:
        """Append a heartbeat if the log is still idle; tells whether it was."""
        ...


class LogKeeper:
    """The task that looks for idle logs. Several collectors may do it; each log gets one heartbeat."""

    def __init__(self, store: LogStore, longest: timedelta, clock: Clock, observe: Observe = unobserved) -> None:
        """Take how long a log may be idle."""
        self._store = store
        self._longest = longest
        self._clock = clock
        self._observe = observe

    async def run(self) -> None:
        """Look and append until cancelled."""
        while True:
            try:
                await self.catch_up()
            except Transient as error:
                log.warning("heartbeats_wait_for_storage", problem=str(error))
            await asyncio.sleep(min(_LONGEST_WAIT_SECONDS, self._longest.total_seconds()))

    async def catch_up(self) -> int:
        """Append every heartbeat that is due; gives how many there were."""
        now = self._clock.now()
        since = now - self._longest
        beaten = 0
        with self._observe("sign checkpoints") as work:
            for organisation in await self._store.idle(since, 1000):
                try:
                    beaten += await self._store.beat(organisation, since, now)
                except Transient:
                    raise
                except Exception:  # such as a log of another key; the others are kept all the same
                    log.exception("heartbeat_cannot_be_appended", organisation=organisation)
            if beaten:
                work.did(checkpoints=beaten)
        return beaten
