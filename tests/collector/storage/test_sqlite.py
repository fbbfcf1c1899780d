"""SQLite: what happens when the disk does not answer, and what another process on the same file is told."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from p402.collector.storage.database import Database, StorageUnavailable
from p402.collector.storage.migrate import DatabaseUnusable, upgrade
from p402.collector.storage.signals import signal
from p402.collector.storage.sqlite import SqliteBackend
from support.changes import kept, move, together
from support.databases import empty_database
from support.open_books import open_books, open_database
from support.otlp import ASpan


@pytest.fixture(scope="module", autouse=True)
def each_database() -> None:
    """SQLite alone."""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path) as opened:
        yield opened


async def test_what_is_written_is_synced_to_disk_first(database: Database) -> None:
    def pragma(connection: Connection) -> tuple[Any, ...]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names)

    assert await database.write(pragma) == ("wal", 2, 1)


async def test_a_full_disk_is_said_and_passes(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:

        def fill(connection: Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        def grow(connection: Connection) -> None:
            move("x" * 1_000_000)(connection)

        await books.database.write(fill)
        answers = await together(books.database, move("a"), grow)
        assert isinstance(answers[1], StorageUnavailable)
        assert "full" in str(answers[1])
        await books.database.write(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1000000"))
        assert await books.send(ASpan()) == {"charged": 1}
        assert (await kept(books.database) == ["a"]) == (answers[0] == "a")


async def test_a_locked_file_is_said_and_passes(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        await books.database.write(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 20"))
        other = sqlite3.connect(books.kept.file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="locked"):
            await books.send(ASpan())
        other.close()
        assert await books.send(ASpan()) == {"charged": 1}


async def test_a_disk_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "volume" / "p402.sqlite3"
    database = Database(SqliteBackend(file))
    database.start()
    try:
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match="unable to open"):
                await database.write(move("a"))
        file.parent.mkdir()
        file.write_bytes(empty_database())
        assert await database.write(move("a")) == "a"
    finally:
        await database.close()


async def test_reading_what_cannot_be_read_is_unavailable_too(tmp_path: Path) -> None:
    database = Database(SqliteBackend(tmp_path / "missing" / "p402.sqlite3"))
    with pytest.raises(StorageUnavailable, match="unable to open"):
        await database.read(lambda connection: connection.exec_driver_sql("SELECT 1"))


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one", None])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "p402.sqlite3"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content * 100)
    with pytest.raises(DatabaseUnusable, match=r"p402\.sqlite3 cannot be opened"):
        upgrade(SqliteBackend(file))


def test_the_folder_of_the_file_is_made(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "folder" / "p402.sqlite3"
    assert upgrade(SqliteBackend(file)) is None
    assert file.is_file()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnusable, match=r"file/p402\.sqlite3 cannot be opened"):
        upgrade(SqliteBackend(tmp_path / "file" / "p402.sqlite3"))


async def test_a_change_by_another_process_is_noticed_and_ones_own_are_not_taken_for_it(tmp_path: Path) -> None:
    async with open_database(tmp_path) as ours, open_database(tmp_path) as theirs, ours.signals() as stream:
        assert await anext(stream) == "*"  # from here on the file is watched
        await ours.write(move("a"))
        await ours.write(lambda connection: signal(connection, "budgets"))
        assert await anext(stream) == "budgets"
        await theirs.write(move("b"))
        assert await anext(stream) == "*"
