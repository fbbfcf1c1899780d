"""Heartbeats of logs that are idle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from p402.collector.sessions.signing import LogSigners
from p402.collector.sessions.upkeep import LogKeeper
from p402.collector.storage.log_upkeep import SqlLogs
from support.open_books import OpenBooks, open_books
from support.otlp import ASpan


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path) as opened:
        await opened.send(ASpan(), ASpan.of({"p402.organisation": "initech"}))
        opened.clock.advance(hours=1)
        await opened.sealer.catch_up()
        yield opened


def keeper_of(books: OpenBooks, signers: LogSigners | None = None) -> LogKeeper:
    return LogKeeper(SqlLogs(books.database, signers or books.signers), timedelta(hours=1), books.clock)


async def test_an_idle_log_gets_a_heartbeat_an_hour_after_its_last_entry(books: OpenBooks) -> None:
    keeper = keeper_of(books)
    books.clock.advance(minutes=59)
    assert await keeper.catch_up() == 0
    books.clock.advance(minutes=1)
    assert await keeper.catch_up() == 2
    assert await keeper.catch_up() == 0
    books.clock.advance(hours=1)
    assert await keeper.catch_up() == 2
    assert [entry["type"] for entry in books.entries()] == ["session-receipt", "heartbeat", "heartbeat"]
    assert books.rows("SELECT size FROM checkpoints WHERE organisation = 'acme' ORDER BY size") == [(1,), (2,), (3,)]


async def test_a_log_that_is_written_to_gets_none(books: OpenBooks) -> None:
    for _ in range(3):
        await books.send(ASpan())
        books.clock.advance(minutes=30)
        await books.sealer.catch_up()
        books.clock.advance(minutes=15)
        await keeper_of(books).catch_up()
    assert "heartbeat" not in {entry["type"] for entry in books.entries()}


async def test_of_two_collectors_one_appends_it(books: OpenBooks) -> None:
    books.clock.advance(hours=1)
    store, now = SqlLogs(books.database, books.signers), books.clock.now()
    since = now - timedelta(hours=1)
    assert [await store.beat("acme", since, now) for _ in range(2)] == [True, False]


async def test_a_log_of_another_key_does_not_hold_up_the_others(books: OpenBooks) -> None:
    books.kept.run("UPDATE log_keys SET vkey = 'another' WHERE organisation = 'acme'")
    books.clock.advance(hours=1)
    assert await keeper_of(books).catch_up() == 1
    assert len(books.entries()) == 1
    assert len(books.entries("initech")) == 2
