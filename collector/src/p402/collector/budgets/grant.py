"""Balances → funds for a decision, and how much more than one call a lease holds (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from p402.collector.budgets.budget import Balance, Budget, OnPath
from p402.decisions import Funds, Measure, Mode
from p402.vocabulary import Level

__all__ = ["Position", "ceilings", "funds", "lease_amounts"]

_CALLS_AHEAD = 16  # a lease covers so many calls like the one it was asked for
_SHARE = 32  # and no more than this part of what is left, so that others find something, and the last cent too
_REQUEST, _OBSERVE = Level.REQUEST, Mode.OBSERVE  # looked up once, as below everything is done for every budget


class Position(NamedTuple):
    """A budget on a call's path with the balance of its account."""

    on: OnPath
    balance: Balance


def funds(positions: Sequence[Position], at: datetime, *, observing: bool = False) -> Funds:
    """Give what the tightest budgets of a path leave.

    Args:
        positions: all budgets on the path.
        at: now.
        observing: count budgets that only observe, instead of leaving them out.
    """
    left: dict[Measure, int] = {}
    coming: dict[Measure, int] = {}
    ceiling: dict[Measure, int] = {}
    tightest: dict[Measure, tuple[int, Budget]] = {}
    hard = False
    for on, (spent, held, unreconciled) in positions:
        budget = on.budget
        if budget.mode is _OBSERVE and not observing:
            continue
        hard = hard or budget.hard
        measure, amount, bounds = budget.measure, budget.cap_at(at), ceiling
        if budget.level is not _REQUEST:
            once_given_back = max(0, amount - spent - unreconciled)
            bounds, amount = left, max(0, amount - spent - held - unreconciled)
            if (known := coming.get(measure)) is None or once_given_back < known:
                coming[measure] = once_given_back
        if (least := tightest.get(measure)) is None or amount < least[0]:
            tightest[measure] = amount, budget
        if (known := bounds.get(measure)) is None or amount < known:
            bounds[measure] = amount
    names = {measure: budget.in_rationales for measure, (_, budget) in tightest.items()}
    return Funds(left=left, coming=coming, ceiling=ceiling, budget=names, hard=hard)


def ceilings(path: Sequence[OnPath], at: datetime) -> dict[Measure, int]:
    """Give the most that any single call of a path may take."""
    found: dict[Measure, int] = {}
    for on in path:
        budget = on.budget
        if budget.level is Level.REQUEST and budget.mode is Mode.ENFORCE:
            cap = budget.cap_at(at)
            found[budget.measure] = min(cap, found.get(budget.measure, cap))
    return found


def lease_amounts(needed: Mapping[Measure, int], left: Mapping[Measure, int]) -> dict[Measure, int]:
    """Give what a lease holds of each limited measure: the call that asks, and calls to come while much is left."""
    return {
        measure: max(needed.get(measure, 0), min(needed.get(measure, 0) * _CALLS_AHEAD, amount // _SHARE))
        for measure, amount in left.items()
    }
