"""Budgets over HTTP: seen with what is left of them, changed one by one or all at once, and broken open for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.bodies import json_body
from p402.collector.api.budget_views import (
    ApplyBody,
    BudgetBody,
    OverrideBody,
    budget_view,
    change_view,
    cursor,
    in_part,
    read_budget,
)
from p402.collector.api.pages import MAX_LIMIT, choice, identifier, integer, organisation_of
from p402.collector.api.problem import BadRequest, Conflict, NotFound
from p402.collector.budgets.budget import Balance, Budget, OnPath
from p402.collector.budgets.definition import BudgetDefinition, amount_of
from p402.collector.storage.accounts import balance_seen
from p402.collector.storage.budgets import (
    BudgetChange,
    BudgetChangeKind,
    BudgetTaken,
    BudgetUnknown,
    StoredBudget,
    StoredOverride,
    add_override,
    apply_budgets,
    budget_named,
    budgets_in_force,
    retire_budget,
)
from p402.collector.storage.database import Database
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.oversight import balances_of
from p402.vocabulary import Clock, IdFactory, Level

__all__ = ["BudgetsApi"]

_TOP = 10  # nodes of each budget that a list shows
_LARGEST_FILE = 2**21  # bytes
_LONGEST_OVERRIDE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class BudgetsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    clock: Clock
    new_id: IdFactory
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return [
            web.get("/v1/budgets", self.budgets, allow_head=False),
            web.post("/v1/budgets/apply", self.apply),
            web.get("/v1/budgets/{name}", self.budget, allow_head=False),
            web.put("/v1/budgets/{name}", self.put),
            web.delete("/v1/budgets/{name}", self.delete),
            web.post("/v1/budgets/{name}/overrides", self.override),
        ]

    async def budgets(self, request: web.Request) -> web.Response:
        """List budgets by name with the balances of their most used nodes, or of one node; ``next_after`` continues."""
        principal, organisation = await self._caller(request, "spend:read")
        node, level = identifier(request, "node"), choice(request, "level", Level)
        after, limit = request.query.get("after", ""), integer(request, "limit", 100, least=1, most=MAX_LIMIT)
        now = self.clock.now()

        def read(connection: Connection) -> list[dict[str, Any]]:
            sql = driver(connection)
            found: list[dict[str, Any]] = []
            for stored in budgets_in_force(sql, organisation, now):
                budget = stored.of(organisation)
                if stored.definition.name <= after or not in_part(principal, stored.definition):
                    continue
                if (level is not None and budget.level is not level) or len(found) == limit:
                    continue
                nodes = (
                    balances_of(sql, budget, now, None, _TOP) if node is None else self._one(sql, budget, node, level)
                )
                if nodes or node is None:
                    found.append(budget_view(stored, budget, nodes, now))
            return found

        found = await self.database.read(read)
        return web.json_response({"budgets": found, "next_after": found[-1]["name"] if len(found) == limit else None})

    async def budget(self, request: web.Request) -> web.Response:
        """Show a budget with the balances of its nodes, the most used first; ``next_after`` continues."""
        principal, organisation = await self._caller(request, "spend:read")
        name, after = request.match_info["name"], cursor(request)
        limit, now = integer(request, "limit", 100, least=1, most=MAX_LIMIT), self.clock.now()

        def read(connection: Connection) -> tuple[StoredBudget, Budget, list[tuple[str, Balance]]] | None:
            stored = budget_named(driver(connection), organisation, name, now)
            if stored is None or not in_part(principal, stored.definition):
                return None
            budget = stored.of(organisation)
            return stored, budget, balances_of(driver(connection), budget, now, after, limit)

        found = await self.database.read(read)
        if found is None:
            raise _unknown(name)
        stored, budget, nodes = found
        last = f"{nodes[-1][1].taken}~{nodes[-1][0]}" if len(nodes) == limit else None
        return web.json_response({**budget_view(stored, budget, nodes, now), "next_after": last})

    async def put(self, request: web.Request) -> web.Response:
        """Make a budget, or change it; 201 if it is new."""
        principal, organisation = await self._caller(request, "admin")
        name = request.match_info["name"]
        body = (await json_body(request, BudgetBody)).root
        if body.get("name", name) != name:
            raise BadRequest(f"The body's name is {str(body['name'])[:100]!r}, but the path's is {name[:100]!r}.")
        definition = read_budget({**body, "name": name}, organisation, principal)
        [change] = await self._apply(principal, organisation, [definition])
        view = {"change": change.kind.value, **change_view(change)}
        return web.json_response(view, status=201 if change.kind is BudgetChangeKind.CREATED else 200)

    async def delete(self, request: web.Request) -> web.Response:
        """Take a budget out of force."""
        principal, organisation = await self._caller(request, "admin")
        name, actor, now = request.match_info["name"], principal.key_id or "", self.clock.now()
        may = _may(principal)
        try:
            await self.database.write(
                lambda connection: retire_budget(connection, organisation, name, actor=actor, at=now, may=may)
            )
        except BudgetUnknown as error:
            raise NotFound(str(error)) from error
        return web.json_response({"name": name, "change": BudgetChangeKind.RETIRED.value})

    async def apply(self, request: web.Request) -> web.Response:
        """Make budgets be as they are listed, or say what that would change."""
        principal, organisation = await self._caller(request, "admin")
        body = await json_body(request, ApplyBody, _LARGEST_FILE)
        wanted = [read_budget(document, organisation, principal) for document in body.budgets]
        names = [definition.name for definition in wanted]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadRequest(f"Each name stands for one budget; more than once there are: {', '.join(twice)}.")
        changes = await self._apply(principal, organisation, wanted, prune=body.prune, dry_run=body.dry_run)
        told: dict[str, Any] = {"dry_run": body.dry_run}
        for kind in BudgetChangeKind:
            told[kind.value] = [change_view(change) for change in changes if change.kind is kind]
        return web.json_response(told)

    async def override(self, request: web.Request) -> web.Response:
        """Allow more than a budget's cap until a time; who and why is audited."""
        principal, organisation = await self._caller(request, "admin")
        name, now = request.match_info["name"], self.clock.now()
        body = await json_body(request, OverrideBody)
        if not now < body.expires_at <= now + _LONGEST_OVERRIDE:
            raise BadRequest("expires_at: an override ends in the future, within 366 days.")
        may = _may(principal)

        def change(connection: Connection) -> StoredBudget:
            known = budget_named(driver(connection), organisation, name, now)
            if known is None or not may(known.definition):
                raise _unknown(name)
            try:
                amount = amount_of(known.definition.measure, body.amount)
            except ValueError as error:
                raise BadRequest(f"amount: {error}.") from error
            if amount == 0:
                raise BadRequest("amount: an override allows more, so it is more than nothing.")
            override = StoredOverride(
                id=self.new_id("ovr", now),
                amount=amount,
                owner=body.owner,
                reason=body.reason,
                created_at=now,
                expires_at=body.expires_at,
            )
            return add_override(connection, organisation, name, override, actor=principal.key_id or "", may=may)

        stored = await self.database.write(change)
        return web.json_response(budget_view(stored, stored.of(organisation), [], now)["overrides"][-1], status=201)

    # --- shared

    async def _caller(self, request: web.Request, scope: str) -> tuple[Principal, str]:
        principal = await self.authenticator.authenticate(request, scope)
        return principal, organisation_of(request, principal, self.default_organisation)

    async def _apply(
        self,
        principal: Principal,
        organisation: str,
        wanted: Sequence[BudgetDefinition],
        *,
        prune: bool = False,
        dry_run: bool = False,
    ) -> list[BudgetChange]:
        now = self.clock.now()
        may = _may(principal)

        def change(connection: Connection) -> list[BudgetChange]:
            return apply_budgets(
                connection,
                organisation,
                wanted,
                actor=principal.key_id or "",
                at=now,
                may=may,
                prune=prune,
                dry_run=dry_run,
            )

        try:
            return await self.database.write(change)
        except BudgetTaken as error:
            raise Conflict(str(error)) from error

    def _one(self, sql: Driver, budget: Budget, node: str, level: Level | None) -> list[tuple[str, Balance]]:
        """Give the balance of one node; of a budget for each node only if something is known of that one, or it is asked for."""
        if budget.level is Level.REQUEST or budget.node not in (None, node):
            return []
        balance = balance_seen(sql, OnPath(budget, node), self.clock.now())
        return [(node, balance)] if budget.node or level or balance.taken else []


def _may(principal: Principal) -> Callable[[BudgetDefinition], bool]:
    return lambda definition: in_part(principal, definition)


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no budget {name[:100]!r} that you may see. GET /v1/budgets lists them.")
