"""What became of decisions and holds, over HTTP: decisions, leases, overruns, and the audit trail of rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator
from p402.collector.api.budget_views import ReasonBody, in_part, within_part
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.oversight_views import (
    NEWEST,
    AuditPage,
    AuditView,
    DecisionPage,
    DecisionsQuery,
    LeasePage,
    LeasesQuery,
    LeaseView,
    NewestFirst,
    OverrunPage,
    lease_view,
    overrun_view,
    stored_decision_view,
)
from p402.collector.api.problem import Conflict, NotFound
from p402.collector.budgets.definition import BudgetDefinition
from p402.collector.storage.audit import audit_page
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.decision_rows import attribution_of, decisions_page
from p402.collector.storage.driver import driver
from p402.collector.storage.leases import LeaseState, lease_by_id
from p402.collector.storage.oversight import (
    LeaseNotUnreconciled,
    leases_page,
    let_go,
    overruns_page,
)
from p402.vocabulary import Clock, rfc3339

__all__ = ["OversightApi"]

Item = TypeVar("Item")
At = TypeVar("At", int, tuple[int, str])

_MOST_PAGES = 20  # that one request looks through for what its key may see


@dataclass(frozen=True, slots=True)
class OversightApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/decisions", scope="spend:read", answers={200: DecisionPage})
    async def decisions(self, caller: Caller, query: DecisionsQuery) -> web.Response:
        """List decisions, the newest first, those with one verdict if that is asked for; ``next_after`` continues."""
        principal, organisation = caller.principal, caller.organisation
        verdict, begin, limit = query.verdict, query.after or (NEWEST, ""), query.limit
        found, after = await self.database.read(
            lambda connection: _pages(
                lambda after: decisions_page(driver(connection), organisation, verdict, after, limit),
                lambda decided: (to_millis(decided.decided_at), decided.id),
                lambda decided: within_part(principal, attribution_of(decided)),
                begin,
                limit,
            )
        )
        shown = [stored_decision_view(decided) for decided in found]
        return web.json_response(DecisionPage(decisions=shown, next_after=_written(after)))

    @endpoint("GET /v1/leases", scope="spend:read", answers={200: LeasePage})
    async def leases(self, caller: Caller, query: LeasesQuery) -> web.Response:
        """List leases by when they expire: open and unreconciled ones, or those in one state."""
        principal, organisation = caller.principal, caller.organisation
        states = (query.state,) if query.state else (LeaseState.OPEN, LeaseState.UNRECONCILED)
        begin: tuple[int, str] = query.after or (0, "")

        def read(connection: Connection) -> tuple[list[LeaseView], tuple[int, str] | None]:
            sql = driver(connection)
            found, last = _pages(
                lambda after: leases_page(sql, organisation, states, after, query.limit),
                lambda lease: (to_millis(lease.expires_at), lease.id),
                lambda lease: within_part(principal, lease.attribution),
                begin,
                query.limit,
            )
            return [lease_view(sql, lease) for lease in found], last

        shown, after = await self.database.read(read)
        return web.json_response(LeasePage(leases=shown, next_after=_written(after)))

    @endpoint("POST /v1/leases/{lease}/release", scope="admin", answers={200: LeaseView}, problems=(409,))
    async def release(self, caller: Caller, lease: str, body: ReasonBody) -> web.Response:
        """Let go of what a lease has not reconciled; who and why is audited."""
        principal, now = caller.principal, self.clock.now()

        def change(connection: Connection) -> LeaseView:
            sql = driver(connection)
            found = lease_by_id(sql, lease)
            mine = found is not None and found.organisation == caller.organisation
            if found is None or not mine or not within_part(principal, found.attribution):
                raise NotFound(f"There is no lease {lease[:64]!r} that you may see. GET /v1/leases lists them.")
            let_go(connection, found, body.reason, actor=principal.actor or "", at=now)
            return lease_view(sql, lease_by_id(sql, lease) or found)

        try:
            return web.json_response(await self.database.write(change))
        except LeaseNotUnreconciled as error:
            raise Conflict(str(error)) from error

    @endpoint("GET /v1/overruns", scope="spend:read", answers={200: OverrunPage})
    async def overruns(self, caller: Caller, query: NewestFirst) -> web.Response:
        """List what was spent beyond caps, the newest first; ``next_after`` continues."""
        principal, organisation, limit = caller.principal, caller.organisation, query.limit
        found, after = await self.database.read(
            lambda connection: _pages(
                lambda after: overruns_page(driver(connection), organisation, after, limit),
                lambda overrun: overrun.id,
                lambda overrun: in_part(principal, BudgetDefinition.model_validate_json(overrun.definition)),
                query.after,
                limit,
            )
        )
        shown = [overrun_view(overrun) for overrun in found]
        return web.json_response(OverrunPage(overruns=shown, next_after=after))

    @endpoint("GET /v1/audit", scope="spend:read", answers={200: AuditPage})
    async def audit(self, caller: Caller, query: NewestFirst) -> web.Response:
        """List who changed what and why, the newest first; ``next_after`` continues."""
        caller.principal.require_whole_organisation()
        before, limit = query.after, query.limit
        found = await self.database.read(
            lambda connection: audit_page(driver(connection), caller.organisation, before, limit)
        )
        entries: list[AuditView] = [
            {
                "id": entry.id,
                "at": rfc3339(entry.at),
                "actor": entry.actor or None,
                "action": entry.action,
                "subject": entry.subject,
                "detail": dict(entry.detail),
            }
            for entry in found
        ]
        return web.json_response(AuditPage(audit=entries, next_after=found[-1].id if len(found) == limit else None))


def _pages(
    page: Callable[[At], list[Item]],
    place: Callable[[Item], At],
    may_see: Callable[[Item], bool],
    begin: At,
    limit: int,
) -> tuple[list[Item], At | None]:
    """Read on until a page is full of what may be seen; gives it, and where to go on."""
    found: list[Item] = []
    after = begin
    for _ in range(_MOST_PAGES):
        read = page(after)
        for item in read:
            after = place(item)
            if may_see(item):
                found.append(item)
                if len(found) == limit:
                    return found, after
        if len(read) < limit:
            return found, None
    return found, after


def _written(after: tuple[int, str] | None) -> str | None:
    return None if after is None else f"{after[0]}~{after[1]}"
