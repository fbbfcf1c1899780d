"""Follows the recorded charges into their sessions, and seals the sessions that are over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from p402.collector.observed_work import Observe, unobserved
from p402.collector.sessions.ports import OpenPart, SessionStore
from p402.collector.sessions.track import SessionRules
from p402.exporters.prometheus import CollectorMetrics
from p402.receipts import EntryPlace, SealedReceipt, seal_receipt
from p402.vocabulary import Clock, IdFactory, Transient

__all__ = ["Sealer"]

_CHARGES_AT_ONCE = 10_000
_SESSIONS_AT_ONCE = 32  # in one change; bounds how long spans wait for the writer meanwhile
_LONGEST_WAIT_SECONDS = 1.0  # between two looks at what has become due

log = structlog.get_logger(__name__)


class Sealer:
    """The follower that turns sessions into receipts. A crash repeats its work, and repeating it changes nothing."""

    def __init__(
        self,
        store: SessionStore,
        rules: SessionRules,
        metrics: CollectorMetrics,
        clock: Clock,
        new_id: IdFactory,
        observe: Observe = unobserved,
    ) -> None:
        self._store = store
        self._rules = rules
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._observe = observe
        self._wake = asyncio.Event()
        self._stuck: dict[int, None] = {}
        """Sessions that could not be sealed, those that were tried last at the end."""

    def wake(self) -> None:
        """Say that a session was closed. New charges need not say so: they are followed together, every second."""
        self._wake.set()

    async def run(self) -> None:
        """Follow and seal until cancelled."""
        while True:
            self._wake.clear()
            try:
                while await self.catch_up():
                    pass  # there may be more than one look takes in
            except Transient as error:
                log.warning("sessions_wait_for_storage", problem=str(error))
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                    await self._wake.wait()

    async def catch_up(self) -> list[SealedReceipt]:
        """Follow all recorded charges, then seal what is due; returns the new receipts."""
        while await self._store.follow(self._rules, _CHARGES_AT_ONCE) == _CHARGES_AT_ONCE:
            pass
        with self._observe("seal receipts") as work:
            sealed = await self._seal_next()
            if sealed:
                work.did(receipts=len(sealed))
            for receipt in sealed:
                self._metrics.sealed()
                log.info("receipt_sealed", receipt=receipt.receipt_id, seq=receipt.seq)
        self._metrics.sessions_open(await self._store.count_open())
        return sealed

    async def close(self, organisation: str, session: str) -> int:
        """Note that an application is done with a session; returns how many open parts that closes."""
        closed = await self._store.request_close(organisation, session, self._rules, self._clock.now())
        self.wake()
        return closed

    async def _seal_next(self) -> list[SealedReceipt]:
        """Seal what is due: what could not be sealed comes after all others, some of it at each look."""
        while True:
            due = await self._store.due(self._clock.now(), _SESSIONS_AT_ONCE + len(self._stuck))
            others = [scope_id for scope_id in due if scope_id not in self._stuck]
            if not others:
                break
            if sealed := await self._seal(others[:_SESSIONS_AT_ONCE]):
                return sealed
        again = list(self._stuck)[:_SESSIONS_AT_ONCE]
        for scope_id in again:
            del self._stuck[scope_id]
        return await self._seal(again)

    async def _seal(self, scope_ids: Sequence[int]) -> list[SealedReceipt]:
        """Seal sessions together; where one cannot be sealed, the others without it."""
        if not scope_ids:
            return []
        try:
            return await self._store.seal(scope_ids, self._make_receipt, self._clock.now())
        except Transient:
            raise
        except Exception:  # one session must not hold up the receipts of all others; it is tried again
            if len(scope_ids) == 1:
                self._stuck[scope_ids[0]] = None
                log.exception("session_cannot_be_sealed", scope_id=scope_ids[0])
                return []
        middle = len(scope_ids) // 2
        return [*await self._seal(scope_ids[:middle]), *await self._seal(scope_ids[middle:])]

    def _make_receipt(self, part: OpenPart, seq: int, prev: bytes) -> SealedReceipt:
        now = self._clock.now()
        return seal_receipt(
            part.charges,
            EntryPlace(organisation=part.organisation, seq=seq, prev=prev, issued_at=now),
            receipt_id=self._new_id("rcpt", now),
            closed_by=part.closed_by,
            part=part.part,
            supplements=part.supplements,
            correction=part.correction,
            verified_through=part.verified_through,
            content_mode="metadata",
        )
