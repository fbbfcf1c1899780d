"""Budgets over HTTP: seen with what is left of them, changed one by one or all at once, and broken open for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.budget_views import (
    AppliedBudgets,
    ApplyBody,
    BudgetBody,
    BudgetPage,
    BudgetView,
    BudgetWithNodes,
    MadeBudget,
    OverrideBody,
    OverrideView,
    RetiredBudget,
    budget_view,
    change_view,
    in_part,
    read_budget,
    read_override,
)
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.problem import BadRequest, Conflict, NotFound
from p402.collector.api.query import Cursor, Limit, NodeId, Query
from p402.collector.budgets.budget import Balance, Budget, OnPath
from p402.collector.budgets.definition import BudgetDefinition
from p402.collector.storage.accounts import balance_seen
from p402.collector.storage.budgets import (
    BudgetChange,
    BudgetChangeKind,
    BudgetTaken,
    BudgetUnknown,
    StoredBudget,
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


class BudgetsQuery(Query):
    """Which budgets."""

    level: Level | None = None
    node: Annotated[NodeId | None, Field(description="Only budgets that count this one, with its balance.")] = None
    after: Annotated[str, Field(max_length=100, description="Goes on after this name.")] = ""
    limit: Limit = 100


class NodesQuery(Query):
    """Which nodes of a budget."""

    after: Cursor | None = None
    limit: Limit = 100


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
        return routes_of(self)

    @endpoint("GET /v1/budgets", scope="spend:read", answers={200: BudgetPage})
    async def budgets(self, caller: Caller, query: BudgetsQuery) -> web.Response:
        """List budgets by name with the balances of their most used nodes, or of one node; ``next_after`` continues."""
        principal, organisation = caller.principal, caller.organisation
        level, node, after, limit = query.level, query.node, query.after, query.limit
        now = self.clock.now()

        def read(connection: Connection) -> list[BudgetView]:
            sql = driver(connection)
            found: list[BudgetView] = []
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
        page: BudgetPage = {"budgets": found, "next_after": found[-1]["name"] if len(found) == limit else None}
        return web.json_response(page)

    @endpoint("GET /v1/budgets/{name}", scope="spend:read", answers={200: BudgetWithNodes})
    async def budget(self, caller: Caller, query: NodesQuery, name: str) -> web.Response:
        """Show a budget with the balances of its nodes, the most used first; ``next_after`` continues."""
        principal, organisation = caller.principal, caller.organisation
        after, limit, now = query.after, query.limit, self.clock.now()

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
        return web.json_response(BudgetWithNodes(**budget_view(stored, budget, nodes, now), next_after=last))

    @endpoint(
        "PUT /v1/budgets/{name}", scope="budgets:write", answers={200: MadeBudget, 201: MadeBudget}, problems=(409,)
    )
    async def put(self, caller: Caller, name: str, body: BudgetBody) -> web.Response:
        """Make a budget, or change it; 201 if it is new."""
        written, principal, organisation = body.root, caller.principal, caller.organisation
        if written.get("name", name) != name:
            raise BadRequest(f"The body's name is {str(written['name'])[:100]!r}, but the path's is {name[:100]!r}.")
        definition = read_budget({**written, "name": name}, organisation, principal)
        [change] = await self._apply(principal, organisation, [definition])
        view = MadeBudget(change=change.kind, **change_view(change))
        return web.json_response(view, status=201 if change.kind is BudgetChangeKind.CREATED else 200)

    @endpoint("DELETE /v1/budgets/{name}", scope="budgets:write", answers={200: RetiredBudget})
    async def delete(self, caller: Caller, name: str) -> web.Response:
        """Take a budget out of force."""
        actor, may, now = caller.principal.actor or "", _may(caller.principal), self.clock.now()
        try:
            await self.database.write(
                lambda connection: retire_budget(connection, caller.organisation, name, actor=actor, at=now, may=may)
            )
        except BudgetUnknown as error:
            raise NotFound(str(error)) from error
        return web.json_response(RetiredBudget(name=name, change=BudgetChangeKind.RETIRED))

    @endpoint(
        "POST /v1/budgets/apply",
        scope="budgets:write",
        answers={200: AppliedBudgets},
        problems=(409,),
        largest_body=_LARGEST_FILE,
    )
    async def apply(self, caller: Caller, body: ApplyBody) -> web.Response:
        """Make budgets be as they are listed, or say what that would change."""
        principal, organisation = caller.principal, caller.organisation
        wanted = [read_budget(document, organisation, principal) for document in body.budgets]
        names = [definition.name for definition in wanted]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadRequest(f"Each name stands for one budget; more than once there are: {', '.join(twice)}.")
        changes = await self._apply(principal, organisation, wanted, prune=body.prune, dry_run=body.dry_run)
        by_kind = {
            kind: [change_view(change) for change in changes if change.kind is kind] for kind in BudgetChangeKind
        }
        told: AppliedBudgets = {
            "dry_run": body.dry_run,
            "created": by_kind[BudgetChangeKind.CREATED],
            "changed": by_kind[BudgetChangeKind.CHANGED],
            "unchanged": by_kind[BudgetChangeKind.UNCHANGED],
            "retired": by_kind[BudgetChangeKind.RETIRED],
        }
        return web.json_response(told)

    @endpoint("POST /v1/budgets/{name}/overrides", scope="budgets:write", answers={201: OverrideView})
    async def override(self, caller: Caller, name: str, body: OverrideBody) -> web.Response:
        """Allow more than a budget's cap until a time; who and why is audited."""
        principal, organisation, now = caller.principal, caller.organisation, self.clock.now()
        may = _may(principal)

        def change(connection: Connection) -> StoredBudget:
            known = budget_named(driver(connection), organisation, name, now)
            if known is None or not may(known.definition):
                raise _unknown(name)
            override = read_override(body, known.definition, self.new_id("ovr", now), now)
            return add_override(connection, organisation, name, override, actor=principal.actor or "", may=may)

        stored = await self.database.write(change)
        return web.json_response(budget_view(stored, stored.of(organisation), [], now)["overrides"][-1], status=201)

    # --- shared

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
                actor=principal.actor or "",
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
