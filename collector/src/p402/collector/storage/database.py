"""The database: many readers, one writer, and commits that are shared and synced.

Every change is a function of a connection. Changes that wait together are run in one transaction, each inside its own
savepoint, and committed once (*group commit*); a caller continues only after its change is on disk. One failing change
is undone alone.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from p402.vocabulary import P402Error, Transient

__all__ = ["Database", "StorageUnavailable", "open_engine"]

T = TypeVar("T")
Change = Callable[[Connection], Any]

_LARGEST_GROUP = 64  # changes committed together; bounds the time one caller waits for others


class StorageUnavailable(Transient):
    """The database cannot take a change now (disk full, locked, closed); the caller should try again."""


def open_engine(file: Path) -> Engine:
    """Open the SQLite file: WAL, and every commit synced to disk before it returns."""
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", prepare)
    return engine


class Database:
    """One SQLite database of this process: ``await read(query)`` and ``await write(change)``."""

    def __init__(self, file: Path) -> None:
        self._engine = open_engine(file)
        self._changes: queue.SimpleQueue[tuple[Change, Future[Any]] | None] = queue.SimpleQueue()
        self._closed = False
        self._on_rollback: list[Callable[[], None]] = []
        self._writer = threading.Thread(target=self._write_forever, name="p402-writer", daemon=True)

    def start(self) -> None:
        """Start the writer."""
        self._writer.start()

    async def close(self) -> None:
        """Commit what is waiting and stop."""
        self._closed = True
        self._changes.put(None)
        await asyncio.to_thread(self._writer.join)
        self._engine.dispose()

    def on_rollback(self, forget: Callable[[], None]) -> None:
        """Register what must be forgotten when a change is undone, such as ids that were given out in it."""
        self._on_rollback.append(forget)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query on a snapshot of its own, in a thread.

        Raises:
            StorageUnavailable: when the database cannot be read.
        """
        return await asyncio.to_thread(self._read, query)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run a change in the writer; returns after the commit is on disk.

        Raises:
            StorageUnavailable: when nothing was committed because the database cannot be written.
        """
        if self._closed:
            raise StorageUnavailable("The database is closed; this collector is stopping.")
        future: Future[T] = Future()
        self._changes.put((change, future))
        return await asyncio.wrap_future(future)

    def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                return query(connection)
        except OperationalError as error:
            raise StorageUnavailable(f"The database could not be read: {error.orig}. Try again.") from error

    def _write_forever(self) -> None:
        connection: Connection | None = None
        while (group := self._next_group()) is not None:
            try:
                connection = connection or self._engine.connect()
                self._commit_together(connection, group)
            except Exception as error:  # noqa: BLE001 - nothing of the group was kept; its callers are told, and we go on
                self._fail(group, error)
                if connection is not None:
                    connection.invalidate()
                    connection.close()
                    connection = None
        if connection is not None:
            connection.close()

    def _next_group(self) -> list[tuple[Change, Future[Any]]] | None:
        group: list[tuple[Change, Future[Any]]] = []
        item = self._changes.get()
        while item is not None:
            if item[1].set_running_or_notify_cancel():  # from here on a caller that gives up changes nothing
                group.append(item)
            if len(group) == _LARGEST_GROUP:
                return group
            try:
                item = self._changes.get_nowait()
            except queue.Empty:
                return group
        if group:
            self._changes.put(None)  # commit these first, then stop
            return group
        return None

    def _commit_together(self, connection: Connection, group: list[tuple[Change, Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        for change, future in group:
            connection.exec_driver_sql("SAVEPOINT change")
            try:
                done.append((future, change(connection)))
            except Exception as error:
                if not cast("sqlite3.Connection", connection.connection.driver_connection).in_transaction:
                    raise  # SQLite itself undid the whole group, as it does when the disk is full
                connection.exec_driver_sql("ROLLBACK TO change")
                self._forget()
                future.set_exception(_translate(error))
            connection.exec_driver_sql("RELEASE change")
        connection.exec_driver_sql("COMMIT")
        for future, result in done:
            future.set_result(result)

    def _fail(self, group: list[tuple[Change, Future[Any]]], error: Exception) -> None:
        self._forget()
        for _, future in group:
            if not future.done():
                future.set_exception(_translate(error))

    def _forget(self) -> None:
        for forget in self._on_rollback:
            forget()


def _translate(error: Exception) -> Exception:
    if isinstance(error, P402Error):
        return error
    if isinstance(error, OperationalError | sqlite3.OperationalError):
        reason = getattr(error, "orig", error)
        return StorageUnavailable(f"The database could not be written: {reason}. Nothing was kept; try again.")
    return error
