"""One transaction of the writer: changes that share what they know, and write together what they can.

The writer holds the database's one turn to write from the beginning of a transaction to its end (`BEGIN IMMEDIATE` in SQLite,
an advisory lock in PostgreSQL), and so do the writers of other processes. What was read in a transaction therefore stays true
until one of its own changes makes it otherwise: it is read once, changed in memory, and written before the commit.

A *memory* keeps such facts. It tells what the present change has added from what the changes before it have, so that a
change that fails takes back its own alone. Any statement first writes what is in memory, so that no SQL, whoever says it,
sees less than has happened; and the first statement of a change begins the savepoint to which a failure goes back. A change
that only uses memories costs no statement at all.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from sqlalchemy import Connection

from p402.collector.storage.driver import TRANSACTION, Cursor, Driver, raw_driver

__all__ = ["Memory", "Rows", "Transaction", "insert_later", "transaction_of", "write_before"]

T = TypeVar("T")
M = TypeVar("M", bound="Memory")

_MOST_AT_ONCE = 64  # rows of one statement


class Memory(Protocol):
    """Facts of one kind."""

    def keep(self) -> None:
        """Count what the present change has added to what is to be written: the change has succeeded."""
        ...

    def undo(self) -> None:
        """Take back what the present change has added; the database knows nothing of it."""
        ...

    def write(self, sql: Driver) -> None:
        """Write what is kept and not yet written."""
        ...

    def forget(self) -> None:
        """Forget everything: what the present change wrote was undone in the database."""
        ...


class Transaction:
    """A transaction of the writer; the `Driver` of its changes."""

    def __init__(self, connection: Connection) -> None:
        self._sql = raw_driver(connection)
        self._memories: dict[type[Any], Memory] = {}
        self._saved = False
        self.lost = False
        """Whether something failed that belongs to no change alone, so that all of them are undone."""

    # --- for the writer

    def run(self, change: Callable[[Connection], T], connection: Connection) -> T:
        """Run a change; when it raises, `undo` must follow."""
        self._saved = False
        result = change(connection)
        if self._saved:
            self._sql.execute("RELEASE SAVEPOINT change")
        for memory in self._memories.values():
            memory.keep()
        return result

    def undo(self) -> bool:
        """Undo the change that failed, and nothing else; tells whether the database was asked to undo something."""
        if not self._saved:
            for memory in self._memories.values():
                memory.undo()
            return False
        self._sql.execute("ROLLBACK TO SAVEPOINT change")
        self._sql.execute("RELEASE SAVEPOINT change")
        for memory in self._memories.values():
            memory.forget()
        return True

    def write(self) -> None:
        """Write what is kept; to be called before the commit."""
        for memory in self._memories.values():
            memory.write(self._sql)

    # --- for changes

    def memory(self, kind: type[M]) -> M:
        """Give the memory of a kind, an empty one if nobody has asked for it in this transaction."""
        found = self._memories.get(kind)
        if found is None:
            found = self._memories[kind] = kind()
        return cast("M", found)

    def look(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Read rows of which nothing is only in memory, without writing first."""
        if self._saved:
            return self._sql.execute(sql, parameters).fetchall()
        self.lost = True  # if this fails, there is no savepoint to go back to
        rows = self._sql.execute(sql, parameters).fetchall()
        self.lost = False
        return rows

    def ready(self) -> None:
        """Prepare for a statement: write what is in memory, the present change's own within its savepoint."""
        if not self._saved:
            self.lost = True  # what fails here is the work of earlier changes
            self.write()
            self._sql.execute("SAVEPOINT change")
            self._saved, self.lost = True, False
        for memory in self._memories.values():
            memory.keep()
            memory.write(self._sql)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement, see `Driver`."""
        self.ready()
        return self._sql.execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        """Run a statement for each row, see `Driver`."""
        self.ready()
        return self._sql.executemany(sql, rows)


def transaction_of(sql: Driver) -> Transaction:
    """Give the transaction that a change is part of."""
    assert isinstance(sql, Transaction), "only changes have memories; a query reads what is written"
    return sql


def write_before(connection: Connection, *_: object) -> None:
    """Prepare the transaction of a connection, if it is in one, for a statement that does not go through the driver."""
    transaction = connection.info.get(TRANSACTION)
    if transaction is not None:
        transaction.ready()


class Rows(NamedTuple):
    """A kind of rows that are inserted later."""

    table: str
    columns: str
    rank: int
    """Rows are inserted in this order, since later ones refer to those before."""


def insert_later(sql: Driver, kind: Rows, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows together with those of other changes: nothing may be wrong with them, or all of the changes fail."""
    transaction_of(sql).memory(_Inserts).add(kind, rows)


class _Inserts:
    """Rows to be inserted; implements `Memory`."""

    def __init__(self) -> None:
        self._kept: dict[Rows, list[Sequence[Any]]] = defaultdict(list)
        self._added: list[tuple[Rows, Sequence[Sequence[Any]]]] = []

    def add(self, kind: Rows, rows: Sequence[Sequence[Any]]) -> None:
        self._added.append((kind, rows))

    def keep(self) -> None:
        for kind, rows in self._added:
            self._kept[kind] += rows
        self._added.clear()

    def undo(self) -> None:
        self._added.clear()

    def forget(self) -> None:
        self._added.clear()
        self._kept.clear()

    def write(self, sql: Driver) -> None:
        if not self._kept:
            return
        for kind in sorted(self._kept, key=lambda kind: kind.rank):
            if self._kept[kind]:
                _insert(sql, kind, self._kept[kind])
        self._kept.clear()


def _insert(sql: Driver, kind: Rows, rows: Sequence[Sequence[Any]]) -> None:
    """Insert by as few statements as there are powers of two in the number of rows, so that few are ever prepared."""
    at, size = 0, _MOST_AT_ONCE
    while at < len(rows):
        if size <= len(rows) - at:
            values = [value for row in rows[at : at + size] for value in row]
            sql.execute(_insertion(kind, len(rows[0]), size), values)
            at += size
        else:
            size //= 2


@functools.cache
def _insertion(kind: Rows, width: int, size: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {kind.table} ({kind.columns}) VALUES {', '.join([row] * size)}"
