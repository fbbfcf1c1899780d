"""What operators and senders need: the state of the process, its metrics, and closing a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiohttp import web
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.fields import Count, shape
from p402.collector.api.problem import BadRequest
from p402.collector.sessions.seal import Sealer
from p402.collector.storage.database import Database
from p402.exporters.prometheus import CONTENT_TYPE, CollectorMetrics
from p402.vocabulary import is_valid_id

__all__ = ["OperationsApi"]


@shape
class Working(TypedDict):
    """All is well."""

    status: Literal["ok"]


@shape
class Closing(TypedDict):
    """A session that is about to get its receipt."""

    session: str
    state: Literal["closing"]
    open_parts: Count
    """Of different owners."""


@dataclass(frozen=True, slots=True)
class OperationsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    sealer: Sealer
    metrics: CollectorMetrics
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("POST /v1/sessions/{session}/close", scope="ingest", answers={202: Closing})
    async def close_session(self, caller: Caller, session: str) -> web.Response:
        """Note that a session is over; its receipt follows when spans on their way have had time to arrive."""
        if not is_valid_id(session):
            raise BadRequest("A session id has 1 to 256 printable characters.")
        closing: Closing = {
            "session": session,
            "state": "closing",
            "open_parts": await self.sealer.close(caller.organisation, session),
        }
        return web.json_response(closing, status=202)

    @endpoint("GET /healthz", answers={200: Working})
    async def healthy(self) -> web.Response:
        """Say that the process runs."""
        return web.json_response(Working(status="ok"))

    @endpoint("GET /readyz", answers={200: Working}, problems=(503,))
    async def ready(self) -> web.Response:
        """Say whether spans can be taken in: the database can be written."""
        await self.database.write(lambda _: None)
        return web.json_response(Working(status="ok"))

    @endpoint("GET /metrics", answers={200: Media("text/plain", about="Prometheus' text format.")})
    async def prometheus(self) -> web.Response:
        """Give the collector's metrics."""
        return web.Response(body=self.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})
