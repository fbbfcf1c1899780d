"""Server-sent events about what changes in the database (WHATWG HTML, section 9.2): one loop for every such stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.problem import Forbidden, Unauthorised
from p402.collector.storage.database import Database
from p402.collector.storage.signals import Stream
from p402.vocabulary import Transient

__all__ = ["EventStreams"]

_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_KEEP_ALIVE_SECONDS = 15.0
_STILL_HERE = b": still here\n\n"


class EventStreams:
    """Streams of one kind. They never end by themselves, so they are ended together at a stop."""

    def __init__(self, database: Database, authenticator: Authenticator, scope: str) -> None:
        self._database = database
        self._authenticator = authenticator
        self._scope = scope
        self._stopping = asyncio.Event()

    def end(self) -> None:
        """End all streams: the collector stops, and readers connect to another one, or later."""
        self._stopping.set()

    async def send(
        self,
        request: web.Request,
        principal: Principal,
        *,
        first: Callable[[], Awaitable[bytes]],
        event_of: Callable[[str], Awaitable[bytes | None]],
        last: bytes = b"",
        pause: float = 0.0,
    ) -> web.StreamResponse:
        """Send events until the reader leaves, may read no more, or the collector stops.

        Args:
            request: the reader's.
            principal: for whom the stream is opened; it is asked before each event whether they may still read.
            first: gives what is sent at once; what changes from then on is not missed.
            event_of: gives the event for a topic that was signalled, None where it does not matter to the reader.
            last: what a reader is sent who may not.
            pause: seconds after an event in which no other is sent; what is signalled meanwhile is told after them.
        """
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        with suppress(ConnectionError):
            async with self._database.signals() as topics:
                await response.write(await first())
                await self._follow(request, principal, response, topics, event_of, last, pause)
        return response

    async def _follow(
        self,
        request: web.Request,
        principal: Principal,
        response: web.StreamResponse,
        topics: Stream,
        event_of: Callable[[str], Awaitable[bytes | None]],
        last: bytes,
        pause: float,
    ) -> None:
        waiting: asyncio.Future[Any] = asyncio.ensure_future(anext(topics, None))
        stopping: asyncio.Future[Any] = asyncio.ensure_future(self._stopping.wait())
        try:
            while True:
                done, _ = await asyncio.wait(
                    [waiting, stopping], timeout=_KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if stopping.done():
                    return
                if not await self._still_valid(request, principal):
                    await response.write(last)
                    return
                if not done:
                    await response.write(_STILL_HERE)
                    continue
                topic = waiting.result()
                if topic is None:
                    return
                if (event := await event_of(topic)) is not None:
                    await response.write(event)
                    await asyncio.wait([stopping], timeout=pause)
                waiting = asyncio.ensure_future(anext(topics, None))
        finally:
            for task in (waiting, stopping):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _still_valid(self, request: web.Request, principal: Principal) -> bool:
        """Ask again for the key or the session that the stream was opened with."""
        if principal.actor is None:
            return True
        with suppress(Transient):
            try:
                (await self._authenticator.who(request, use=False)).require(self._scope)
            except (Unauthorised, Forbidden):
                return False
        return True
