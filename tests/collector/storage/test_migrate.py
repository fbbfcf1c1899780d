"""The schema: what the migrations make is what the tables say, and an unusable database is told from a usable one."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from p402.collector.storage import (  # noqa: F401 - their tables count too
    budget_tables,
    directory_tables,
    evaluation_tables,
    event_tables,
    export_tables,
    forward_tables,
    log_tables,
    policy_tables,
    privacy_tables,
    reconciliation_tables,
    settlement_tables,
    usage_tables,
    web_session_tables,
)
from p402.collector.storage.migrate import DatabaseUnusable, _config, revisions, upgrade
from p402.collector.storage.tables import metadata
from support.databases import Kept, kept_in

_SCHEMA = {
    "sqlite": "SELECT type, name, sql FROM sqlite_master ORDER BY type, name",
    "postgresql": "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    " UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
}
_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}


@pytest.fixture
def new(tmp_path: Path) -> Kept:
    """A database in which there is nothing yet."""
    return kept_in(tmp_path, migrated=False)


def schema(kept: Kept) -> list[tuple[Any, ...]]:
    return kept.rows(_SCHEMA[kept.kind])


def test_a_new_database_is_exactly_what_the_tables_say(new: Kept) -> None:
    backend = new.backend()
    assert upgrade(backend) is None
    with backend.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    backend.engine.dispose()


def test_the_first_schema_is_what_the_first_version_wrote(tmp_path: Path) -> None:
    """A migration that was released never changes: what it made is in databases of others."""
    written, made = Kept(tmp_path / "written.sqlite3", None), Kept(tmp_path / "made.sqlite3", None)
    with closing(sqlite3.connect(written.file)) as database:
        database.executescript((Path(__file__).parent / "first_schema.sql").read_text())
    backend = made.backend()
    with backend.engine.connect() as connection:
        backend.begin_migration(connection)
        command.upgrade(_config(connection), "0001")
        backend.commit(connection, ())
    backend.engine.dispose()
    assert schema(made) == schema(written)


def test_upgrading_again_changes_nothing(new: Kept) -> None:
    upgrade(new.backend())
    before = schema(new)
    assert upgrade(new.backend()) is not None
    assert schema(new) == before
    found, newest = revisions(new.backend())
    assert found == newest


def test_two_processes_that_start_together_make_one_schema(new: Kept) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(upgrade, [new.backend() for _ in range(4)]))
    assert found.count(None) == 1
    assert upgrade(new.backend()) is not None


def test_a_migration_that_is_cut_short_leaves_nothing_behind(new: Kept) -> None:
    new.run("CREATE TABLE spend_hourly (mine integer)")  # the migration gets so far, and no further
    with pytest.raises(DatabaseUnusable):
        upgrade(new.backend())
    assert new.rows(_TABLES[new.kind]) == [("spend_hourly",)]
    new.run("DROP TABLE spend_hourly")
    assert upgrade(new.backend()) is None


def test_a_database_of_a_newer_version_is_refused(new: Kept) -> None:
    upgrade(new.backend())
    new.run("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnusable, match=r"newer version \(schema 9999\)\. Start that version, or restore"):
        upgrade(new.backend())
