"""The schema: what the migrations make is what the tables say, and an unusable file is told from a usable one."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from p402.collector.storage import budget_tables, event_tables  # noqa: F401 - their tables are part of the metadata
from p402.collector.storage.database import open_engine
from p402.collector.storage.migrate import DatabaseUnusable, upgrade
from p402.collector.storage.tables import metadata


def schema(file: Path) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(file)
    found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    connection.close()
    return found


def test_a_new_database_is_exactly_what_the_tables_say(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "folder" / "p402.sqlite3"
    assert upgrade(file) is None
    engine = open_engine(file)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_upgrading_again_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "p402.sqlite3"
    upgrade(file)
    before = schema(file)
    assert upgrade(file) is not None
    assert schema(file) == before


def test_two_processes_that_start_together_make_one_schema(tmp_path: Path) -> None:
    file = tmp_path / "p402.sqlite3"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(upgrade, [file] * 4))
    assert found.count(None) == 1
    assert upgrade(file) is not None


def test_a_migration_that_is_cut_short_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "p402.sqlite3"
    obstacle = sqlite3.connect(file)
    obstacle.execute("CREATE TABLE spend_hourly (mine)")  # the migration gets so far, and no further
    obstacle.close()
    with pytest.raises(DatabaseUnusable):
        upgrade(file)
    assert [name for kind, name, _ in schema(file) if kind == "table"] == ["spend_hourly"]
    obstacle = sqlite3.connect(file)
    obstacle.execute("DROP TABLE spend_hourly")
    obstacle.close()
    assert upgrade(file) is None


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p402.sqlite3"
    upgrade(file)
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(DatabaseUnusable, match=r"newer version \(schema 9999\)\. Start that version, or restore"):
        upgrade(file)


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one", None])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "p402.sqlite3"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content * 100)
    with pytest.raises(DatabaseUnusable, match=r"p402\.sqlite3 cannot be opened"):
        upgrade(file)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnusable, match=r"file/p402\.sqlite3 cannot be opened"):
        upgrade(tmp_path / "file" / "p402.sqlite3")
