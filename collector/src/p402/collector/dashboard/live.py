"""The stream that tells open pages that there is something new to show; they then load what they show again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.storage.database import Database
from p402.collector.storage.signals import ANYTHING
from p402.collector.storage.usage import USAGE_TOPIC
from p402.vocabulary import P402Error, Transient

__all__ = ["LiveStream"]

_KEEP_ALIVE_SECONDS = 15.0
_CHANGED = b"event: changed\ndata: \n\n"


class LiveStream:
    """Server-sent events (WHATWG HTML, section 9.2): ``changed``, and nothing of what has changed."""

    def __init__(self, database: Database, authenticator: Authenticator, default_organisation: str) -> None:
        self._database = database
        self.authenticator = authenticator
        self.default_organisation = default_organisation
        self._stopping = asyncio.Event()

    def end(self) -> None:
        """End all streams: the collector stops."""
        self._stopping.set()

    def routes(self) -> list[web.RouteDef]:
        """Give the route."""
        return routes_of(self)

    @endpoint(
        "GET /live",
        scope="spend:read",
        answers={200: Media("text/event-stream", _CHANGED.decode(), "Server-sent events.")},
    )
    async def stream(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Say ``changed`` whenever spend of the organisation has changed, until the reader leaves or may read no more."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            async with self._database.signals() as topics:
                with suppress(ConnectionError):
                    await self._tell(request, response, f"{USAGE_TOPIC}{caller.organisation}", topics, stopping)
        finally:
            stopping.cancel()
        return response

    async def _tell(
        self,
        request: web.Request,
        response: web.StreamResponse,
        topic: str,
        topics: AsyncIterator[str],
        stopping: asyncio.Task[Any],
    ) -> None:
        await response.write(b": watching\n\n")
        waiting: asyncio.Task[Any] = asyncio.create_task(_next(topics))
        try:
            while True:
                done, _ = await asyncio.wait(
                    [waiting, stopping], timeout=_KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if stopping.done() or not await self._still_valid(request):
                    return
                if not done:
                    await response.write(b": still here\n\n")
                    continue
                found = waiting.result()
                if found is None:
                    return
                if found in (topic, ANYTHING):
                    await response.write(_CHANGED)
                waiting = asyncio.create_task(_next(topics))
        finally:
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting

    async def _still_valid(self, request: web.Request) -> bool:
        """Ask again for whom the stream was opened."""
        with suppress(Transient):
            try:
                (await self.authenticator.who(request, use=False)).require("spend:read")
            except P402Error as error:
                if isinstance(error, Transient):
                    raise
                return False
        return True


async def _next(topics: AsyncIterator[str]) -> str | None:
    return await anext(topics, None)
