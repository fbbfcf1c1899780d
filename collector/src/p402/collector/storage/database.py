"""The database: many readers, one writer, and commits that are shared and synced.

Every change is a function of a connection. Changes that wait together are run in one transaction (`storage.transaction`) and
committed once (*group commit*); a caller continues only after its change is on disk. One failing change is undone alone.
The backend sees to it that writers of other processes take turns with this one.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from p402.collector.storage.backend import Backend
from p402.collector.storage.connections import LONG_READERS, READERS
from p402.collector.storage.driver import TRANSACTION
from p402.collector.storage.signals import Hub, Stream, pending
from p402.collector.storage.transaction import Transaction, write_before
from p402.vocabulary import Transient

__all__ = ["Database", "StorageUnavailable"]

T = TypeVar("T")
Change = Callable[[Connection], Any]

_LONGEST_READ_AT_END = 10.0  # seconds that closing waits for reads under way
_LARGEST_GROUP = 64  # changes committed together; bounds the time one caller waits for others


class StorageUnavailable(Transient):
    """The database cannot take a change now (away, full, locked, closed); the caller should try again."""


class _Waiting(NamedTuple):
    """A change, and the future of an event loop that its caller waits for."""

    change: Change
    future: asyncio.Future[Any]


class Database:
    """The database as this process uses it: ``await read(query)``, ``await write(change)``, and signals."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._engine = backend.engine
        event.listen(self._engine, "before_cursor_execute", write_before)
        self._changes: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._on_rollback: list[Callable[[], None]] = []
        self._writer = threading.Thread(target=self._write_forever, name="p402-writer", daemon=True)
        self._hub = Hub()
        self._watcher: threading.Thread | None = None
        self._stopped = threading.Event()
        self._readers = ThreadPoolExecutor(READERS, "p402-reader")
        self._long_readers = ThreadPoolExecutor(LONG_READERS, "p402-long-reader")
        self._reads: set[Future[Any]] = set()

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
        for readers in (self._readers, self._long_readers):
            readers.shutdown(wait=False)  # which takes no more reads
        # The thread of a read goes on when whoever waited for it was cancelled, and its connection must come back.
        await asyncio.to_thread(wait, list(self._reads), _LONGEST_READ_AT_END)
        self._engine.dispose()

    def on_rollback(self, forget: Callable[[], None]) -> None:
        """Register what must be forgotten when a change is undone, such as ids that were given out in it."""
        self._on_rollback.append(forget)

    async def read(self, query: Callable[[Connection], T], *, long: bool = False) -> T:
        """Run a query on a snapshot of its own, in a thread.

        Args:
            query: what is run.
            long: whether it may look at much of the ledger. Such queries wait for one another, and nobody else for them.

        Raises:
            StorageUnavailable: when the database cannot be read.
        """
        readers = self._long_readers if long else self._readers
        try:
            reading = readers.submit(copy_context().run, self._read, query)
        except RuntimeError as error:
            raise StorageUnavailable("The database is closed; this collector is stopping.") from error
        self._reads.add(reading)
        reading.add_done_callback(self._reads.discard)
        return await asyncio.wrap_future(reading)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run a change in the writer; returns after the commit is on disk.

        Raises:
            StorageUnavailable: when nothing was committed because the database cannot be written.
        """
        if self._closed:
            raise StorageUnavailable("The database is closed; this collector is stopping.")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._changes.put(_Waiting(change, future))
        return await future

    @asynccontextmanager
    async def signals(self) -> AsyncIterator[Stream]:
        """Open a stream of the topics that changes signal from now on, in this process and in others.

        ``*`` says that signals may have been missed, as it does soon after the first stream was opened.
        """
        with self._hub.stream() as stream:
            if self._watcher is None and not self._closed:
                loop = asyncio.get_running_loop()

                def write(change: Change) -> Any:
                    return asyncio.run_coroutine_threadsafe(self.write(change), loop).result()

                watch = write, self._hub.tell, self._stopped
                self._watcher = threading.Thread(
                    target=self._backend.watch, args=watch, name="p402-signals", daemon=True
                )
                self._watcher.start()
            yield stream

    def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            connection = self._begin(self._backend.begin_query, None)
            try:
                return query(connection)
            finally:
                connection.close()
        except Exception as error:
            if (reason := self._unavailable(error)) is not None:
                raise StorageUnavailable(f"The database could not be read: {reason}. Try again.") from error
            raise

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

    def _next_group(self) -> list[_Waiting] | None:
        group: list[_Waiting] = []
        waiting = self._changes.get()
        while waiting is not None:
            if not waiting.future.cancelled():  # from here on a caller that gives up changes nothing
                group.append(waiting)
            if len(group) == _LARGEST_GROUP:
                return group
            try:
                waiting = self._changes.get_nowait()
            except queue.Empty:
                return group
        if group:
            self._changes.put(None)  # commit these first, then stop
            return group
        return None

    def _commit_together(self, connection: Connection, group: Sequence[_Waiting]) -> None:
        answers: list[_Answer] = []
        topics = pending(connection)
        topics.clear()
        info = connection.info  # asked for once: a connection that dies takes it along
        transaction = info[TRANSACTION] = Transaction(connection)
        try:
            for change, future in group:
                signalled = len(topics)
                try:
                    answers.append(_Answer(future, transaction.run(change, connection)))
                except Exception as error:
                    if transaction.lost or not self._backend.is_in_transaction(connection):
                        raise  # the whole group is undone
                    if transaction.undo():
                        self._forget()
                    del topics[signalled:]
                    answers.append(_Answer(future, error=self._told(error)))
            transaction.write()
        finally:
            del info[TRANSACTION]
        self._backend.commit(connection, topics)
        self._hub.tell(*topics)
        _tell(answers)

    def _fail(self, group: Sequence[_Waiting], error: Exception) -> None:
        self._forget()
        _tell([_Answer(future, error=self._told(error)) for _, future in group])

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


class _Answer(NamedTuple):
    """What became of a change."""

    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


def _tell(answers: Sequence[_Answer]) -> None:
    """Wake the callers of a group, those of one event loop by one call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Answer]] = defaultdict(list)
    for answer in answers:
        by_loop[answer.future.get_loop()].append(answer)
    for loop, waking in by_loop.items():
        with suppress(RuntimeError):  # a loop that was closed has nobody who waits
            loop.call_soon_threadsafe(_wake, waking)


def _wake(answers: Sequence[_Answer]) -> None:
    for future, result, error in answers:
        if future.done():  # its caller gave up
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
