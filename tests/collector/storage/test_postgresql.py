"""PostgreSQL: what a server can do to us, and what must not be told about it."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import psycopg.conninfo
import pytest
from sqlalchemy import Connection

from p402.collector.storage.database import Database, StorageUnavailable
from p402.collector.storage.migrate import DatabaseUnusable, upgrade
from p402.collector.storage.postgresql import DatabaseUrlInvalid, PostgresqlBackend
from p402.collector.storage.signals import ANYTHING
from support.changes import kept, move, together
from support.databases import POSTGRESQL, Kept, kept_in, using
from support.open_books import open_books, open_database
from support.otlp import ASpan
from support.postgresql import administrators

_TURN = "SELECT pg_advisory_lock(402402402)"
_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module", autouse=True)
def each_database() -> Iterator[None]:
    """PostgreSQL alone."""
    with using(POSTGRESQL):
        yield


@pytest.fixture
def books(tmp_path: Path) -> Kept:
    return kept_in(tmp_path)


@pytest.fixture
async def database(tmp_path: Path, books: Kept) -> AsyncIterator[Database]:  # noqa: ARG001 - made first
    async with open_database(tmp_path) as opened:
        yield opened


def cut_connections(books: Kept) -> None:
    """End every connection of the database, as a server does that is restarted."""
    assert books.url is not None
    with psycopg.connect(administrators(books.url), autocommit=True) as administrator:
        administrator.execute(_OTHERS)


def test_a_server_that_is_away_is_named_without_the_password() -> None:
    with pytest.raises(
        DatabaseUnusable, match=r"The database books at 127\.0\.0\.1:9 cannot be opened: .*refused"
    ) as told:
        upgrade(PostgresqlBackend("postgresql://p402:hunter2@127.0.0.1:9/books"))
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("url", ["postgresql://p402:hunt/er2@db/books", "postgresql://p402:hun%ter2@db/books"])
def test_an_address_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(DatabaseUrlInvalid, match="write special characters as %XX") as told:
        PostgresqlBackend(url)
    assert "er2" not in "".join(traceback.format_exception(told.value)).replace(url, "")


def test_a_database_that_is_not_there_is_named(books: Kept) -> None:
    assert books.url is not None
    with pytest.raises(DatabaseUnusable, match='database "nowhere" does not exist'):
        upgrade(PostgresqlBackend(books.url.replace(name_of(books), "nowhere")))


def name_of(books: Kept) -> str:
    assert books.url is not None
    return str(psycopg.conninfo.conninfo_to_dict(books.url)["dbname"])


async def test_commits_are_synced_whatever_the_database_says(books: Kept, tmp_path: Path) -> None:
    books.run(f"ALTER DATABASE {name_of(books)} SET synchronous_commit = off")
    async with open_database(tmp_path) as database:
        shown = await database.write(lambda connection: connection.exec_driver_sql("SHOW synchronous_commit").scalar())
    assert shown == "on"


def test_a_server_that_does_not_sync_is_reported(books: Kept) -> None:
    [risk, _] = books.backend().risks()  # the tests' own server is fast, and forgets
    assert "runs with fsync=off: a power cut can lose" in risk


async def test_connections_that_died_while_nobody_used_them_are_replaced(database: Database, books: Kept) -> None:
    await database.write(move("a"))
    assert await kept(database) == ["a"]
    cut_connections(books)
    assert await kept(database) == ["a"]
    await database.write(move("b"))
    cut_connections(books)
    await database.write(move("c"))
    assert await kept(database) == ["a", "b", "c"]


async def test_a_connection_that_dies_in_a_change_keeps_nothing_of_the_group(database: Database, books: Kept) -> None:
    def die(connection: Connection) -> None:
        move("half")(connection)
        cut_connections(books)
        move("other half")(connection)

    answers = await together(database, move("a"), die, move("b"))
    assert [type(answer) for answer in answers] == [StorageUnavailable] * 3
    assert await kept(database) == []
    await database.write(move("a"))
    assert await kept(database) == ["a"]


async def test_a_turn_that_does_not_come_is_said_and_passes(database: Database, books: Kept) -> None:
    assert books.url is not None
    await database.write(lambda connection: connection.exec_driver_sql("SET lock_timeout = '20ms'"))
    with psycopg.connect(books.url, autocommit=True) as other:
        other.execute(_TURN)
        with pytest.raises(StorageUnavailable, match="lock timeout"):
            await database.write(move("a"))
    await database.write(move("a"))
    assert await kept(database) == ["a"]


async def test_a_server_that_only_reads_is_unavailable(database: Database, books: Kept) -> None:
    def read_only(connection: Connection) -> None:
        connection.exec_driver_sql("SET default_transaction_read_only = on")

    await database.write(read_only)
    with pytest.raises(StorageUnavailable, match="read-only"):
        await database.write(move("a"))
    cut_connections(books)
    await database.write(move("a"))


async def test_who_listens_is_told_to_look_after_the_connection_was_lost(database: Database, books: Kept) -> None:
    async with database.signals() as stream:
        assert await anext(stream) == ANYTHING
        cut_connections(books)
        assert await anext(stream) == ANYTHING


async def test_texts_with_a_nul_are_charged_all_the_same(tmp_path: Path) -> None:
    odd = "a\0b"
    attributes = {
        "gen_ai.response.id": odd,
        "gen_ai.response.model": odd,
        "gen_ai.provider.name": odd,
        "p402.request": odd,
        "p402.task_type": odd,
        "p402.decision.rationale": odd,
    }
    span = ASpan.of(attributes, scope=odd)
    async with open_books(tmp_path) as books:
        assert await books.send(span) == {"charged": 1}
        assert await books.send(span) == {"repeated": 1}
        assert books.rows("SELECT response_id, request FROM charges") == [("a\ufffdb", "a\ufffdb")]
