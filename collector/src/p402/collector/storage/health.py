"""How far followers, queues and anchors are: implements `health.behind.WhatIsBehind`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Select, func, select

from p402.collector.health.behind import Behind, Queue, Unanchored
from p402.collector.storage.anomalies import FOLLOWER as ANOMALIES
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.event_tables import deliveries
from p402.collector.storage.export_tables import exports
from p402.collector.storage.forward_tables import forward_batches, forward_places
from p402.collector.storage.log_tables import logs
from p402.collector.storage.sessions import FOLLOWER as SESSIONS
from p402.collector.storage.settlement_tables import settlements
from p402.collector.storage.tables import charges, cursors, receipts, sessions
from p402.collector.storage.usage import FOLLOWER as USAGE

__all__ = ["SqlWhatIsBehind"]

_FOLLOWERS = (SESSIONS, ANOMALIES, USAGE)


class SqlWhatIsBehind:
    """Reads it from the database.

    Args:
        database: that is looked at.
        backends: names of what spans are sent on to.
        is_settled: tells whether an organisation is; None where none is.
        folder: where the collector keeps its files; None: nobody asks how much room is left.
    """

    def __init__(
        self,
        database: Database,
        backends: Sequence[str],
        is_settled: Callable[[str], bool] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._database = database
        self._backends = backends
        self._is_settled = is_settled
        self._folder = folder

    async def behind(self, at: datetime) -> Behind:
        """Tell what is behind.

        Raises:
            Transient: when the database is away, or takes nothing.
        """
        await self._database.write(lambda _: None)
        return await self._database.read(lambda connection: self._look(connection, to_millis(at)))

    def _look(self, connection: Connection, now: int) -> Behind:
        due = select(func.count(), func.min(deliveries.c.due_at)).where(
            deliveries.c.state == "pending", deliveries.c.due_at <= now
        )
        unsealed = select(func.count(), func.min(sessions.c.due_at)).where(sessions.c.due_at <= now)
        unwritten = select(func.count(), func.min(exports.c.created_at)).where(
            exports.c.state.in_(("queued", "running"))
        )
        checked = connection.execute(select(func.min(logs.c.appended_at))).scalar()  # each entry is signed at once
        return Behind(
            followers=_followers(connection),
            forwarding={backend: _waiting(connection, backend, now) for backend in self._backends},
            deliveries=_queue(connection, due, now),
            settlement=None if self._is_settled is None else _unanchored(connection, self._is_settled, now),
            sessions=_queue(connection, unsealed, now),
            exports=_queue(connection, unwritten, now),
            checkpoint_seconds=None if checked is None else max(now - checked, 0) / 1000,
            disk_free_bytes=_free(self._folder),
        )


def _followers(connection: Connection) -> dict[str, int]:
    newest = connection.execute(select(func.max(charges.c.seq))).scalar() or 0
    seen = {row.follower: row.seq for row in connection.execute(select(cursors))}
    return {follower: max(newest - seen.get(follower, 0), 0) for follower in _FOLLOWERS}


def _waiting(connection: Connection, backend: str, now: int) -> Queue:
    place = select(forward_places.c.seq).where(forward_places.c.backend == backend)
    after = connection.execute(place).scalar() or 0
    wait = forward_batches.c.seq > after, forward_batches.c.body.is_not(None)
    found = select(func.sum(forward_batches.c.spans), func.min(forward_batches.c.recorded_at)).where(*wait)
    return _queue(connection, found, now)


def _unanchored(connection: Connection, is_settled: Callable[[str], bool], now: int) -> Unanchored:
    names = connection.execute(select(logs.c.organisation)).scalars()
    settled = [organisation for organisation in names if is_settled(organisation)]
    late = select(func.count(), func.min(receipts.c.issued_at)).where(
        receipts.c.settlement_id.is_(None), receipts.c.organisation.in_(settled)
    )
    under_way = select(func.count()).where(settlements.c.state.in_(("planned", "signed")))
    in_doubt = select(func.count()).where(settlements.c.in_doubt == 1)
    return Unanchored(
        receipts=_queue(connection, late, now),
        under_way=connection.execute(under_way).scalar_one(),
        in_doubt=connection.execute(in_doubt).scalar_one(),
    )


def _queue(connection: Connection, query: Select[int, int | None], now: int) -> Queue:
    """Run a query that gives how much waits, and since when."""
    waiting, oldest = connection.execute(query).one()
    return Queue(int(waiting or 0), 0.0 if oldest is None else max(now - oldest, 0) / 1000)


def _free(folder: Path | None) -> int | None:
    try:
        return None if folder is None else shutil.disk_usage(folder).free
    except OSError:
        return None
