"""Trying a cap on the ledger finds what the calls would have met, node by node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from p402.collector.budgets.budget import Budget
from p402.collector.budgets.definition import budget_of
from p402.collector.storage.budget_trials import TriedPeriod, periods_tried, trial_in
from p402.collector.storage.driver import driver
from support.open_books import OpenBooks, open_books
from support.otlp import MAY_2026, ASpan

NOW = datetime(2026, 5, 15, 12, tzinfo=UTC)
HOUR_NS = 3_600_000_000_000
CALL = 264_235_000  # nano-USD


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path) as opened:
        calls = [("legal", "e-1", 0), ("legal", "e-2", 1), ("legal", "e-1", 2), ("sales", "e-3", 2), (None, None, 3)]
        await opened.send(
            *(
                ASpan.of(
                    {"p402.department": department, "p402.employee": employee}, started_ns=MAY_2026 - hours * HOUR_NS
                )
                for department, employee, hours in calls
            ),
            ASpan.of({"p402.department": "legal"}, started_ns=MAY_2026 - 40 * 24 * HOUR_NS),  # in April
        )
        yield opened


def a_budget(**written: Any) -> Budget:
    return budget_of(0, "acme", "tried", {"level": "department", **written}, NOW)


async def tried(books: OpenBooks, budget: Budget) -> list[TriedPeriod]:
    periods = periods_tried(budget, NOW)
    return await books.database.read(
        lambda connection: [trial_in(driver(connection), budget, begin, end, over=over) for begin, end, over in periods]
    )


async def test_the_last_complete_month_and_this_one_are_tried(books: OpenBooks) -> None:
    april, may = await tried(books, a_budget(node="legal", cap="0.60"))
    assert (april.begin, april.end, april.over) == (
        datetime(2026, 4, 1, tzinfo=UTC),
        datetime(2026, 5, 1, tzinfo=UTC),
        True,
    )
    assert (april.calls, april.amount, april.refused) == (1, CALL, 0)
    assert (may.begin, may.end, may.over) == (datetime(2026, 5, 1, tzinfo=UTC), NOW, False)
    assert (may.calls, may.amount, may.refused, may.refused_amount) == (3, 3 * CALL, 1, CALL)
    [(node, trial)] = may.tried
    assert (node, trial.reached_at) == ("legal", MAY_2026 // 1_000_000)  # the third in the order in which they began


async def test_each_node_of_a_level_has_the_cap_for_itself_and_the_unattributed_none(books: OpenBooks) -> None:
    _, may = await tried(books, a_budget(cap="0.30"))
    assert [(node, trial.calls, trial.refused) for node, trial in may.tried] == [("legal", 3, 2), ("sales", 1, 0)]
    assert (may.nodes, may.calls, may.nodes_refused, may.refused) == (2, 4, 1, 2)


async def test_only_calls_within_are_tried(books: OpenBooks) -> None:
    _, may = await tried(books, a_budget(level="employee", within={"department": "legal"}, cap="0.30"))
    assert [(node, trial.calls, trial.refused) for node, trial in may.tried] == [("e-1", 2, 1), ("e-2", 1, 0)]


async def test_requests_and_tokens_are_counted_as_the_budget_counts_them(books: OpenBooks) -> None:
    _, may = await tried(books, a_budget(node="legal", measure="requests", cap=2))
    assert (may.amount, may.refused) == (3, 1)
    _, may = await tried(books, a_budget(node="legal", measure="tokens", cap=20_000))
    assert (may.amount, may.refused, may.refused_amount) == (3 * 12_847, 2, 2 * 12_847)


async def test_a_rolling_budget_is_tried_on_the_last_days(books: OpenBooks) -> None:
    rolling = {"period": "rolling", "length": "90m", "measure": "requests"}
    [week] = await tried(books, a_budget(node="legal", cap=1, **rolling))
    assert week.begin == NOW - timedelta(days=7)
    # 07:00 fits, 08:00 is refused, and 09:00 fits again.
    assert [(trial.calls, trial.most, trial.refused) for _, trial in week.tried] == [(3, 2, 1)]


async def test_a_ceiling_for_single_calls_is_held_against_each(books: OpenBooks) -> None:
    _, may = await tried(books, a_budget(level="request", cap="0.20"))
    assert (may.calls, may.refused) == (5, 5)
    _, may = await tried(books, a_budget(level="request", cap="0.27"))
    assert (may.calls, may.refused) == (5, 0)


async def test_what_is_under_way_cannot_be_tried(books: OpenBooks) -> None:
    assert await tried(books, a_budget(measure="concurrency", period="total", cap=3)) == []


async def test_a_budget_without_end_is_tried_on_all_until_now(books: OpenBooks) -> None:
    [everything] = await tried(books, a_budget(node="legal", period="total", cap="1.00"))
    assert (everything.calls, everything.refused) == (4, 1)
