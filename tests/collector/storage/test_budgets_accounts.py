"""What a budget has spent: from its first moment, in each period, and beyond its cap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from p402.collector.storage.budgets import BudgetChangeKind
from support.budgeted import NOW, Budgeted, a_budget, a_call, budgeted

BEFORE = NOW - timedelta(days=3)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Budgeted]:
    async with budgeted(tmp_path) as opened:
        yield opened


# --- opening accounts


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"level": "organisation", "node": "acme"},
        {"level": "employee", "node": "*"},
        {"within": {"project": "tender"}},
        {"time_zone": "Asia/Kolkata"},
        {"time_zone": "Asia/Kathmandu", "within": {"project": "tender"}},
        {"period": "total"},
        {"period": "rolling", "length": "30d"},
        {"period": "rolling", "length": "30d", "within": {"project": "tender"}},
        {"period": "rolling", "length": "30d", "level": "employee", "node": "*"},
    ],
)
@pytest.mark.parametrize(("measure", "expected"), [("cost", 300), ("tokens", 30), ("requests", 3)])
async def test_a_budget_counts_what_was_spent_in_its_period_before_it_was_made(
    books: Budgeted, fields: dict[str, Any], measure: str, expected: int
) -> None:
    who = {"department": "legal", "project": "tender", "employee": "e-1"}
    elsewhere = {"department": "sales", "project": "fair", "employee": "e-2"}
    if fields.get("level") != "organisation":
        await books.record(a_call(elsewhere, at=BEFORE), at=BEFORE)
    await books.record(a_call(who, at=BEFORE), a_call(who, at=BEFORE), at=BEFORE)
    await books.put(a_budget(measure=measure, **fields))
    await books.record(a_call(who))
    assert await books.spent(who) == {"legal": expected}


@pytest.mark.parametrize("fields", [{}, {"within": {"project": "tender"}}, {"time_zone": "Asia/Kolkata"}])
async def test_the_first_charges_of_a_budget_count_once_also_when_they_come_together(
    books: Budgeted, fields: dict[str, Any]
) -> None:
    await books.put(a_budget(**fields), at=NOW + timedelta(minutes=1))
    who = {"department": "legal", "project": "tender"}
    await books.record(a_call(who), a_call(who))
    await books.record(a_call(who))
    assert await books.spent(who) == {"legal": 300}


@pytest.mark.parametrize("length", ["10m", "6h"])
async def test_a_short_rolling_budget_begins_with_what_was_spent_in_its_span(books: Budgeted, length: str) -> None:
    for minutes in (500, 8, 2):
        moment = NOW - timedelta(minutes=minutes)
        await books.record(a_call(at=moment), at=moment)
    await books.put(a_budget(period="rolling", length=length))
    assert await books.spent() == {"legal": 200}
    await books.record(a_call())
    assert await books.spent() == {"legal": 300}


async def test_a_rolling_budget_forgets_what_is_older_than_its_span_and_keeps_no_old_slices(books: Budgeted) -> None:
    await books.put(a_budget(period="rolling", length="60s", measure="requests", cap="5"))
    for second in range(0, 300, 10):
        moment = NOW + timedelta(seconds=second)
        await books.record(a_call(at=moment), at=moment)
    assert await books.spent(at=NOW + timedelta(seconds=290)) == {"legal": 7}  # 230 s to 290 s
    assert await books.spent(at=NOW + timedelta(seconds=400)) == {"legal": 0}
    [(kept,)] = books.kept.rows("SELECT count(*) FROM budget_accounts")
    assert kept <= 9


async def test_an_unpriced_charge_costs_nothing_and_counts_as_a_request(books: Budgeted) -> None:
    await books.put(a_budget(), a_budget("calls", measure="requests", cap="9"))
    await books.record(a_call(cost=None))
    assert await books.spent() == {"legal": 0, "calls": 1}


async def test_usage_that_contradicts_itself_takes_nothing_away(books: Budgeted) -> None:
    await books.record(a_call(tokens=-50), a_call(tokens=7))
    await books.put(
        a_budget(measure="tokens", cap="9"), a_budget("half", measure="tokens", cap="9", time_zone="Asia/Kolkata")
    )
    await books.record(a_call(tokens=-50))
    assert await books.spent() == {"legal": 7, "half": 7}


async def test_a_call_counts_in_the_month_in_which_it_began_wherever_the_budgets_clock_is(books: Budgeted) -> None:
    await books.put(a_budget(), a_budget("india", time_zone="Asia/Kolkata"))
    late = datetime(2026, 5, 31, 18, 45, tzinfo=UTC)  # June in India
    await books.record(a_call(at=late), at=late)
    assert await books.spent(at=late) == {"legal": 100, "india": 100}
    assert await books.spent(at=late - timedelta(hours=1)) == {"legal": 100, "india": 0}
    assert await books.spent(at=late + timedelta(days=1)) == {"legal": 0, "india": 100}


async def test_a_budget_that_counts_something_else_from_now_on_is_counted_anew_from_the_ledger(books: Budgeted) -> None:
    await books.put(a_budget(cap="9"), at=BEFORE)
    await books.record(a_call(), a_call())
    [raised] = await books.put(a_budget(cap="10"))
    assert (raised.kind, raised.fresh_accounts) == (BudgetChangeKind.CHANGED, False)
    assert raised.differences == {"cap": ("9", "10")}
    [tokens] = await books.put(a_budget(cap="10", measure="tokens"))
    assert (tokens.kind, tokens.fresh_accounts) == (BudgetChangeKind.CHANGED, True)
    assert await books.spent() == {"legal": 20}
    [again] = await books.put(a_budget(cap="10", measure="tokens"))
    assert again.kind is BudgetChangeKind.UNCHANGED


# --- beyond the cap


async def test_overruns_add_up_to_what_is_spent_beyond_the_cap(books: Budgeted) -> None:
    await books.put(a_budget(cap="0.00000025"))
    await books.record(a_call(), a_call(), a_call())
    await books.record(a_call())
    assert books.overruns() == [("legal", "legal", 50, "no_hold"), ("legal", "legal", 100, "no_hold")]


async def test_overruns_of_a_rolling_budget_are_listed_once_though_a_batch_has_charges_of_many_slices(
    books: Budgeted,
) -> None:
    await books.put(a_budget(period="rolling", length="60s", measure="tokens", cap="10"))
    await books.record(*(a_call(tokens=8, at=NOW - timedelta(seconds=s)) for s in (20, 10, 0)))
    assert sum(amount for _, _, amount, _ in books.overruns()) == 14


async def test_what_is_older_than_the_span_of_a_rolling_budget_is_no_overrun_now(books: Budgeted) -> None:
    await books.put(a_budget(period="rolling", length="60s", measure="tokens", cap="10"))
    await books.record(a_call(tokens=8), a_call(tokens=50, at=NOW - timedelta(hours=1)))
    assert books.overruns() == []


async def test_a_budget_that_observes_has_no_overruns(books: Budgeted) -> None:
    await books.put(a_budget(cap="0", mode="observe"))
    await books.record(a_call())
    assert books.overruns() == []
    assert await books.spent() == {"legal": 100}
