"""Brings a database to the current schema, and tells whether it is there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from p402.collector.storage.database import open_engine
from p402.vocabulary import Permanent

__all__ = ["DatabaseUnusable", "revisions", "upgrade"]


class DatabaseUnusable(Permanent):
    """The database file cannot be opened, or was written by a newer version."""


def upgrade(file: Path) -> str | None:
    """Create or upgrade the database; returns the revision it had before (None: it was new).

    Raises:
        DatabaseUnusable: saying which file, and what to do.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        engine = open_engine(file)
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # all steps or none, and not beside another process
            before = MigrationContext.configure(connection).get_current_revision()
            config = _config(connection)
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            if before is not None and before not in known:
                raise DatabaseUnusable(
                    f"{file} was written by a newer version (schema {before}). Start that version, or restore a backup."
                )
            command.upgrade(config, "head")
            connection.commit()
            # What a crash left written but not synced counts as recorded from now on, so it must be on disk.
            connection.exec_driver_sql("PRAGMA wal_checkpoint")
        engine.dispose()
    except (OSError, SQLAlchemyError) as error:
        raise DatabaseUnusable(f"The database {file} cannot be opened: {error}.") from error
    return before


def revisions(file: Path) -> tuple[str | None, str | None]:
    """Give the schema that an existing database has, and the one that this version needs.

    Raises:
        DatabaseUnusable: if the file is not a database that can be read.
    """
    try:
        engine = open_engine(file)
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
            newest = ScriptDirectory.from_config(_config(connection)).get_current_head()
        engine.dispose()
    except (OSError, SQLAlchemyError) as error:
        raise DatabaseUnusable(f"The database {file} cannot be opened: {error}.") from error
    return found, newest


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "p402.collector:storage/migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
