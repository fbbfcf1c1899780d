"""Budgets as pages show them: what a node has taken of its cap, and where that is heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction

from sqlalchemy import Connection

from p402.collector.api.auth import Principal
from p402.collector.api.budget_views import in_part
from p402.collector.budgets.budget import Balance, Budget
from p402.collector.budgets.definition import show_amount
from p402.collector.dashboard.format import usd
from p402.collector.forecast.project import Projection
from p402.collector.forecast.service import Asked, Forecasts
from p402.collector.storage.budgets import budgets_in_force
from p402.collector.storage.driver import driver
from p402.collector.storage.oversight import balances_of
from p402.decisions import Measure
from p402.vocabulary import Level, Money

__all__ = ["BudgetLine", "project_lines", "read_lines"]


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """A budget and one of its nodes."""

    budget: Budget
    node: str
    balance: Balance
    cap: int
    """With the overrides in force."""
    projected: Money | None = None
    """At the end of the period; None where that is not projected."""
    reached_on: date | None = None
    """When the cap is expected to be reached, if in this period."""
    projection: Projection | None = None
    """All of what is expected."""

    @property
    def used(self) -> Fraction:
        """The part of the cap that is taken."""
        return Fraction(self.balance.spent + self.balance.unreconciled, self.cap) if self.cap else Fraction(1)

    @property
    def level(self) -> Level:
        """Of the node."""
        return self.budget.level

    @property
    def state(self) -> str:
        """Say in a word how it stands: ``over``, ``near``, ``heading over``, ``watch``, ``in budget``."""
        taken = self.balance.spent + self.balance.unreconciled
        if taken * 100 >= self.cap * 95:
            return "at its cap" if taken >= self.cap else "near its cap"
        if self.projected is not None and self.projected.nano_usd > self.cap:
            return "heading over"
        if self.projected is not None and self.projected.nano_usd * 10 > self.cap * 9:
            return "watch"
        return "in budget"

    @property
    def is_fine(self) -> bool:
        """Whether nobody needs to look."""
        return self.state == "in budget"

    @property
    def left(self) -> int:
        """What may still be taken."""
        return max(0, self.cap - self.balance.taken)

    def amount(self, number: int) -> str:
        """Write an amount of the budget's measure, with its unit."""
        measure = self.budget.measure
        return usd(Money(number)) if measure is Measure.COST else f"{show_amount(measure, number)} {measure.value}"


def read_lines(
    connection: Connection, organisation: str, principal: Principal, now: datetime, nodes: int
) -> list[BudgetLine]:
    """Read the budgets that somebody may see, each with its most used nodes; ceilings for single requests are left out.

    Args:
        connection: where to read.
        organisation: whose budgets.
        principal: who asks.
        now: the time.
        nodes: of each budget at most.
    """
    sql = driver(connection)
    lines = []
    for stored in budgets_in_force(sql, organisation, now):
        if not in_part(principal, stored.definition):
            continue
        budget = stored.of(organisation)
        lines += [
            BudgetLine(budget, node, balance, budget.cap_at(now))
            for node, balance in balances_of(sql, budget, now, None, nodes)
        ]
    return lines


async def project_lines(
    forecasts: Forecasts, organisation: str, lines: Sequence[BudgetLine], now: datetime
) -> list[BudgetLine]:
    """Project those that count the whole cost of a node in a calendar period."""
    asked = [_asked(line, now) for line in lines]
    projections = iter(await forecasts.project_all(organisation, [one for one in asked if one], now))
    found = []
    for line, wanted in zip(lines, asked, strict=True):
        if wanted is None:
            found.append(line)
            continue
        projection = next(projections)
        forecast = projection.forecast
        found.append(
            replace(line, projection=projection, projected=forecast.projected, reached_on=forecast.cap_reached_on)
        )
    return found


def _asked(line: BudgetLine, now: datetime) -> Asked | None:
    """Say what projection a line wants; None where there is none."""
    window = line.budget.period.window(now)
    counts_all = line.budget.measure is Measure.COST and not any(value for _, value in line.budget.within)
    if window.end is None or not counts_all or line.level is Level.SESSION:
        return None
    return Asked(line.level, line.node, window.start, window.end, line.budget.period.time_zone, Money(line.cap))
