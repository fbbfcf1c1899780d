"""Which of several collectors does what one alone should do: a lease in the database, renewed while its holder lives.

Two may hold a task for a moment, when their clocks differ or one of them stood still. So what a leader does must be
right even then; a lease only saves the others the work.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import upsert
from p402.collector.storage.tables import leaders
from p402.vocabulary import Clock

__all__ = ["LEASE", "Leadership"]

LEASE = timedelta(seconds=30)
_CLOCKS_DIFFER = timedelta(minutes=5)
"""A lease that ends later than one from a clock so far ahead is of a clock that was wrong: it binds nobody."""


class Leadership:
    """One process's claim to a task."""

    def __init__(self, database: Database, task: str, holder: str, clock: Clock) -> None:
        self._database = database
        self._task = task
        self._holder = holder
        self._clock = clock

    async def take(self) -> bool:
        """Tell whether the task is ours; take it if nobody holds it, and renew it when half of the lease is over.

        Raises:
            Transient: when the database is away.
        """
        holder, until = await self._database.read(self._held)
        now = self._clock.now()
        if holder == self._holder and until > now + LEASE / 2:
            return True
        if holder != self._holder and until > now:
            return False
        return await self._database.write(self._claim)

    async def resign(self) -> None:
        """Let another take the task at once."""
        ours = delete(leaders).where(leaders.c.task == self._task, leaders.c.holder == self._holder)
        await self._database.write(lambda connection: connection.execute(ours).rowcount)

    def _held(self, connection: Connection) -> tuple[str | None, datetime]:
        query = select(leaders.c.holder, leaders.c.until).where(leaders.c.task == self._task)
        row = connection.execute(query).one_or_none()
        latest = self._clock.now() + LEASE + _CLOCKS_DIFFER
        if row is None or (until := from_millis(row.until)) > latest:
            return None, from_millis(0)
        return row.holder, until

    def _claim(self, connection: Connection) -> bool:
        now = self._clock.now()
        holder, until = self._held(connection)
        if holder != self._holder and until > now:
            return False  # another one was faster
        lease = {"holder": self._holder, "until": to_millis(now + LEASE)}
        claim = upsert(connection, leaders).values(task=self._task, **lease)
        connection.execute(claim.on_conflict_do_update(index_elements=["task"], set_=lease))
        return True
