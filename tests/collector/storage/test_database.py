"""Group commit: what one change does to another, and what happens when the disk does not answer."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from p402.collector.storage.database import Database, StorageUnavailable
from p402.collector.storage.driver import driver
from p402.collector.storage.interned import Interned
from p402.vocabulary import Attribution, Permanent
from support.open_books import empty_database, open_books, open_database
from support.otlp import ASpan


class Refused(Permanent):
    """What a change may say."""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path) as opened:
        yield opened


def move(follower: str, seq: int | None = 1) -> Callable[[Connection], str]:
    """A change: one row in the smallest table; without a number the table refuses it."""

    def change(connection: Connection) -> str:
        connection.exec_driver_sql("INSERT INTO cursors VALUES (?, ?)", (follower, seq))
        return follower

    return change


def refuse(_: Connection) -> None:
    raise Refused("not like this")


async def kept(database: Database) -> list[str]:
    query = "SELECT follower FROM cursors ORDER BY follower"
    return await database.read(lambda connection: list(connection.exec_driver_sql(query).scalars()))


@asynccontextmanager
async def busy_writer(database: Database) -> AsyncIterator[asyncio.Task[None]]:
    """Hold the writer with a change, so that what is written meanwhile waits and is then committed together."""
    held, release = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        held.set()
        assert release.wait(20)

    holding = asyncio.create_task(database.write(hold))
    assert await asyncio.to_thread(held.wait, 20)
    yield holding
    await asyncio.sleep(0)  # each has put its change into the queue
    release.set()


async def together(database: Database, *changes: Callable[[Connection], Any]) -> list[Any]:
    """Run changes in one group."""
    async with busy_writer(database):
        tasks = [asyncio.create_task(database.write(change)) for change in changes]
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_failing_change_is_undone_alone(database: Database) -> None:
    def half(connection: Connection) -> None:
        move("half")(connection)
        refuse(connection)

    answers = await together(database, move("a"), half, move("a"), move("b"))
    assert (answers[0], answers[3]) == ("a", "b")
    assert isinstance(answers[1], Refused)
    assert isinstance(answers[2], Exception)
    assert await kept(database) == ["a", "b"]


async def test_a_change_whose_caller_gave_up_harms_no_other(database: Database) -> None:
    async with busy_writer(database) as holding:
        tasks = [asyncio.create_task(database.write(move(name))) for name in ("a", "given up", "b")]
        refused = asyncio.create_task(database.write(refuse))
        await asyncio.sleep(0)
        holding.cancel()  # its change is running already
        tasks[1].cancel()
    assert [await tasks[0], await tasks[2]] == ["a", "b"]
    with pytest.raises(Refused):
        await refused
    assert await kept(database) == ["a", "b"]


async def test_ids_given_out_in_an_undone_change_are_forgotten(database: Database) -> None:
    interned = Interned()
    database.on_rollback(interned.forget)

    def intern(connection: Connection) -> int:
        return interned.scope(driver(connection), Attribution("acme"))

    def intern_and_fail(connection: Connection) -> None:
        intern(connection)
        raise Refused("too late")

    with pytest.raises(Refused):
        await database.write(intern_and_fail)
    given = await database.write(intern)
    found = await database.read(lambda connection: list(connection.exec_driver_sql("SELECT id FROM scopes").scalars()))
    assert found == [given]


async def test_what_is_written_is_synced_to_disk_first(database: Database) -> None:
    def pragma(connection: Connection) -> tuple[Any, ...]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names)

    assert await database.write(pragma) == ("wal", 2, 1)


async def test_closing_commits_what_waits(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        waiting = [asyncio.create_task(database.write(move(f"{number:03}"))) for number in range(200)]
        await asyncio.sleep(0)
    assert len(await asyncio.gather(*waiting)) == 200
    async with open_database(tmp_path) as database:
        assert len(await kept(database)) == 200


async def test_nothing_is_written_after_closing(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.close()
        with pytest.raises(StorageUnavailable, match="closed"):
            await database.write(move("late"))


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
        other = sqlite3.connect(books.file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="locked"):
            await books.send(ASpan())
        other.close()
        assert await books.send(ASpan()) == {"charged": 1}


async def test_a_disk_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "volume" / "p402.sqlite3"
    database = Database(file)
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
    database = Database(tmp_path / "missing" / "p402.sqlite3")
    with pytest.raises(StorageUnavailable, match="unable to open"):
        await database.read(lambda connection: connection.exec_driver_sql("SELECT 1"))
