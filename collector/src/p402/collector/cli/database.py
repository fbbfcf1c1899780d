"""The database that the settings name, for commands that work on what is there already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from p402.collector.settings import Settings
from p402.collector.storage.backend import Backend, open_backend
from p402.collector.storage.database import Database
from p402.collector.storage.migrate import upgrade
from p402.vocabulary import Permanent

__all__ = ["NoDatabase", "existing_backend", "opened"]


class NoDatabase(Permanent):
    """There is nothing at the place that the settings name."""


def existing_backend(settings: Settings) -> Backend:
    """Give the database; a file that is missing is not made, since whoever asks mostly means another one.

    Raises:
        NoDatabase: if it is SQLite, and there is no file.
    """
    if settings.postgresql_url is None and not settings.database_file.is_file():
        raise NoDatabase(
            f"There is no database at {settings.database_file}. P402_DATA_DIR, P402_DATABASE_URL or the file that P402_CONFIG "
            "names says where the collector's is; `p402 migrate` makes a new one."
        )
    return open_backend(settings)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """Bring the database to the schema of this version, and give it to work with.

    Raises:
        NoDatabase: see `existing_backend`.
    """
    backend = existing_backend(settings)
    upgrade(backend)
    database = Database(backend)
    database.start()
    try:
        yield database
    finally:
        await database.close()
