"""Looks after personal data: finishes erasures, hashes the access log into the log, deletes what is past its time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from p402.collector.privacy.ports import AccessRows, Leader, Pruner, UnfinishedErasures
from p402.vocabulary import Clock, Transient

__all__ = ["PrivacyKeeper"]

_SECONDS = 2.0  # between two looks
_BETWEEN_PASSES = timedelta(hours=1)
_BETWEEN_LISTS = timedelta(minutes=1)
_PAUSE_SECONDS = 0.05  # between two batches, so that others have their turns

log = structlog.get_logger(__name__)


class PrivacyKeeper:
    """The task; several collectors may run it, and one of them prunes."""

    def __init__(
        self,
        erasures: UnfinishedErasures,
        access: AccessRows,
        pruner: Pruner,
        leader: Leader,
        access_log_within: timedelta,
        clock: Clock,
    ) -> None:
        self._erasures = erasures
        self._access = access
        self._pruner = pruner
        self._leader = leader
        self._access_log_within = access_log_within
        self._clock = clock
        self._next_pass: datetime | None = None
        self._next_list: datetime | None = None

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                await self.look()
            except Transient as error:
                log.warning("privacy_waits_for_storage", problem=str(error))
            await asyncio.sleep(_SECONDS)

    async def look(self) -> None:
        """Do what is due now."""
        now = self._clock.now()
        await self._erasures.catch_up()
        await self._access.seal_due(now, self._access_log_within)
        if self._next_list is None or now >= self._next_list:
            await self._erasures.write_missing_lines()
            self._next_list = now + _BETWEEN_LISTS
        if self._next_pass is None or now >= self._next_pass:
            await self.prune()
            self._next_pass = now + _BETWEEN_PASSES

    async def prune(self) -> None:
        """Delete all that is past its time, in small pieces, if that is ours to do."""
        while await self._leader.take():
            if not await self._pruner.prune_some(self._clock.now()):
                break
            await asyncio.sleep(_PAUSE_SECONDS)

    async def close(self) -> None:
        """Let another collector prune."""
        with suppress(Transient):  # the database is away: the lease runs out by itself
            await self._leader.resign()
