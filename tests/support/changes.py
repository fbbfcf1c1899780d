"""Changes to give to a database, and a way to have several of them committed together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection

from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.vocabulary import Permanent


class Refused(Permanent):
    """What a change may say."""


def move(follower: str, seq: int | None = 1) -> Callable[[Connection], str]:
    """A change: one row in the smallest table; without a number the table refuses it."""

    def change(connection: Connection) -> str:
        driver(connection).execute("INSERT INTO cursors VALUES (?, ?)", (follower, seq))
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
