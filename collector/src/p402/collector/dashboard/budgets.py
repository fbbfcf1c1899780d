"""All budgets with what their nodes have taken, by level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from p402.collector.api.auth import Principal
from p402.collector.api.budget_views import in_part
from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.budgets.budget import Budget
from p402.collector.dashboard.budget_lines import BudgetLine, project_lines
from p402.collector.dashboard.budget_words import amount_in_words, nodes_in_words, nodes_said, period_in_words
from p402.collector.dashboard.forms import WRITES_RULES, Told
from p402.collector.dashboard.names import Naming, Nodes
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.forecast.service import Forecasts
from p402.collector.storage.budgets import budgets_in_force
from p402.collector.storage.driver import driver
from p402.collector.storage.oversight import balances_of
from p402.vocabulary import Level

__all__ = ["BudgetsPage"]

_NODES = 3  # of each budget; its own page has all


class BudgetsView(Told):
    """The query of the list."""

    level: Annotated[Level | None, Field(description="Only budgets of this level.")] = None


@dataclass(frozen=True, slots=True)
class BudgetRows:
    """A budget with the nodes that have taken the most."""

    budget: Budget
    lines: Sequence[BudgetLine]
    more: bool
    """Whether it has more nodes than these."""

    @property
    def nodes(self) -> Nodes:
        """What may have names."""
        return [*((line.level, line.node) for line in self.lines), *nodes_said(self.budget)]

    @property
    def fullest(self) -> tuple[int, str]:
        """Sorts the budget that is nearest to its cap first."""
        taken = max((line.balance.taken * 1000 // max(line.cap, 1) for line in self.lines), default=-1)
        return -taken, self.budget.name


class BudgetsPage(Pages):
    """The handler."""

    def __init__(self, shell: Shell, naming: Naming, forecasts: Forecasts) -> None:
        super().__init__(shell)
        self._naming = naming
        self._forecasts = forecasts

    @endpoint("GET /budgets", scope="spend:read", answers={200: HTML})
    async def budgets(self, request: web.Request, caller: Caller, query: BudgetsView) -> web.Response:
        """Show all budgets with what their nodes have taken, by level, the fullest first."""
        now, organisation, principal = self._shell.clock.now(), caller.organisation, caller.principal
        found, names = await self._naming.read(
            caller,
            query,
            "GET /budgets",
            lambda connection: _read(connection, organisation, principal, now),
            lambda found: [node for rows in found for node in rows.nodes],
        )
        shown = [rows for rows in found if query.level in (None, rows.budget.level)]
        projected = [
            replace(rows, lines=await project_lines(self._forecasts, organisation, rows.lines, now)) for rows in shown
        ]
        levels = [level for level in Level if any(rows.budget.level is level for rows in found)]
        groups = [
            (level, sorted((rows for rows in projected if rows.budget.level is level), key=lambda rows: rows.fullest))
            for level in levels
            if query.level in (None, level)
        ]
        return self._shell.page(
            request,
            caller,
            query,
            "budgets.html",
            groups=groups,
            names=names,
            levels=levels,
            all=len(found),
            writes=principal.may(WRITES_RULES),
            nodes=nodes_in_words,
            period=period_in_words,
            amount=amount_in_words,
        )


def _read(connection: Connection, organisation: str, principal: Principal, now: datetime) -> list[BudgetRows]:
    sql = driver(connection)
    found = []
    for stored in budgets_in_force(sql, organisation, now):
        if not in_part(principal, stored.definition):
            continue
        budget = stored.of(organisation)
        balances = balances_of(sql, budget, now, None, _NODES + 1)
        lines = [BudgetLine(budget, node, balance, budget.cap_at(now)) for node, balance in balances[:_NODES]]
        found.append(BudgetRows(budget, lines, len(balances) > _NODES))
    return found
