"""The stream that tells open pages that there is something new to show; they then load what they show again."""

from __future__ import annotations

from aiohttp import web

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.event_stream import EventStreams
from p402.collector.storage.database import Database
from p402.collector.storage.signals import ANYTHING
from p402.collector.storage.usage import USAGE_TOPIC

__all__ = ["LiveStream"]

_SCOPE = "spend:read"
_CHANGED = b"event: changed\ndata: \n\n"
_PAUSE_SECONDS = 1.0
"""Between two refreshes of a page: with the roll-up's half second, what is new is seen within two."""
_WATCHING = b": watching\n\n"


class LiveStream:
    """Server-sent events: ``changed``, and nothing of what has changed."""

    def __init__(self, database: Database, authenticator: Authenticator, default_organisation: str) -> None:
        self._streams = EventStreams(database, authenticator, _SCOPE)
        self.authenticator = authenticator
        self.default_organisation = default_organisation
        self.end = self._streams.end

    def routes(self) -> list[web.RouteDef]:
        """Give the route."""
        return routes_of(self)

    @endpoint(
        "GET /live",
        scope=_SCOPE,
        answers={200: Media("text/event-stream", _CHANGED.decode(), "Server-sent events.")},
    )
    async def stream(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Say ``changed`` whenever spend of the organisation has changed, until the reader leaves or may read no more."""
        topics = (f"{USAGE_TOPIC}{caller.organisation}", ANYTHING)

        async def watching() -> bytes:
            return _WATCHING

        async def event_of(topic: str) -> bytes | None:
            return _CHANGED if topic in topics else None

        return await self._streams.send(
            request, caller.principal, first=watching, event_of=event_of, pause=_PAUSE_SECONDS
        )
