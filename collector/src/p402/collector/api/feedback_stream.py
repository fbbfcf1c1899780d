"""The feedback stream: server-sent events that tell holders of leases that the rules have changed, or that somebody waits.

Events (WHATWG HTML, section 9.2): ``rules`` with the new version, ``recall``, and ``revoked`` before the end of a stream
whose key is not valid any more. They may come more often than needed, never too seldom: whoever reconnects is told
``rules`` first.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.problem import Forbidden, Unauthorised
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.rule_changes import RECALL_TOPIC, RULES_TOPIC, rules_version
from p402.collector.storage.signals import ANYTHING
from p402.vocabulary import Transient

__all__ = ["FeedbackStream"]

_SCOPE = "feedback"
_KEEP_ALIVE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class FeedbackStream:
    """What the handler needs."""

    database: Database
    authenticator: Authenticator
    default_organisation: str
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        """End all streams: the collector stops, and clients connect to another one, or later."""
        self._stopping.set()

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint(
        "GET /v1/feedback/stream",
        scope=_SCOPE,
        answers={200: Media("text/event-stream", 'event: rules\ndata: {"version": 7}\n\n', "Server-sent events.")},
    )
    async def stream(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Send events until the client leaves, its key is revoked, or the collector stops."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        with suppress(ConnectionError):
            await self._send_all(request, response, caller.principal, caller.organisation)
        return response

    async def _send_all(
        self, request: web.Request, response: web.StreamResponse, principal: Principal, organisation: str
    ) -> None:
        async with self.database.signals() as topics:
            await response.write(await self._rules(organisation))
            waiting = asyncio.ensure_future(anext(topics, None))
            stopping = asyncio.ensure_future(self._stopping.wait())
            try:
                while True:
                    done, _ = await asyncio.wait(
                        [waiting, stopping], timeout=_KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    if stopping.done():
                        return
                    if not await self._still_valid(request, principal):
                        await response.write(_event("revoked", {}))
                        return
                    if not done:
                        await response.write(b": still here\n\n")
                        continue
                    topic = waiting.result()
                    if topic is None:
                        return
                    if topic in (ANYTHING, f"{RULES_TOPIC}{organisation}", RULES_TOPIC):
                        await response.write(await self._rules(organisation))
                    elif topic == f"{RECALL_TOPIC}{organisation}":
                        await response.write(_event("recall", {}))
                    waiting = asyncio.ensure_future(anext(topics, None))
            finally:
                for task in (waiting, stopping):
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    async def _rules(self, organisation: str) -> bytes:
        version = await self.database.read(lambda connection: rules_version(driver(connection), organisation))
        return _event("rules", {"version": version})

    async def _still_valid(self, request: web.Request, principal: Principal) -> bool:
        """Ask again for the key or the session that the stream was opened with."""
        if principal.actor is None:
            return True
        with suppress(Transient):
            try:
                (await self.authenticator.who(request, use=False)).require(_SCOPE)
            except (Unauthorised, Forbidden):
                return False
        return True


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
