"""A budget, and which budgets lie on the path of a call (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from p402.collector.budgets.path import BudgetPath
from p402.collector.budgets.period import Period
from p402.decisions import Measure, Mode
from p402.vocabulary import Attribution, Level

__all__ = ["Balance", "Budget", "BudgetSet", "OnPath", "Override"]

_PERSONAL = (Level.EMPLOYEE, Level.SESSION)
_MOST_REMEMBERED = 10_000  # attributions, which come from outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Break-glass: more than the cap, for a while."""

    amount: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A cap on what one node, or each node of a level, may take in a period."""

    id: int
    organisation: str
    name: str
    level: Level
    """``request``: a ceiling for each single call."""
    node: str | None
    """None: each node of the level for itself."""
    within: Attribution = field(default_factory=Attribution)
    """Only calls of these nodes count."""
    measure: Measure = Measure.COST
    cap: int
    """In nano-USD, tokens, requests or calls under way."""
    period: Period
    mode: Mode = Mode.ENFORCE
    hard: bool = False
    """Whether calls are refused when the collector cannot be asked, or the price of a model is not known."""
    warn_at: tuple[int, ...] = (80, 95)
    """Per cent of the cap."""
    owner: str | None = None
    made_at: datetime
    """What was spent before counts too: it is looked up when an account is opened."""
    overrides: tuple[Override, ...] = ()

    @property
    def in_rationales(self) -> str:
        """What rationales call it: by its number, if it is of one person or session, else by its name.

        They are hashed into receipts, and no erasure reaches them; it does reach the name of the budget of that number.
        """
        of_one = self.level in _PERSONAL and self.node is not None
        return f"#{self.id}" if of_one or any(getattr(self.within, level) for level in _PERSONAL) else self.name

    def cap_at(self, at: datetime) -> int:
        """Give the cap with the overrides that are in force."""
        if not self.overrides:
            return self.cap
        return self.cap + sum(override.amount for override in self.overrides if at < override.expires_at)

    def node_of(self, attribution: Attribution) -> str | None:
        """Give the node whose account a call of an attribution belongs to; None if the budget is not on its path."""
        if any(value is not None and getattr(attribution, level) != value for level, value in self.within):
            return None
        if self.level is Level.REQUEST:
            return ""
        found: str | None = getattr(attribution, self.level)
        return found if self.node is None or self.node == found else None


@dataclass(frozen=True, slots=True)
class OnPath:
    """A budget on the path of a call, and the node whose account it is."""

    budget: Budget
    node: str


class Balance(NamedTuple):
    """What an account holds."""

    spent: int
    held: int
    unreconciled: int

    @property
    def taken(self) -> int:
        """What counts against the cap."""
        return self.spent + self.held + self.unreconciled


@dataclass(frozen=True)
class BudgetSet:
    """All budgets of an organisation, at one version of its rules."""

    version: int
    budgets: Sequence[Budget]
    _named: dict[tuple[Level, str], list[Budget]] = field(default_factory=lambda: defaultdict(list), init=False)
    _each: list[Budget] = field(default_factory=list, init=False)
    _measures: dict[int, Measure] = field(default_factory=dict, init=False)
    _paths: dict[Attribution, BudgetPath] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for budget in self.budgets:
            self._measures[budget.id] = budget.measure
            if budget.node is None:
                self._each.append(budget)
            else:
                self._named[budget.level, budget.node].append(budget)

    def on_path(self, attribution: Attribution) -> BudgetPath:
        """Give the budgets on the path of a call, from the organisation down; ceilings for single calls come last."""
        known = self._paths.get(attribution)
        if known is None:
            if len(self._paths) >= _MOST_REMEMBERED:
                self._paths.clear()
            known = self._paths[attribution] = self._find_path(attribution)
        return known

    def _find_path(self, attribution: Attribution) -> BudgetPath:
        found = []
        for level, node in attribution:
            if node is not None and (level, node) in self._named:
                found += self._fitting(self._named[level, node], attribution)
        return BudgetPath((*found, *self._fitting(self._each, attribution)))

    def levels(self) -> frozenset[Level]:
        """Give the levels that decide which budgets apply: calls that agree on them can share a lease."""
        named = {level for budget in self.budgets for level, value in budget.within if value is not None}
        return frozenset(named | {budget.level for budget in self.budgets}) - {Level.REQUEST}

    def measure_of(self, budget_id: int) -> Measure | None:
        """Give what a budget counts; None if it is gone."""
        return self._measures.get(budget_id)

    @staticmethod
    def _fitting(budgets: Iterable[Budget], attribution: Attribution) -> list[OnPath]:
        return [OnPath(budget, node) for budget in budgets if (node := budget.node_of(attribution)) is not None]
