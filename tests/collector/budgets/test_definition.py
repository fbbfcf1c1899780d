"""How a budget is written, and what is said when it is not."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from p402.collector.budgets.budget import Override
from p402.collector.budgets.definition import BudgetInvalid, budget_of, read_definition
from p402.collector.budgets.period import PeriodKind
from p402.decisions import Measure, Mode
from p402.vocabulary import Attribution, Level
from support.budgeted import NOW

LEGAL: dict[str, Any] = {"name": "legal", "level": "department", "node": "legal", "cap": "500.00"}


def test_what_is_left_out_is_filled_in() -> None:
    budget = budget_of(7, "acme", "legal", read_definition(LEGAL).to_json(), NOW)
    assert (budget.level, budget.node, budget.within) == (Level.DEPARTMENT, "legal", Attribution())
    assert (budget.measure, budget.cap, budget.mode, budget.hard) == (Measure.COST, 500 * 10**9, Mode.ENFORCE, False)
    assert (budget.period.kind, budget.period.time_zone, budget.warn_at) == (PeriodKind.MONTH, "UTC", (80, 95))


def test_everything_that_is_written_is_read() -> None:
    written = {
        **LEGAL,
        "node": "*",
        "within": {"project": "tender"},
        "measure": "requests",
        "cap": 60,
        "period": "rolling",
        "length": "90s",
        "mode": "observe",
        "hard": True,
        "warn_at": [90, 50],
        "owner": "Ada",
    }
    budget = budget_of(
        7, "acme", "legal", read_definition(written).to_json(), NOW, [Override(amount=5, expires_at=NOW)]
    )
    assert (budget.node, budget.within, budget.cap) == (None, Attribution(project="tender"), 60)
    assert (budget.period.length, budget.warn_at, budget.owner) == (timedelta(seconds=90), (50, 90), "Ada")
    assert budget.cap_at(NOW - timedelta(seconds=1)) == 65
    assert budget.cap_at(NOW) == 60


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "Legal Budget"}, "name: a name is"),
        ({"level": "team"}, "level: Input should be 'organisation'"),
        ({"node": " legal"}, "node: an id is"),
        ({"cap": 0.5}, "cap: an amount is a decimal string"),
        ({"cap": True}, "cap: "),
        ({"cap": "-1"}, "an amount is not negative"),
        ({"cap": "1e3"}, "the budget: "),
        ({"cap": "99999999999"}, "at most"),
        ({"cap": "1.5", "measure": "requests"}, "an amount of requests is a whole number"),
        ({"measure": "euros"}, "measure: "),
        ({"period": "year"}, "period: "),
        ({"period": "rolling"}, "a rolling period needs a length"),
        ({"length": "24h"}, "no other period has one"),
        ({"period": "rolling", "length": "1 day"}, "a length is a number and a unit"),
        ({"period": "rolling", "length": "0s"}, "from one second to 366 days"),
        ({"period": "rolling", "length": "367d"}, "from one second to 366 days"),
        ({"time_zone": "Berlin"}, "time_zone: a time zone has a name"),
        ({"time_zone": "../../etc/passwd"}, "time_zone: a time zone has a name"),
        ({"mode": "watch"}, "mode: "),
        ({"warn_at": [0]}, "warn_at[0]: "),
        ({"owner": "x" * 300}, "owner: "),
        ({"within": {"request": "r-1"}}, "within names nodes from organisation to session"),
        ({"within": {"team": "x"}}, "within.team"),
        ({"level": "request"}, "has the node * and the measure cost or tokens"),
        ({"level": "request", "node": "*", "measure": "requests", "cap": "1"}, "the measure cost or tokens"),
        ({"measure": "concurrency", "cap": "5"}, "the measure concurrency has the period total"),
        ({"capp": "5"}, "capp: "),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_budget_and_of_the_field(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(BudgetInvalid) as raised:
        read_definition({**LEGAL, **changed})
    assert said in str(raised.value)
    assert repr(str(changed.get("name", "legal"))) in str(raised.value)


def test_the_budgets_of_the_readme_can_be_used_as_they_stand() -> None:
    readme = (Path(__file__).parents[3] / "collector" / "README.md").read_text()
    [example] = re.findall(r"```yaml\n(budgets:\n.*?)```", readme, re.DOTALL)
    budgets = yaml.safe_load(example)["budgets"]
    assert len(budgets) > 5
    for name, budget in budgets.items():
        read_definition({**budget, "name": name})
