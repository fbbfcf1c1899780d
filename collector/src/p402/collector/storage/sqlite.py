"""SQLite: one file, WAL, and every commit synced to disk before it returns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from p402.collector.storage.connections import CONNECTIONS
from p402.vocabulary import Transient

__all__ = ["SqliteBackend", "open_engine"]

_POLL_SECONDS = 0.2
_LARGEST_TO_REWRITE = 1 << 30  # bytes


def open_engine(file: Path) -> Engine:
    """Open the file."""
    # Kept open: opening one and reading the schema costs more than a millisecond, and a request asks for its key.
    engine = create_engine(
        f"sqlite:///{file}", poolclass=QueuePool, pool_size=CONNECTIONS, max_overflow=-1, hide_parameters=True
    )

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=10000",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", prepare)
    return engine


class SqliteBackend:
    """Implements `storage.backend.Backend`."""

    unavailable: tuple[type[Exception], ...] = (sqlite3.OperationalError,)

    def __init__(self, file: Path, scrub_patience: float = 10) -> None:
        self.file = file
        self._scrub_patience = scrub_patience  # seconds
        self.place = str(file)
        self.engine = open_engine(file)

    def prepare(self) -> None:
        """Make the folder."""
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def begin_change(self, connection: Connection) -> None:
        """Take the file's one lock for writing."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    begin_migration = begin_change

    def begin_query(self, connection: Connection) -> None:
        """Begin to read; the first statement fixes the snapshot."""
        connection.exec_driver_sql("BEGIN")

    def is_in_transaction(self, connection: Connection) -> bool:
        """Tell whether SQLite itself undid everything, as it does when the disk is full."""
        return cast("sqlite3.Connection", connection.connection.driver_connection).in_transaction

    def commit(self, connection: Connection, topics: Sequence[str]) -> None:  # noqa: ARG002 - others look at the file
        """Commit and sync."""
        connection.exec_driver_sql("COMMIT")

    def sync(self, connection: Connection) -> None:
        """Write the log back into the database."""
        connection.exec_driver_sql("PRAGMA wal_checkpoint")

    def scrub(self, *, whole: bool = False) -> bool:
        """Write the file anew without free pages, and empty the write-ahead log."""
        return self.rewrite(whole=whole) and self.empty_log()

    def rewrite(self, *, whole: bool = False) -> bool:
        """Write the file anew without free pages.

        Every byte is copied, and writers wait meanwhile. So a file above `_LARGEST_TO_REWRITE` is left as it is
        unless ``whole`` is said: deleted content was overwritten where it stood (``secure_delete``).
        """
        try:
            with closing(sqlite3.connect(self.file, isolation_level=None, timeout=self._scrub_patience)) as connection:
                connection.execute("PRAGMA secure_delete=ON")
                if whole or self.file.stat().st_size <= _LARGEST_TO_REWRITE:
                    connection.execute("VACUUM")
        except (OSError, sqlite3.OperationalError):
            return False
        return True

    def empty_log(self) -> bool:
        """Write the log back and cut it to nothing, for which no reader may be in it."""
        try:
            with closing(sqlite3.connect(self.file, isolation_level=None, timeout=self._scrub_patience)) as connection:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except (OSError, sqlite3.OperationalError):
            return False
        return not busy

    def risks(self) -> list[str]:
        """Say nothing: how the file is used is ours to say."""
        return []

    def watch(
        self, write: Callable[[Callable[[Connection], Any]], Any], tell: Callable[[str], None], stopped: threading.Event
    ) -> None:
        """Look whether another process changed the file; what it signalled is not known, and neither is the beginning."""
        seen = None
        while not stopped.wait(_POLL_SECONDS):
            with suppress(Transient):
                version = write(_version)
                if version != seen:
                    tell("*")
                seen = version


def _version(connection: Connection) -> int:
    """Give a number that changes when others commit; asked of the writer's connection, since its own do not count."""
    return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())
