"""Brings a database to the current schema, and tells whether it is there."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from p402.collector.storage.backend import Backend
from p402.vocabulary import Permanent

__all__ = ["DatabaseUnusable", "revisions", "upgrade"]


class DatabaseUnusable(Permanent):
    """The database cannot be opened, or was written by a newer version."""


def upgrade(backend: Backend) -> str | None:
    """Create or upgrade the database; returns the revision it had before (None: it was new).

    Raises:
        DatabaseUnusable: saying which database, and what to do.
    """
    problems: tuple[type[Exception], ...] = (OSError, SQLAlchemyError, *backend.unavailable)
    try:
        backend.prepare()
        with backend.engine.connect() as connection:
            backend.begin_migration(connection)  # all steps or none, and not beside another process
            before = MigrationContext.configure(connection).get_current_revision()
            config = _config(connection)
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            if before is not None and before not in known:
                raise DatabaseUnusable(
                    f"{backend.place} was written by a newer version (schema {before}). Start that version, or restore a "
                    "backup."
                )
            command.upgrade(config, "head")
            backend.commit(connection, ())
            # What a crash left written but not synced counts as recorded from now on, so it must be on disk.
            backend.sync(connection)
    except problems as error:
        raise _unusable(backend, error) from error
    finally:
        backend.engine.dispose()
    return before


def revisions(backend: Backend) -> tuple[str | None, str | None]:
    """Give the schema that an existing database has, and the one that this version needs.

    Raises:
        DatabaseUnusable: if it is not a database that can be read.
    """
    try:
        with backend.engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
            newest = ScriptDirectory.from_config(_config(connection)).get_current_head()
    except (OSError, SQLAlchemyError) as error:
        raise _unusable(backend, error) from error
    finally:
        backend.engine.dispose()
    return found, newest


def _unusable(backend: Backend, error: Exception) -> DatabaseUnusable:
    reason = error.orig if isinstance(error, DBAPIError) else error
    return DatabaseUnusable(f"The database {backend.place} cannot be opened: {' '.join(str(reason).split())}.")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "p402.collector:storage/migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
