"""What the databases do differently: how one is opened, how a change begins, and how news of other processes come in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from p402.collector.settings import Settings
from p402.collector.storage.sqlite import SqliteBackend
from p402.vocabulary import Permanent

__all__ = ["Backend", "BackendMissing", "open_backend"]


class BackendMissing(Permanent):
    """The settings ask for a database whose driver is not installed."""


class Backend(Protocol):
    """One kind of database."""

    place: str
    """Names the database in messages; never with a password."""
    engine: Engine
    unavailable: tuple[type[Exception], ...]
    """What the driver raises when the database cannot answer now; all else is a fault of what it was asked."""

    def prepare(self) -> None:
        """Make what must be there before a first connection, such as a folder."""
        ...

    def begin_change(self, connection: Connection) -> None:
        """Begin a transaction that no other writer runs beside, in this process or another."""
        ...

    def begin_query(self, connection: Connection) -> None:
        """Begin a transaction that reads one snapshot."""
        ...

    def begin_migration(self, connection: Connection) -> None:
        """Begin a change that may wait as long as another process migrates."""
        ...

    def is_in_transaction(self, connection: Connection) -> bool:
        """Tell whether the transaction is still there after an error, so that a part of it can be undone."""
        ...

    def commit(self, connection: Connection, topics: Sequence[str]) -> None:
        """Commit; returns when all of it is on disk. Other processes are told the topics with it."""
        ...

    def sync(self, connection: Connection) -> None:
        """Bring what a crash left written, but not synced, to disk."""
        ...

    def scrub(self, *, whole: bool = False) -> bool:
        """Overwrite what was deleted, as far as this kind of database can: `rewrite`, and `empty_log`.

        Args:
            whole: do all that can be done, however long others have to wait meanwhile.
        """
        ...

    def rewrite(self, *, whole: bool = False) -> bool:
        """Write anew what has room that was freed; tells whether it could do that now."""
        ...

    def empty_log(self) -> bool:
        """Empty the write-ahead log, where that is ours to do; tells whether it could do that now."""
        ...

    def risks(self) -> list[str]:
        """Say what in the set-up of the database threatens what it has committed."""
        ...

    def watch(
        self, write: Callable[[Callable[[Connection], Any]], Any], tell: Callable[[str], None], stopped: threading.Event
    ) -> None:
        """Tell what is signalled elsewhere until stopped; runs in a thread of its own.

        Args:
            write: runs a change in the writer and returns its result.
            tell: takes a topic, or ``*`` when signals may have been missed.
            stopped: set to end, which may take a fraction of a second.
        """
        ...


def open_backend(settings: Settings) -> Backend:
    """Give the database that the settings name; nothing is asked of it yet.

    Raises:
        Permanent: if its address cannot be read or its driver is not installed.
    """
    if settings.postgresql_url is None:
        return SqliteBackend(settings.database_file)
    try:
        from p402.collector.storage.postgresql import PostgresqlBackend  # noqa: PLC0415 - its driver is an extra
    except ImportError as error:
        raise BackendMissing(
            f"P402_DATABASE_URL names a PostgreSQL database, but its driver cannot be loaded ({error}): "
            "pip install 'p402-collector[postgresql]'"
        ) from error
    return PostgresqlBackend(settings.postgresql_url)
