"""Alerts about budgets over HTTP: what was raised, and that somebody has dealt with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Date, Id, Node, Time, shape
from p402.collector.api.problem import Conflict, NotFound
from p402.collector.api.query import Page
from p402.collector.budgets.alerts import Alert, AlertKind, AlreadyResolved
from p402.collector.storage.alerts import alerts_page, resolve_alert
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.vocabulary import Clock, rfc3339

__all__ = ["AlertsApi"]


class AlertsQuery(Page):
    """Which alerts."""

    state: Annotated[Literal["all", "open"], Field(description="`open` leaves out the resolved ones.")] = "all"


class Resolution(BaseModel):
    """That an alert was dealt with."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, StringConstraints(max_length=2000)] | None = None


@shape
class AlertView(TypedDict):
    """A budget that has reached, or is about to reach, something."""

    alert_id: Id
    seq: int
    kind: AlertKind
    budget: str
    node: Node
    percent: int
    amount: str
    """What was spent, or is projected, in the budget's measure."""
    cap: str
    cap_reached_on: Date | None
    raised_at: Time
    resolved_at: Time | None
    resolved_by: Id | None
    """The key."""
    note: str | None


@shape
class AlertPage(TypedDict):
    """Alerts in the order in which they were raised."""

    alerts: list[AlertView]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class AlertsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/alerts", scope="spend:read", answers={200: AlertPage})
    async def alerts(self, caller: Caller, query: AlertsQuery) -> web.Response:
        """List alerts in the order in which they were raised; ``next_after`` continues."""
        caller.principal.require_whole_organisation()
        after, limit, unresolved = query.after, query.limit, query.state == "open"
        found = await self.database.read(
            lambda connection: alerts_page(driver(connection), caller.organisation, after, limit, unresolved=unresolved)
        )
        page: AlertPage = {
            "alerts": [_view(alert) for alert in found],
            "next_after": found[-1].seq if len(found) == limit else None,
        }
        return web.json_response(page)

    @endpoint("POST /v1/alerts/{alert_id}/resolve", scope="review", answers={200: AlertView}, problems=(409,))
    async def resolve(self, caller: Caller, alert_id: str, body: Resolution) -> web.Response:
        """Note that an alert was dealt with, once."""
        caller.principal.require_whole_organisation()
        by, now = caller.principal.actor, self.clock.now()
        try:
            found = await self.database.write(
                lambda connection: resolve_alert(driver(connection), caller.organisation, alert_id, by, body.note, now)
            )
        except AlreadyResolved as error:
            raise Conflict(str(error)) from error
        if found is None:
            raise NotFound(f"There is no alert {alert_id[:40]!r} that you may see. GET /v1/alerts lists them.")
        return web.json_response(_view(found))


def _view(alert: Alert) -> AlertView:
    return {
        "alert_id": alert.id,
        "seq": alert.seq,
        "kind": alert.kind,
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
