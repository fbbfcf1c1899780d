"""Which sessions a person should look at (pure, exact: integers only).

Charges are taken one by one in the order of recording, so that what is flagged does not depend on how many come at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from p402.collector.anomalies.baseline import Baseline, Baselines, Employee
from p402.vocabulary import Money

__all__ = ["AnomalyRules", "Flag", "PricedCharge", "Rule", "SessionCost", "take"]


class Rule(StrEnum):
    """Why a session is flagged."""

    EMPLOYEE_MEAN = "employee_mean"
    """It costs more than a multiple of the employee's mean session."""
    SESSION_COST = "session_cost"
    """It costs more than any session should."""


@dataclass(frozen=True, slots=True)
class AnomalyRules:
    """What is out of the ordinary."""

    factor: Fraction
    """How many times the mean a session may cost."""
    min_sessions: int
    """How many other sessions a mean needs to say anything."""
    min_cost: Money
    """A session that costs no more than this is not compared with the mean."""
    session_cost: Money
    """What a session may cost, whoever's it is."""

    def __post_init__(self) -> None:
        if self.min_sessions < 1:
            raise ValueError("a mean needs at least one session")

    def broken_by(self, cost: int, baseline: Baseline | None) -> list[Rule]:
        """Tell which rules a session breaks that has cost so much, in nano-USD."""
        broken = []
        if baseline is not None and self._is_above_mean(cost, baseline):
            broken.append(Rule.EMPLOYEE_MEAN)
        if cost > self.session_cost.nano_usd:
            broken.append(Rule.SESSION_COST)
        return broken

    def _is_above_mean(self, cost: int, baseline: Baseline) -> bool:
        if baseline.sessions < self.min_sessions or cost <= self.min_cost.nano_usd:
            return False
        return cost * baseline.sessions * self.factor.denominator > baseline.cost * self.factor.numerator


@dataclass(slots=True)
class SessionCost:
    """A session as far as it was followed."""

    employee: Employee | None
    """None: nobody knows whose it is."""
    day: int
    """On which it began."""
    cost: int = 0
    """In nano-USD."""
    flagged: set[Rule] = field(default_factory=set)
    """For what it was flagged already."""


@dataclass(frozen=True, slots=True)
class PricedCharge:
    """What a charge adds to its session."""

    scope_id: int
    employee: Employee | None
    day: int
    cost: int


@dataclass(frozen=True, slots=True)
class Flag:
    """A session that a person should look at."""

    scope_id: int
    rule: Rule
    cost: int
    """What the session had cost when it was flagged, in nano-USD."""
    baseline: Baseline
    """What it was compared with; of no sessions where the employee is not known."""


def take(
    charges: Sequence[PricedCharge], sessions: dict[int, SessionCost], baselines: Baselines, rules: AnomalyRules
) -> list[Flag]:
    """Take charges into their sessions; returns those that break a rule they were not flagged for before.

    Args:
        charges: in the order of recording.
        sessions: those of the charges that are known, by scope; they are brought up to date, and new ones added.
        baselines: brought up to date too.
        rules: what is out of the ordinary.
    """
    flags: list[Flag] = []
    for charge in charges:
        session = sessions.get(charge.scope_id)
        is_new = session is None
        if session is None:
            session = sessions[charge.scope_id] = SessionCost(charge.employee, charge.day)
        session.cost += charge.cost
        if session.employee is not None:
            baselines.add(session.employee, session.day, is_new, charge.cost)
        flags += _flags(charge.scope_id, session, baselines, rules)
    return flags


def _flags(scope_id: int, session: SessionCost, baselines: Baselines, rules: AnomalyRules) -> list[Flag]:
    if session.cost <= min(rules.min_cost.nano_usd, rules.session_cost.nano_usd) or len(session.flagged) == len(Rule):
        return []  # as nearly always: then nothing is looked up
    baseline = baselines.besides(session.employee, session.day, session.cost) if session.employee else None
    broken = [rule for rule in rules.broken_by(session.cost, baseline) if rule not in session.flagged]
    session.flagged.update(broken)
    return [Flag(scope_id, rule, session.cost, baseline or Baseline(0, 0)) for rule in broken]
