"""Where a folder's books are kept: in an SQLite file, or, in tests that ask for both, in a PostgreSQL database too.

A test names a folder, as it would for SQLite. While it runs for PostgreSQL, a folder without books gets a database, and
a file that says which; so whoever opens the folder again, finds the same books.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from p402.collector.storage.backend import Backend
from p402.collector.storage.driver import in_psycopg
from p402.collector.storage.migrate import upgrade
from p402.collector.storage.postgresql import PostgresqlBackend
from p402.collector.storage.sqlite import SqliteBackend
from support.postgresql import shared_server

SQLITE, POSTGRESQL = "sqlite", "postgresql"

_POINTER = "postgresql-url"

_in_use = SQLITE
_numbers = itertools.count(1)
_migrated: dict[Path, str] = {}
"""Databases by the folder they were made for; when it is gone, they can be emptied and used again."""

_observers: dict[str, psycopg.Connection[Any]] = {}

_EMPTY = """
    DO $$
    DECLARE name text;
    BEGIN
        SET LOCAL session_replication_role = replica;
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
        PERFORM setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences WHERE schemaname = 'public';
    END $$
"""


@pytest.fixture(params=[SQLITE, POSTGRESQL], scope="module", autouse=True)
def each_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs every test of a folder whose conftest imports it on both databases."""
    with using(request.param):
        yield request.param


@contextmanager
def using(kind: str) -> Iterator[None]:
    """Keep in a kind of database what is begun until the block ends."""
    global _in_use  # noqa: PLW0603 - a test process runs one test at a time
    before, _in_use = _in_use, kind
    yield
    _in_use = before


@dataclass(frozen=True)
class Kept:
    """The books of a folder."""

    file: Path
    url: str | None
    """Of the PostgreSQL database; None: they are in the file."""

    @property
    def kind(self) -> str:
        return SQLITE if self.url is None else POSTGRESQL

    @property
    def settings(self) -> dict[str, str]:
        """What a collector must be told."""
        return {} if self.url is None else {"P402_DATABASE_URL": self.url}

    def backend(self) -> Backend:
        return SqliteBackend(self.file) if self.url is None else PostgresqlBackend(self.url)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What another program would find; sums as integers."""
        if self.url is None:
            with closing(sqlite3.connect(self.file)) as connection:
                return connection.execute(sql, values).fetchall()
        found = _observer(self.url).execute(in_psycopg(sql).encode(), values)
        return [tuple(int(v) if isinstance(v, Decimal) else v for v in row) for row in found]

    def run(self, *statements: str) -> None:
        """What another program would do."""
        if self.url is None:
            with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
                for statement in statements:
                    connection.execute(statement)
        else:
            with psycopg.connect(self.url, autocommit=True) as server:
                for statement in statements:
                    server.execute(statement.encode())

    @contextmanager
    def refusing_rows_of(self, table: str, reason: str) -> Iterator[None]:
        """Let no row into a table until the block ends."""
        if self.url is None:
            self.run(f"CREATE TRIGGER refused BEFORE INSERT ON {table} BEGIN SELECT raise(ABORT, '{reason}'); END")
        else:
            body = f"BEGIN RAISE EXCEPTION '{reason}'; END"
            self.run(
                f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
                f"CREATE TRIGGER refused BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()",
            )
        yield
        self.run("DROP TRIGGER refused" + (f" ON {table}" if self.url else ""))


def keep_in(folder: Path, url: str) -> None:
    """Say that the books of a folder are in a PostgreSQL database."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _POINTER).write_text(url)


def kept_in(folder: Path, *, migrated: bool = True) -> Kept:
    """Find the books of a folder, or begin them: at the current schema, or with nothing at all."""
    file, pointer = folder / "p402.sqlite3", folder / _POINTER
    if pointer.exists():
        return Kept(file, pointer.read_text())
    if _in_use == POSTGRESQL:
        keep_in(folder, url := _new_database(folder, migrated=migrated))
        return Kept(file, url)
    if migrated and not file.exists():
        file.write_bytes(empty_database())
    return Kept(file, None)


@functools.cache
def empty_database() -> bytes:
    """An SQLite file at the current schema; migrating takes long, copying does not."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "empty.sqlite3"
        upgrade(SqliteBackend(file))
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return file.read_bytes()


@functools.cache
def _template() -> str:
    upgrade(PostgresqlBackend(shared_server().create("migrated")))
    return "migrated"


@atexit.register
def _stop_observing() -> None:
    for connection in _observers.values():
        connection.close()


def _observer(url: str) -> psycopg.Connection[Any]:
    """A connection that looks at a database for as long as no other is looked at."""
    for known, connection in list(_observers.items()):
        if known == url and not connection.closed:
            with suppress(psycopg.OperationalError):
                connection.execute("SELECT 1")
                return connection
        connection.close()
        del _observers[known]
    return _observers.setdefault(url, psycopg.connect(url, autocommit=True))


def _new_database(folder: Path, *, migrated: bool) -> str:
    server = shared_server()
    reusable = next((known for known in _migrated if not known.exists()), None)
    if migrated and reusable is not None:
        name = _migrated[folder] = _migrated.pop(reusable)
        server.run(_EMPTY, database=name)
        return server.url(name)
    name = f"books_{next(_numbers)}"
    if migrated:
        _migrated[folder] = name
    return server.create(name, _template() if migrated else "template0")
