"""The feedback stream: server-sent events that tell holders of leases that the rules have changed, or that somebody waits.

Events (WHATWG HTML, section 9.2): ``rules`` with the new version, ``recall``, and ``revoked`` before the end of a stream
whose key is not valid any more. They may come more often than needed, never too seldom: whoever reconnects is told
``rules`` first.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.event_stream import EventStreams
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.rule_changes import RECALL_TOPIC, RULES_TOPIC, rules_version
from p402.collector.storage.signals import ANYTHING

__all__ = ["FeedbackStream"]

_SCOPE = "feedback"


class FeedbackStream:
    """The handler."""

    def __init__(self, database: Database, authenticator: Authenticator, default_organisation: str) -> None:
        self._database = database
        self._streams = EventStreams(database, authenticator, _SCOPE)
        self.authenticator = authenticator
        self.default_organisation = default_organisation
        self.end = self._streams.end

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
        organisation = caller.organisation

        async def rules() -> bytes:
            version = await self._database.read(lambda connection: rules_version(driver(connection), organisation))
            return _event("rules", {"version": version})

        async def event_of(topic: str) -> bytes | None:
            if topic in (ANYTHING, f"{RULES_TOPIC}{organisation}", RULES_TOPIC):
                return await rules()
            return _event("recall", {}) if topic == f"{RECALL_TOPIC}{organisation}" else None

        return await self._streams.send(
            request, caller.principal, first=rules, event_of=event_of, last=_event("revoked", {})
        )


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
