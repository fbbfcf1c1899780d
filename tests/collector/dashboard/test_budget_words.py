"""A budget says in words what it caps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from p402.collector.budgets.definition import budget_of
from p402.collector.dashboard.budget_words import budget_in_words, tried_in_words

NOW = datetime(2026, 5, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            {"level": "department", "node": "legal", "cap": "20000", "time_zone": "Europe/Berlin"},
            "At most $20,000.00 a month (Europe/Berlin) for the department legal.",
        ),
        ({"level": "request", "cap": "0.5"}, "At most $0.50 each for single calls."),
        (
            {"level": "employee", "measure": "requests", "cap": 1_000, "period": "rolling", "length": "60s"},
            "At most 1,000 calls within any 1 minute for each employee.",
        ),
        (
            {"level": "project", "node": "t-7", "within": {"department": "legal"}, "cap": "3", "period": "total"},
            "At most $3.00 in all for the project t-7 within department legal.",
        ),
        (
            {"level": "organisation", "measure": "concurrency", "period": "total", "cap": 20},
            "At most 20 calls at once for each organisation.",
        ),
    ],
)
def test_the_cap_its_period_and_its_nodes_are_said(written: dict[str, Any], said: str) -> None:
    assert budget_in_words(budget_of(0, "acme", "b", written, NOW)).startswith(f"{said} Enforced:")


def test_what_only_observes_says_so() -> None:
    said = budget_in_words(budget_of(0, "acme", "b", {"level": "department", "cap": "1", "mode": "observe"}, NOW))
    assert said.endswith("Observed only: what goes beyond is noted, and no call is refused.")


def test_a_period_is_named_by_its_days_in_the_budgets_own_zone() -> None:
    berlin = budget_of(0, "acme", "b", {"level": "department", "cap": "1", "time_zone": "Europe/Berlin"}, NOW)
    assert tried_in_words(berlin, datetime(2026, 4, 30, 22, tzinfo=UTC), over=False) == "May 2026, so far"
