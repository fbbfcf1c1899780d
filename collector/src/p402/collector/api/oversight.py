"""What became of decisions and holds, over HTTP: decisions, leases, overruns, and the audit trail of rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.bodies import json_body
from p402.collector.api.budget_views import ReasonBody, cursor, in_part, measure_in, within_part
from p402.collector.api.pages import MAX_LIMIT, choice, integer, organisation_of
from p402.collector.api.problem import Conflict, NotFound
from p402.collector.budgets.definition import BudgetDefinition, show_amount
from p402.collector.storage.audit import audit_page
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.decision_rows import Decided, attribution_of, decisions_page
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.leases import Lease, LeaseState, lease_by_id
from p402.collector.storage.oversight import (
    LeaseNotUnreconciled,
    Overrun,
    holds_by_budget,
    leases_page,
    let_go,
    overruns_page,
)
from p402.decisions import Verdict
from p402.vocabulary import Clock, rfc3339

__all__ = ["OversightApi"]

Item = TypeVar("Item")
At = TypeVar("At", int, tuple[int, str])

_NEWEST = 2**62
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
        return [
            web.get("/v1/decisions", self.decisions, allow_head=False),
            web.get("/v1/leases", self.leases, allow_head=False),
            web.post("/v1/leases/{lease}/release", self.release),
            web.get("/v1/overruns", self.overruns, allow_head=False),
            web.get("/v1/audit", self.audit, allow_head=False),
        ]

    async def decisions(self, request: web.Request) -> web.Response:
        """List decisions, the newest first, those with one verdict if that is asked for; ``next_after`` continues."""
        principal, organisation = await self._caller(request, "spend:read")
        verdict = choice(request, "verdict", Verdict)
        begin, limit = cursor(request) or (_NEWEST, ""), _limit(request)
        found, after = await self.database.read(
            lambda connection: _pages(
                lambda after: decisions_page(driver(connection), organisation, verdict, after, limit),
                lambda decided: (to_millis(decided.decided_at), decided.id),
                lambda decided: within_part(principal, attribution_of(decided)),
                begin,
                limit,
            )
        )
        shown = [_decision_view(decided) for decided in found]
        return web.json_response({"decisions": shown, "next_after": _written(after)})

    async def leases(self, request: web.Request) -> web.Response:
        """List leases by when they expire: open and unreconciled ones, or those in one state."""
        principal, organisation = await self._caller(request, "spend:read")
        state = choice(request, "state", LeaseState)
        states = (state,) if state else (LeaseState.OPEN, LeaseState.UNRECONCILED)
        begin: tuple[int, str] = cursor(request) or (0, "")
        limit = _limit(request)

        def read(connection: Connection) -> tuple[list[dict[str, Any]], tuple[int, str] | None]:
            sql = driver(connection)
            found, last = _pages(
                lambda after: leases_page(sql, organisation, states, after, limit),
                lambda lease: (to_millis(lease.expires_at), lease.id),
                lambda lease: within_part(principal, lease.attribution),
                begin,
                limit,
            )
            return [_lease_view(sql, lease) for lease in found], last

        shown, after = await self.database.read(read)
        return web.json_response({"leases": shown, "next_after": _written(after)})

    async def release(self, request: web.Request) -> web.Response:
        """Let go of what a lease has not reconciled; who and why is audited."""
        principal, organisation = await self._caller(request, "admin")
        lease_id, now = request.match_info["lease"], self.clock.now()
        reason = (await json_body(request, ReasonBody)).reason

        def change(connection: Connection) -> dict[str, Any]:
            sql = driver(connection)
            lease = lease_by_id(sql, lease_id)
            if lease is None or lease.organisation != organisation or not within_part(principal, lease.attribution):
                raise NotFound(f"There is no lease {lease_id[:64]!r} that you may see. GET /v1/leases lists them.")
            let_go(connection, lease, reason, actor=principal.key_id or "", at=now)
            return _lease_view(sql, lease_by_id(sql, lease_id) or lease)

        try:
            return web.json_response(await self.database.write(change))
        except LeaseNotUnreconciled as error:
            raise Conflict(str(error)) from error

    async def overruns(self, request: web.Request) -> web.Response:
        """List what was spent beyond caps, the newest first; ``next_after`` continues."""
        principal, organisation = await self._caller(request, "spend:read")
        begin, limit = integer(request, "after", _NEWEST, least=0, most=_NEWEST), _limit(request)
        found, after = await self.database.read(
            lambda connection: _pages(
                lambda after: overruns_page(driver(connection), organisation, after, limit),
                lambda overrun: overrun.id,
                lambda overrun: in_part(principal, BudgetDefinition.model_validate_json(overrun.definition)),
                begin,
                limit,
            )
        )
        return web.json_response({"overruns": [_overrun_view(overrun) for overrun in found], "next_after": after})

    async def audit(self, request: web.Request) -> web.Response:
        """List who changed what and why, the newest first; ``next_after`` continues."""
        principal, organisation = await self._caller(request, "spend:read")
        principal.require_whole_organisation()
        before, limit = integer(request, "after", _NEWEST, least=0, most=_NEWEST), _limit(request)
        found = await self.database.read(lambda connection: audit_page(driver(connection), organisation, before, limit))
        entries = [
            {
                "id": entry.id,
                "at": rfc3339(entry.at),
                "actor": entry.actor or None,
                "action": entry.action,
                "subject": entry.subject,
                "detail": entry.detail,
            }
            for entry in found
        ]
        return web.json_response({"audit": entries, "next_after": found[-1].id if len(found) == limit else None})

    async def _caller(self, request: web.Request, scope: str) -> tuple[Principal, str]:
        principal = await self.authenticator.authenticate(request, scope)
        return principal, organisation_of(request, principal, self.default_organisation)


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


def _limit(request: web.Request) -> int:
    return integer(request, "limit", 100, least=1, most=MAX_LIMIT)


def _written(after: tuple[int, str] | None) -> str | None:
    return None if after is None else f"{after[0]}~{after[1]}"


def _decision_view(decided: Decided) -> dict[str, Any]:
    decision = decided.decision
    return {
        "id": decided.id,
        "decided_at": rfc3339(decided.decided_at),
        "question": decided.question,
        "verdict": decision.verdict.value,
        "code": decision.code.value,
        "rationale": decision.rationale,
        "model": decision.model,
        "output_tokens": decision.output_tokens,
        "would": decision.would,
        "lease": decided.lease_id,
    }


def _lease_view(sql: Driver, lease: Lease) -> dict[str, Any]:
    return {
        "id": lease.id,
        "kind": lease.kind.value,
        "state": lease.state.value,
        "key_id": lease.key_id or None,
        **{level.value: value for level, value in lease.attribution},
        "calls": lease.calls,
        "opened_at": rfc3339(lease.opened_at),
        "expires_at": rfc3339(lease.expires_at),
        "holds": [
            {"budget": name, "node": node, "remaining": show_amount(measure_in(definition), remaining)}
            for name, definition, node, remaining in holds_by_budget(sql, lease.id)
        ],
    }


def _overrun_view(overrun: Overrun) -> dict[str, Any]:
    return {
        "id": overrun.id,
        "budget": overrun.budget,
        "node": overrun.node,
        "period_start": rfc3339(overrun.period_start),
        "trace_id": overrun.span_key[:16].hex(),
        "span_id": overrun.span_key[16:].hex(),
        "amount": show_amount(measure_in(overrun.definition), overrun.amount),
        "reason": overrun.reason,
        "recorded_at": rfc3339(overrun.recorded_at),
    }
