"""What operators need: the state of the process, and its metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import HeaderParameter, Media, endpoint, routes_of
from p402.collector.api.fields import Count, shape
from p402.collector.health.behind import Behind, Queue, WhatIsBehind
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock

__all__ = ["OperationsApi"]


@shape
class Working(TypedDict):
    """All is well."""

    status: Literal["ok"]


@shape
class Waiting(TypedDict):
    """Things that wait for somebody else."""

    waiting: Count
    oldest_seconds: Annotated[float, Field(ge=0, examples=[0.0])]
    """Age of the oldest; 0 where nothing waits."""


@shape
class Settling(TypedDict):
    """How settlement stands."""

    unanchored_receipts: Waiting
    under_way: Count
    """Settlements that are planned or signed."""
    in_doubt: Count
    """Settlements whose payment may have left, and nobody has said what became of it."""


@shape
class BehindView(TypedDict):
    """What follows the ledger, and how far it is behind."""

    followers: Annotated[dict[str, int], Field(examples=[{"sessions": 0, "anomalies": 0}])]
    """Charges that each has not seen yet, at most."""
    forwarding: dict[str, Waiting]
    """Spans that wait for each backend."""
    deliveries: Waiting
    """Deliveries of events that are due."""
    settlement: Settling | None
    """Null where nothing is settled."""
    sessions: Waiting
    """Sessions that are over and have no receipt yet."""
    exports: Waiting
    """Exports that were asked for and are not written yet."""
    checkpoint_seconds: Annotated[float, Field(ge=0, examples=[120.0])] | None
    """Age of the newest checkpoint of the log that was signed longest ago; null where there is no log."""
    disk_free_bytes: int | None
    """Where the collector keeps its files; null if that cannot be told."""


@shape
class Ready(TypedDict):
    """Spans can be taken in."""

    status: Literal["ok"]
    behind: BehindView


@dataclass(frozen=True, slots=True)
class OperationsApi:
    """What the handlers need."""

    store: WhatIsBehind
    authenticator: Authenticator
    metrics: CollectorMetrics
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /healthz", answers={200: Working})
    async def healthy(self) -> web.Response:
        """Say that the process runs."""
        return web.json_response(Working(status="ok"))

    @endpoint("GET /readyz", answers={200: Ready}, problems=(503,))
    async def ready(self) -> web.Response:
        """Say whether spans can be taken in (the database can be written), and what is behind.

        What is behind catches up by itself, or has an alert of its own; the collector is ready all the same.
        """
        return web.json_response(Ready(status="ok", behind=_behind_view(await self.store.behind(self.clock.now()))))

    @endpoint(
        "GET /metrics",
        answers={
            200: (
                Media("text/plain", about="Prometheus' text format."),
                Media("application/openmetrics-text", about="OpenMetrics, with exemplars, if `Accept` names it."),
            )
        },
        headers=(
            HeaderParameter("Accept", "The format that is wanted.", "application/openmetrics-text; version=1.0.0"),
        ),
    )
    async def prometheus(self, request: web.Request) -> web.Response:
        """Give the collector's metrics."""
        body, media_type = self.metrics.negotiated(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type, "Vary": "Accept"})


def _behind_view(behind: Behind) -> BehindView:
    settlement = behind.settlement
    return {
        "followers": dict(behind.followers),
        "forwarding": {backend: _waiting(queue) for backend, queue in behind.forwarding.items()},
        "deliveries": _waiting(behind.deliveries),
        "settlement": None
        if settlement is None
        else {
            "unanchored_receipts": _waiting(settlement.receipts),
            "under_way": settlement.under_way,
            "in_doubt": settlement.in_doubt,
        },
        "sessions": _waiting(behind.sessions),
        "exports": _waiting(behind.exports),
        "checkpoint_seconds": behind.checkpoint_seconds,
        "disk_free_bytes": behind.disk_free_bytes,
    }


def _waiting(queue: Queue) -> Waiting:
    return {"waiting": queue.waiting, "oldest_seconds": queue.oldest_seconds}
