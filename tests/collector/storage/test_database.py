"""Group commit: what one change does to another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection

from p402.collector.storage.connections import LONG_READERS, READERS
from p402.collector.storage.database import Database, StorageUnavailable
from p402.collector.storage.driver import driver
from p402.collector.storage.interned import Interned
from p402.vocabulary import Attribution
from support.changes import Refused, busy_writer, kept, move, refuse, together
from support.open_books import open_database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path) as opened:
        yield opened


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


async def test_a_statement_that_fails_inside_a_change_that_goes_on_harms_no_other(database: Database) -> None:
    def swallow(connection: Connection) -> None:
        move("half")(connection)
        with suppress(Exception):
            move("half")(connection)

    answers = await together(database, move("a"), swallow, move("b"))
    assert (answers[0], answers[2]) == ("a", "b")
    assert [name for name in await kept(database) if name != "half"] == ["a", "b"]


async def test_a_query_sees_one_moment(database: Database) -> None:
    seen, go_on = threading.Event(), threading.Event()
    count = "SELECT count(*) FROM cursors"

    def look_twice(connection: Connection) -> tuple[int, int]:
        first = connection.exec_driver_sql(count).scalar_one()
        seen.set()
        assert go_on.wait(20)
        return first, connection.exec_driver_sql(count).scalar_one()

    looking = asyncio.create_task(database.read(look_twice))
    assert await asyncio.to_thread(seen.wait, 20)
    await database.write(move("a"))
    go_on.set()
    assert await looking == (0, 0)
    assert await kept(database) == ["a"]


async def test_who_reads_little_waits_neither_for_long_reads_nor_for_other_threads(database: Database) -> None:
    go_on = threading.Event()
    held = [asyncio.create_task(asyncio.to_thread(go_on.wait, 20)) for _ in range(64)]
    held += [asyncio.create_task(database.read(lambda _: go_on.wait(20), long=True)) for _ in range(64)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(10):
            assert await kept(database) == []
    finally:
        go_on.set()
    assert all(await asyncio.gather(*held))


async def test_all_readers_and_the_writer_have_a_connection_at_once(database: Database) -> None:
    meeting = threading.Barrier(READERS + LONG_READERS + 1, timeout=20)

    def meet(connection: Connection) -> int:
        connection.exec_driver_sql("SELECT 1")
        return meeting.wait()

    reads = [database.read(meet) for _ in range(READERS)] + [
        database.read(meet, long=True) for _ in range(LONG_READERS)
    ]
    assert len(set(await asyncio.gather(database.write(meet), *reads))) == meeting.parties


async def test_nothing_is_read_after_closing(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.close()
        with pytest.raises(StorageUnavailable, match="closed"):
            await kept(database)
