"""Erasures from request to end: the changes one after the other, and then the database's freed pages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import Connection, select, update

from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.erasure_rows import StoredErasure, erasure_by_id
from p402.collector.storage.erasures import Erasures
from p402.collector.storage.privacy_tables import erasures
from p402.vocabulary import Clock

__all__ = ["ErasureRuns"]

log = structlog.get_logger(__name__)

_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)


class Scrubbed(Protocol):
    """The part of `storage.backend.Backend` that overwrites what was deleted."""

    def rewrite(self) -> bool:
        """Write anew what has room that was freed; tells whether it could."""
        ...

    def empty_log(self) -> bool:
        """Empty the write-ahead log; tells whether it could."""
        ...


class ErasureRuns:
    """Carries erasures out; several collectors may do so at once."""

    def __init__(self, database: Database, changes: Erasures, backend: Scrubbed, clock: Clock) -> None:
        self._database = database
        self._changes = changes
        self._backend = backend
        self._clock = clock
        self._scrubbing = asyncio.Lock()
        self._tried: frozenset[str] = frozenset()
        self._rewritten: frozenset[str] = frozenset()
        self._pause = _FIRST_PAUSE
        self._next_try: datetime | None = None

    async def erase(
        self, organisation: str, employee: str, legal_basis: str, by: str | None, key_id: str | None
    ) -> StoredErasure:
        """Erase a person; when this returns they are gone, or what is left is told.

        Raises:
            Held: if legal holds keep all that there is.
        """
        now = self._clock.now()
        made = await self._database.write(
            lambda connection: self._changes.erase(connection, organisation, employee, legal_basis, by, key_id, now)
        )
        await self.catch_up()
        found = await self._database.read(lambda connection: erasure_by_id(connection, organisation, made.id))
        return found or made

    async def held_people(self, organisation: str) -> Mapping[bytes, str | None]:
        """Look up what `complete` needs, before the change."""

        def query(connection: Connection) -> Mapping[bytes, str | None]:
            return self._changes.held_people(connection, organisation)

        return await self._database.read(query, long=True)

    def complete(
        self, connection: Connection, organisation: str, people: Mapping[bytes, str | None], at: datetime
    ) -> int:
        """Begin to erase what no hold keeps any more, inside the change that released one; `catch_up` must follow."""
        return self._changes.complete(connection, organisation, people, at)

    async def catch_up(self) -> None:
        """Finish what was begun, here or by a collector that is no more."""
        left = select(erasures.c.id).where(erasures.c.work.is_not(None)).limit(1)
        while await self._database.read(lambda connection: connection.execute(left).first()):
            await self._database.write(self._changes.sweep)
        async with self._scrubbing:
            await self._scrub_what_is_done()

    async def _scrub_what_is_done(self) -> None:
        done = erasures.c.work.is_(None) & erasures.c.scrubbed_at.is_(None)
        query = select(erasures.c.id).where(done)
        ids = await self._database.read(lambda connection: list(connection.execute(query).scalars()))
        now, done_now = self._clock.now(), frozenset(ids)
        if not ids or (self._next_try is not None and now < self._next_try and done_now <= self._tried):
            return
        if not await asyncio.to_thread(self._scrub, done_now):
            self._pause = min(self._pause * 2, _LONGEST_PAUSE) if done_now <= self._tried else _FIRST_PAUSE
            self._tried, self._next_try = done_now, now + self._pause
            log.warning("database_not_scrubbed", erasures=len(ids), again_after_seconds=self._pause.total_seconds())
            return
        self._tried = self._rewritten = frozenset()
        self._next_try = None
        change = update(erasures).where(erasures.c.id.in_(ids), done).values(scrubbed_at=to_millis(self._clock.now()))
        await self._database.write(lambda connection: connection.execute(change).rowcount)

    def _scrub(self, ids: frozenset[str]) -> bool:
        """Rewrite the database once for these erasures, since writers wait meanwhile; its log then often enough."""
        if not ids <= self._rewritten:
            if not self._backend.rewrite():
                return False
            self._rewritten = ids
        return self._backend.empty_log()

    async def write_missing_lines(self) -> None:
        """Bring the list beside the database up to date with what other collectors erased."""
        await self._database.read(self._changes.write_missing_lines)
