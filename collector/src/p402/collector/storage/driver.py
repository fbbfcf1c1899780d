"""The hot path's way to the database: the driver itself, one SQL for SQLite and PostgreSQL.

SQLAlchemy's Core costs three to five times the driver on inserts, so what runs for every span or decision says its SQL
itself: ``driver(connection).execute("SELECT … WHERE id = ?", (id,)).fetchone()``. It is written for both databases:

- ``?`` marks a parameter, and ``IS ?`` compares with a parameter that may be NULL. Neither stands inside a literal.
- ``ON CONFLICT DO NOTHING``; ``ON CONFLICT (columns) DO UPDATE SET n = table.n + excluded.n``; ``RETURNING`` for new ids.
- Rows are tuples; bytes come back as bytes, sums of integers perhaps as ``Decimal``: make them ``int``.

In a change the driver is its `storage.transaction.Transaction`.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["TRANSACTION", "Cursor", "Driver", "driver", "in_psycopg", "raw_driver", "upsert"]

TRANSACTION = "p402.transaction"
"""Where the info of a connection has the transaction of the writer that runs on it."""


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed; for ``executemany``, by all of it."""
        ...

    def fetchone(self) -> Any:
        """Give the next row, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Give the rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Driver(Protocol):
    """Runs SQL inside the change or query whose connection it was made of."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        """Run a statement for each row."""
        ...


def driver(connection: Connection) -> Driver:
    """Give the driver of a change or a query."""
    transaction: Driver | None = connection.info.get(TRANSACTION)
    return raw_driver(connection) if transaction is None else transaction


def raw_driver(connection: Connection) -> Driver:
    """Give the driver under a connection, which knows nothing of a change."""
    raw = connection.connection.driver_connection
    return cast("Driver", raw) if isinstance(raw, sqlite3.Connection) else _PostgresqlDriver(raw)


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Begin an insert that may say ``on_conflict_do_update`` and ``on_conflict_do_nothing``, for cold statements."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


class _PostgresqlDriver:
    """psycopg, which writes parameters as ``%s`` and compares with NULL in other words."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        return cast("Cursor", self._connection.execute(in_psycopg(sql), parameters))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        cursor = self._connection.cursor()
        cursor.executemany(in_psycopg(sql), rows)
        return cast("Cursor", cursor)


@functools.lru_cache(maxsize=1024)
def in_psycopg(sql: str) -> str:
    """Write a statement in psycopg's words."""
    return sql.replace("%", "%%").replace(" IS ?", " IS NOT DISTINCT FROM ?").replace("?", "%s")
