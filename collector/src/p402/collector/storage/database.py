"""The database: many readers, one writer, and commits that are shared and synced.

Every change is a function of a connection. Changes that wait together are run in one transaction, each inside its own
savepoint, and committed once (*group commit*); a caller continues only after its change is on disk. One failing change
is undone alone. The backend sees to it that writers of other processes take turns with this one.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from p402.collector.storage.backend import Backend
from p402.collector.storage.signals import Hub, Stream, pending
from p402.vocabulary import Transient

__all__ = ["Database", "StorageUnavailable"]

T = TypeVar("T")
Change = Callable[[Connection], Any]

_LONGEST_READ_AT_END = 10.0  # seconds that closing waits for reads under way
_LARGEST_GROUP = 64  # changes committed together; bounds the time one caller waits for others


class StorageUnavailable(Transient):
    """The database cannot take a change now (away, full, locked, closed); the caller should try again."""


class Database:
    """The database as this process uses it: ``await read(query)``, ``await write(change)``, and signals."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._engine = backend.engine
        self._changes: queue.SimpleQueue[tuple[Change, Future[Any]] | None] = queue.SimpleQueue()
        self._closed = False
        self._on_rollback: list[Callable[[], None]] = []
        self._writer = threading.Thread(target=self._write_forever, name="p402-writer", daemon=True)
        self._hub = Hub()
        self._watcher: threading.Thread | None = None
        self._stopped = threading.Event()
        self._reads = 0
        self._read_ended = threading.Condition()

    def start(self) -> None:
        """Start the writer."""
        self._writer.start()

    async def close(self) -> None:
        """Commit what is waiting and stop; streams of signals end."""
        self._closed = True
        self._hub.end()
        self._stopped.set()
        if self._watcher is not None:
            await asyncio.to_thread(self._watcher.join)
        self._changes.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._wait_for_reads)
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
        return await asyncio.wrap_future(self._submit(change))

    @asynccontextmanager
    async def signals(self) -> AsyncIterator[Stream]:
        """Open a stream of the topics that changes signal from now on, in this process and in others.

        ``*`` says that signals may have been missed, as it does soon after the first stream was opened.
        """
        with self._hub.stream() as stream:
            if self._watcher is None and not self._closed:
                watch = (lambda change: self._submit(change).result()), self._hub.tell, self._stopped
                self._watcher = threading.Thread(
                    target=self._backend.watch, args=watch, name="p402-signals", daemon=True
                )
                self._watcher.start()
            yield stream

    def _submit(self, change: Callable[[Connection], T]) -> Future[T]:
        if self._closed:
            raise StorageUnavailable("The database is closed; this collector is stopping.")
        future: Future[T] = Future()
        self._changes.put((change, future))
        return future

    def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            with self._reading():
                connection = self._begin(self._backend.begin_query, None)
                try:
                    return query(connection)
                finally:
                    connection.close()
        except Exception as error:
            if (reason := self._unavailable(error)) is not None:
                raise StorageUnavailable(f"The database could not be read: {reason}. Try again.") from error
            raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Count a read: its thread goes on when whoever waited for it was cancelled, and its connection must come back."""
        with self._read_ended:
            self._reads += 1
        try:
            yield
        finally:
            with self._read_ended:
                self._reads -= 1
                self._read_ended.notify_all()

    def _wait_for_reads(self) -> None:
        with self._read_ended:
            self._read_ended.wait_for(lambda: self._reads == 0, _LONGEST_READ_AT_END)

    def _begin(self, begin: Callable[[Connection], None], connection: Connection | None) -> Connection:
        """Begin on a connection, a new one if it died while nobody used it."""
        for last in (False, True):
            connection = connection or self._engine.connect()
            try:
                begin(connection)
                break
            except DBAPIError as error:
                connection.invalidate()
                connection.close()
                if last or not error.connection_invalidated:
                    raise
                connection = None
        assert connection is not None, "the last attempt succeeded or raised"
        return connection

    def _write_forever(self) -> None:
        connection: Connection | None = None
        while (group := self._next_group()) is not None:
            try:
                connection = self._begin(self._backend.begin_change, connection)
                self._commit_together(connection, group)
            except Exception as error:  # noqa: BLE001 - nothing of the group was kept; its callers are told, and we go on
                self._fail(group, error)
                if connection is not None and not connection.closed:
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
        topics = pending(connection)
        topics.clear()
        for change, future in group:
            signalled = len(topics)
            connection.exec_driver_sql("SAVEPOINT change")
            try:
                result = change(connection)
                connection.exec_driver_sql("RELEASE SAVEPOINT change")
                done.append((future, result))
            except Exception as error:
                if not self._backend.is_in_transaction(connection):
                    raise  # the database itself undid the whole group
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT change")
                connection.exec_driver_sql("RELEASE SAVEPOINT change")
                del topics[signalled:]
                self._forget()
                future.set_exception(self._told(error))
        self._backend.commit(connection, topics)
        self._hub.tell(*topics)
        for future, result in done:
            future.set_result(result)

    def _fail(self, group: list[tuple[Change, Future[Any]]], error: Exception) -> None:
        self._forget()
        for _, future in group:
            if not future.done():
                future.set_exception(self._told(error))

    def _forget(self) -> None:
        for forget in self._on_rollback:
            forget()

    def _told(self, error: Exception) -> Exception:
        if (reason := self._unavailable(error)) is not None:
            return StorageUnavailable(f"The database could not be written: {reason}. Nothing was kept; try again.")
        return error

    def _unavailable(self, error: Exception) -> str | None:
        """Give the reason why the database cannot answer now; None for a fault of what it was asked."""
        reason = getattr(error, "orig", error)
        if isinstance(reason, (*self._backend.unavailable, PoolTimeoutError)):
            return (str(reason).splitlines() or [type(reason).__name__])[0]
        return None
