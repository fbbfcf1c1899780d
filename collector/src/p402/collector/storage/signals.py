"""Signals: a change says that something is different now, and whoever waits for it, in any replica, looks again.

A signal is only a reason to look: it names a topic and carries nothing. It is sent with the commit of its change, never
without. Topics that nobody took yet are kept once each, however often they were signalled.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

__all__ = ["ANYTHING", "Hub", "Stream", "pending", "signal"]

ANYTHING = "*"
"""The topic that says: look at everything; signals may have been missed."""

_LONGEST_TOPIC = 1_000  # characters
_MOST_TOPICS = 1_000  # that one stream keeps; more become ANYTHING


def signal(connection: Connection, topic: str) -> None:
    """Signal a topic when the change that runs on this connection is committed."""
    assert 0 < len(topic) <= _LONGEST_TOPIC, "a topic is a short name"
    pending(connection).append(topic)


def pending(connection: Connection) -> list[str]:
    """Give the topics that the changes on a connection have signalled since the last commit."""
    found: list[str] = connection.info.setdefault("p402.signals", [])
    return found


class Stream:
    """The topics that were signalled since the last look, each once, until the database is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._topics: dict[str, None] = {}
        self._there = asyncio.Event()
        self._ended = False

    def offer(self, topics: Iterable[str] | None) -> None:
        """Add topics, from any thread; None ends the stream."""
        self._loop.call_soon_threadsafe(self._add, topics)

    def _add(self, topics: Iterable[str] | None) -> None:
        if topics is None:
            self._ended = True
        else:
            self._topics |= dict.fromkeys(topics)
        if ANYTHING in self._topics or len(self._topics) > _MOST_TOPICS:
            self._topics = {ANYTHING: None}
        self._there.set()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while not self._topics:
            if self._ended:
                raise StopAsyncIteration
            self._there.clear()
            await self._there.wait()
        topic = next(iter(self._topics))
        del self._topics[topic]
        return topic


class Hub:
    """Gives signals on to every stream of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: set[Stream] = set()
        self._ended = False

    @contextmanager
    def stream(self) -> Iterator[Stream]:
        """Open a stream of what is signalled from now on."""
        stream = Stream()
        with self._lock:
            self._streams.add(stream)
            if self._ended:
                stream.offer(None)
        try:
            yield stream
        finally:
            with self._lock:
                self._streams.discard(stream)

    def tell(self, *topics: str) -> None:
        """Tell topics, from any thread."""
        self._offer(topics)

    def end(self) -> None:
        """End all streams."""
        self._ended = True
        self._offer(None)

    def _offer(self, topics: Iterable[str] | None) -> None:
        with self._lock:
            for stream in self._streams:
                stream.offer(topics)
