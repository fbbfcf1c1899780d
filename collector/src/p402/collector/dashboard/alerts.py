"""Alerts about budgets: what was noticed, who was told, and the form that notes that somebody has dealt with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from p402.collector.api.auth import Principal
from p402.collector.api.budget_views import in_part
from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.problem import NotFound
from p402.collector.api.query import DIGITS
from p402.collector.budgets.alerts import Alert, AlreadyResolved
from p402.collector.budgets.budget import Budget
from p402.collector.dashboard.budget_words import amount_in_words
from p402.collector.dashboard.forms import AGAIN, FORM, Told, form_of, see_other
from p402.collector.dashboard.names import Naming, Nodes
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.notifications.events import EventType
from p402.collector.storage.alerts import alert_by_id, newest_alerts, resolve_alert
from p402.collector.storage.budgets import budgets_in_force
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.events import Delivery, deliveries_about

__all__ = ["AlertsPage"]

_AT_ONCE = 50
_NEWEST = 2**53
_LONGEST_NOTE = 2_000  # characters, as in the API
_TYPES = (EventType.BUDGET_THRESHOLD, EventType.BUDGET_PROJECTED)


class AlertsView(Told):
    """The query of the list."""

    state: Annotated[Literal["open", "resolved", "all"], Field(description="Which alerts.")] = "open"
    before: Annotated[
        int | None, Field(ge=0, le=_NEWEST, description="Goes on with what is older; as the page links."), DIGITS
    ] = None


@dataclass(frozen=True, slots=True)
class _Alerts:
    """What the page shows."""

    alerts: Sequence[Alert]
    more: bool
    budgets: Mapping[str, Budget]
    """Those in force, by name."""
    deliveries: Mapping[str, Sequence[Delivery]]
    """By alert."""
    open: int
    """How many are, counted up to a page's worth."""

    @property
    def nodes(self) -> Nodes:
        """What may have names."""
        return [(self.budgets[one.budget].level, one.node) for one in self.alerts if one.budget in self.budgets]


class AlertsPage(Pages):
    """The handlers."""

    def __init__(self, shell: Shell, database: Database, naming: Naming) -> None:
        super().__init__(shell)
        self._database = database
        self._naming = naming

    @endpoint("GET /alerts", scope="spend:read", answers={200: HTML})
    async def alerts(self, request: web.Request, caller: Caller, query: AlertsView) -> web.Response:
        """List alerts, the newest first, with what they are about and who was told."""
        return await self._show(request, caller, query)

    @endpoint("POST /alerts", scope="review", answers={303: None, 400: AGAIN}, problems=(404,), takes=FORM)
    async def resolve(self, request: web.Request, caller: Caller, query: AlertsView) -> web.Response:
        """Note that an alert was dealt with, once."""
        form = await form_of(request)
        alert_id, note = form.get("alert_id", ""), form.get("note", "")
        if len(note) > _LONGEST_NOTE:
            return await self._show(
                request, caller, query, wrong=f"The note is longer than {_LONGEST_NOTE} characters.", typed=form
            )
        organisation, now = caller.organisation, self._shell.clock.now()

        def change(connection: Connection) -> Alert | None:
            sql = driver(connection)
            found = alert_by_id(sql, organisation, alert_id)
            seen = self._seen(connection, organisation, caller.principal)
            if found is None or (seen is not None and found.budget_id not in seen):
                return None
            return resolve_alert(sql, organisation, alert_id, caller.principal.actor, note or None, now)

        try:
            resolved = await self._database.write(change)
        except AlreadyResolved as error:
            return await self._show(request, caller, query, wrong=str(error))
        if resolved is None:
            raise NotFound(f"There is no alert {alert_id[:40]!r} that you may see; /alerts lists them.")
        frame = self._shell.frame(request, caller, query)
        return see_other(frame.same(done="resolved", before=None))

    async def _show(
        self,
        request: web.Request,
        caller: Caller,
        query: AlertsView,
        wrong: str | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> web.Response:
        resolves = caller.principal.may("review")
        page, names = await self._naming.read(
            caller,
            query,
            "GET /alerts",
            lambda connection: self._read(connection, caller, query),
            lambda page: page.nodes,
        )
        return self._shell.page(
            request,
            caller,
            query,
            "alerts.html",
            live=not resolves and query.before is None,
            status=400 if wrong else 200,
            page=page,
            names=names,
            resolves=resolves,
            wrong=wrong,
            typed=typed or {},
            amount=amount_in_words,
        )

    def _read(self, connection: Connection, caller: Caller, query: AlertsView) -> _Alerts:
        sql, organisation = driver(connection), caller.organisation
        seen = self._seen(connection, organisation, caller.principal)
        resolved = {"open": False, "resolved": True, "all": None}[query.state]
        before = _NEWEST if query.before is None else query.before
        found = newest_alerts(sql, organisation, before, _AT_ONCE + 1, resolved=resolved, budgets=seen)
        unresolved = newest_alerts(sql, organisation, _NEWEST, _AT_ONCE + 1, resolved=False, budgets=seen)
        now = self._shell.clock.now()
        budgets = {
            stored.definition.name: stored.of(organisation) for stored in budgets_in_force(sql, organisation, now)
        }
        keys = [alert.id for alert in found]
        told = deliveries_about(connection, organisation, _TYPES, keys)
        return _Alerts(found[:_AT_ONCE], len(found) > _AT_ONCE, budgets, told, len(unresolved))

    def _seen(self, connection: Connection, organisation: str, principal: Principal) -> set[int] | None:
        """Give the ids of the budgets whose alerts somebody may see; None: all, also of those that are retired."""
        if principal.is_of_whole_organisation:
            return None
        known = budgets_in_force(driver(connection), organisation, self._shell.clock.now())
        return {stored.id for stored in known if in_part(principal, stored.definition)}
