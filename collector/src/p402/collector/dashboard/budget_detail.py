"""What the page of one budget shows, read at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from p402.collector.api.auth import Principal
from p402.collector.api.budget_views import in_part, within_part
from p402.collector.budgets.alerts import Alert
from p402.collector.budgets.budget import Budget
from p402.collector.budgets.period import PeriodKind
from p402.collector.dashboard.budget_lines import BudgetLine
from p402.collector.dashboard.budget_words import nodes_said
from p402.collector.dashboard.names import Nodes, nodes_of
from p402.collector.storage.alerts import newest_alerts
from p402.collector.storage.audit import Audited, audit_about
from p402.collector.storage.budgets import StoredBudget, budget_named
from p402.collector.storage.decision_rows import Decided, attribution_of, decisions_page
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.oversight import Overrun, balances_of, overruns_page
from p402.decisions import Measure, Verdict

__all__ = ["REFUSALS_LOOKED_AT", "BudgetDetail", "budget_detail"]

REFUSALS_LOOKED_AT = 500
"""A decision names the budget that it came to in its reasons only; so this many of the newest refusals are read."""

_NODES = 25  # on a page
_SHOWN = 10
_FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class BudgetDetail:
    """A budget in force, with what belongs to it."""

    stored: StoredBudget
    budget: Budget
    lines: Sequence[BudgetLine]
    """Nodes, the most used first."""
    after: str | None
    """Where the next nodes are; None if these are all."""
    alerts: Sequence[Alert]
    refused: Sequence[Decided]
    """The newest of the calls that it refused, among the newest refusals."""
    overruns: Sequence[Overrun]
    history: Sequence[Audited]

    @property
    def nodes(self) -> Nodes:
        """What may have names."""
        of_its_level = [
            *(line.node for line in self.lines),
            *(alert.node for alert in self.alerts),
            *(overrun.node for overrun in self.overruns),
        ]
        return [
            *nodes_said(self.budget),
            *((self.budget.level, node) for node in of_its_level),
            *nodes_of(*(attribution_of(one) for one in self.refused)),
        ]

    @property
    def single(self) -> BudgetLine | None:
        """The one node that the budget is for; None if it is for each of a level."""
        return self.lines[0] if self.budget.node is not None and self.lines else None

    @property
    def is_month_of_one(self) -> bool:
        """Whether it is the month's cost of one node, all of it, so that it can be projected day by day."""
        budget = self.budget
        is_plain = budget.measure is Measure.COST and not any(value for _, value in budget.within)
        return self.single is not None and is_plain and budget.period.kind is PeriodKind.MONTH


def budget_detail(
    connection: Connection,
    organisation: str,
    name: str,
    principal: Principal,
    now: datetime,
    after: tuple[int, str] | None = None,
) -> BudgetDetail | None:
    """Read a budget; None if there is none of that name that somebody may see.

    Args:
        connection: where to read.
        organisation: whose budget.
        name: of the budget.
        principal: who asks.
        now: the time.
        after: the last node of the page before: what it has taken, and its name.
    """
    sql = driver(connection)
    stored = budget_named(sql, organisation, name, now)
    if stored is None or not in_part(principal, stored.definition):
        return None
    budget = stored.of(organisation)
    balances = balances_of(sql, budget, now, after, _NODES + 1)
    shown = balances[:_NODES]
    return BudgetDetail(
        stored=stored,
        budget=budget,
        lines=[BudgetLine(budget, node, balance, budget.cap_at(now)) for node, balance in shown],
        after=f"{shown[-1][1].taken}~{shown[-1][0]}" if len(balances) > _NODES else None,
        alerts=newest_alerts(sql, organisation, _FOREVER, _SHOWN, budgets=[stored.id]),
        refused=_refused(sql, organisation, budget, principal),
        overruns=overruns_page(sql, organisation, _FOREVER, _SHOWN, stored.id),
        history=_history(sql, organisation, stored, principal),
    )


def _history(sql: Driver, organisation: str, stored: StoredBudget, principal: Principal) -> list[Audited]:
    """Give the changes of a budget; to who sees a part only, those since it is for a node of that."""
    found = audit_about(sql, organisation, "budget", stored.definition.name, _SHOWN)
    if principal.is_of_whole_organisation:
        return found
    since = stored.made_at
    return [one for one in found if one.at > since or (one.at == since and one.action == "budget.created")]


def _refused(sql: Driver, organisation: str, budget: Budget, principal: Principal) -> list[Decided]:
    newest = decisions_page(sql, organisation, Verdict.BLOCK.value, (_FOREVER, ""), REFUSALS_LOOKED_AT)
    named = f"budget={budget.in_rationales},"
    refused = (decided for decided in newest if named in f"{decided.decision.rationale},")
    return [decided for decided in refused if within_part(principal, attribution_of(decided))][:_SHOWN]
