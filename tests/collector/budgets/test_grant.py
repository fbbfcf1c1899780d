"""What the tightest budgets of a path leave, and which one is named for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from p402.collector.budgets.budget import Balance, Budget, OnPath
from p402.collector.budgets.grant import Position, funds
from p402.collector.budgets.period import Period, PeriodKind
from p402.decisions import Measure
from p402.vocabulary import Level

NOW = datetime(2026, 5, 15, tzinfo=UTC)


def position(name: str, level: Level, cap: int, spent: int = 0, held: int = 0) -> Position:
    budget = Budget(
        id=1,
        organisation="acme",
        name=name,
        level=level,
        node=None,
        cap=cap,
        period=Period(kind=PeriodKind.TOTAL),
        made_at=NOW,
    )
    return Position(OnPath(budget, "node"), Balance(spent, held, 0))


@pytest.mark.parametrize(
    ("spent", "named"), [(1_700, "a-session"), (0, "a-call")], ids=["the session has less left", "the ceiling is lower"]
)
def test_the_budget_that_leaves_least_is_named_wherever_it_stands_on_the_path(spent: int, named: str) -> None:
    path = [position("a-session", Level.SESSION, 2_000, spent), position("a-call", Level.REQUEST, 500)]
    for order in (path, path[::-1]):
        found = funds(order, NOW)
        assert found.budget == {Measure.COST: named}
        assert (found.left, found.ceiling) == ({Measure.COST: 2_000 - spent}, {Measure.COST: 500})


@pytest.mark.parametrize(
    ("others", "coming"),
    [
        ([], 700),
        ([position("overspent", Level.ORGANISATION, 1_000, spent=1_600, held=900)], 0),
        ([position("holds nothing", Level.ORGANISATION, 1_000, spent=950)], 50),
    ],
    ids=[
        "what is held comes back",
        "it does not make up for what was spent too much",
        "a budget that waits for nothing",
    ],
)
def test_what_may_come_back_is_what_every_budget_would_have_left_then(others: list[Position], coming: int) -> None:
    for order in (others + (held := [position("month", Level.DEPARTMENT, 1_000, spent=300, held=600)]), held + others):
        assert funds(order, NOW).coming == {Measure.COST: coming}
