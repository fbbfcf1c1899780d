"""Alerts about budgets over HTTP: what was raised, and that somebody has dealt with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from p402.collector.api.auth import Authenticator
from p402.collector.api.bodies import json_body
from p402.collector.api.pages import MAX_LIMIT, integer, organisation_of
from p402.collector.api.problem import BadRequest, Conflict, NotFound
from p402.collector.budgets.alerts import Alert, AlreadyResolved
from p402.collector.storage.alerts import alerts_page, resolve_alert
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.vocabulary import Clock, rfc3339

__all__ = ["AlertsApi"]


class _Resolution(BaseModel):
    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, StringConstraints(max_length=2000)] | None = None


@dataclass(frozen=True, slots=True)
class AlertsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return [
            web.get("/v1/alerts", self.alerts, allow_head=False),
            web.post("/v1/alerts/{alert_id}/resolve", self.resolve),
        ]

    async def alerts(self, request: web.Request) -> web.Response:
        """List alerts in the order in which they were raised; ``next_after`` continues."""
        principal = await self.authenticator.authenticate(request, "spend:read")
        principal.require_whole_organisation()
        organisation = organisation_of(request, principal, self.default_organisation)
        after = integer(request, "after", 0, least=0, most=2**53)
        limit = integer(request, "limit", 100, least=1, most=MAX_LIMIT)
        state = request.query.get("state", "all")
        if state not in {"all", "open"}:
            raise BadRequest(f"The query parameter state must be all or open; got {state[:40]!r}.")
        found = await self.database.read(
            lambda connection: alerts_page(driver(connection), organisation, after, limit, unresolved=state == "open")
        )
        return web.json_response(
            {
                "alerts": [_view(alert) for alert in found],
                "next_after": found[-1].seq if len(found) == limit else None,
            }
        )

    async def resolve(self, request: web.Request) -> web.Response:
        """Note that an alert was dealt with, once."""
        principal = await self.authenticator.authenticate(request, "review")
        principal.require_whole_organisation()
        organisation = organisation_of(request, principal, self.default_organisation)
        said = await json_body(request, _Resolution)
        alert_id, now = request.match_info["alert_id"], self.clock.now()
        try:
            found = await self.database.write(
                lambda connection: resolve_alert(
                    driver(connection), organisation, alert_id, principal.key_id, said.note, now
                )
            )
        except AlreadyResolved as error:
            raise Conflict(str(error)) from error
        if found is None:
            raise NotFound(f"There is no alert {alert_id[:40]!r} that you may see. GET /v1/alerts lists them.")
        return web.json_response(_view(found))


def _view(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": alert.id,
        "seq": alert.seq,
        "kind": alert.kind.value,
        "budget": alert.budget,
        "node": alert.node,
        "percent": alert.percent,
        "amount": alert.amount,
        "cap": alert.cap,
        "cap_reached_on": alert.reached_on,
        "raised_at": rfc3339(alert.raised_at),
        "resolved_at": None if alert.resolved_at is None else rfc3339(alert.resolved_at),
        "resolved_by": alert.resolved_by,
        "note": alert.note,
    }
