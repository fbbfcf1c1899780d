"""Signals: who waits for a change is woken by its commit, in every process, and never by what was undone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

from p402.collector.storage.signals import ANYTHING, Stream, signal
from support.changes import Refused, move, together
from support.open_books import open_database


def say(*topics: str) -> Callable[[Connection], None]:
    def change(connection: Connection) -> None:
        for topic in topics:
            signal(connection, topic)

    return change


def say_and_fail(connection: Connection) -> None:
    signal(connection, "undone")
    raise Refused("not like this")


async def until(stream: Stream, topic: str) -> list[str]:
    """What comes before a topic."""
    heard = []
    async with asyncio.timeout(20):
        async for found in stream:
            if found == topic:
                break
            heard.append(found)
    return heard


async def test_a_topic_is_told_after_the_commit_and_not_when_its_change_is_undone(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database, database.signals() as stream, database.signals() as another:
        assert (await anext(stream), await anext(another)) == (ANYTHING, ANYTHING)
        await together(database, say("a"), say_and_fail, say("b"))
        await database.write(say("end"))
        assert await until(stream, "end") == ["a", "b"]
        assert await until(another, "end") == ["a", "b"]


async def test_a_topic_that_waits_is_kept_once(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database, database.signals() as stream:
        assert await anext(stream) == ANYTHING
        for _ in range(3):
            await database.write(say("a", "b", "a"))
        await database.write(say("end"))
        assert await until(stream, "end") == ["a", "b"]


async def test_who_fell_far_behind_is_told_to_look_at_everything(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database, database.signals() as stream:
        await database.write(say(*map(str, range(1_001))))
        assert await anext(stream) == ANYTHING


async def test_another_process_is_told_or_told_to_look(tmp_path: Path) -> None:
    def change(connection: Connection) -> None:
        move("a")(connection)
        signal(connection, "budgets")

    async with open_database(tmp_path) as ours, open_database(tmp_path) as theirs, ours.signals() as stream:
        assert await anext(stream) == ANYTHING  # from here on we hear of others
        await theirs.write(change)
        assert await anext(stream) in {ANYTHING, "budgets"}


async def test_a_stream_ends_with_the_database(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database, database.signals() as stream:
        await database.close()
        async with asyncio.timeout(20):
            assert [topic async for topic in stream if topic != ANYTHING] == []
        async with database.signals() as late:
            with pytest.raises(StopAsyncIteration):
                await anext(late)


def test_nothing_listens_where_nobody_asks(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_database(tmp_path) as database:
            assert database._watcher is None
            await database.write(say("a"))

    asyncio.run(run())
