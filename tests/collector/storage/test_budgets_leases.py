"""Leases: what is held for calls, how it is drawn down, and when it is let go of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from p402.collector.budgets.budget import Balance
from p402.collector.storage.leases import GivenBack, LeaseKind, LeaseState, expire_leases
from p402.decisions import Measure
from support.budgeted import NOW, Budgeted, a_budget, a_call, budgeted

COST: Mapping[Measure, int] = {Measure.COST: 1_000}
SETTLE_WITHIN, GRACE = timedelta(seconds=30), timedelta(hours=24)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Budgeted]:
    async with budgeted(tmp_path) as opened:
        yield opened


async def look(books: Budgeted, at: datetime) -> int:
    return await books.write(lambda connection: expire_leases(connection, at, SETTLE_WITHIN, GRACE))


async def test_a_call_that_costs_more_than_is_held_takes_all_of_it_and_the_rest_is_spent_all_the_same(
    books: Budgeted,
) -> None:
    await books.put(a_budget(cap="0.0000011"))
    lease = await books.hold(COST)
    await books.record(a_call(cost=1_200, lease=lease.id))
    assert await books.balance() == {"legal": Balance(1_200, 0, 0)}
    assert books.overruns() == [("legal", "legal", 100, "beyond_hold")]


async def test_what_was_held_and_paid_for_is_an_overrun_if_others_have_taken_its_room(books: Budgeted) -> None:
    await books.put(a_budget(cap="0.000001"))
    lease = await books.hold(COST)
    await books.record(a_call(cost=300))
    assert books.overruns() == []
    await books.record(a_call(cost=900, lease=lease.id))
    assert await books.balance() == {"legal": Balance(1_200, 100, 0)}
    assert books.overruns() == [("legal", "legal", 200, "cap_lowered")]


async def test_a_charge_that_comes_after_its_hold_was_let_go_of_says_so(books: Budgeted) -> None:
    await books.put(a_budget(cap="0.000001"))
    lease = await books.hold(COST)
    await books.give_back(lease)
    await books.record(a_call(cost=1_100, lease=lease.id))
    assert books.overruns() == [("legal", "legal", 100, "released")]


async def test_a_charge_of_another_node_takes_nothing_of_a_lease(books: Budgeted) -> None:
    await books.put(a_budget("each", node="*"), a_budget("all", level="organisation", node="acme"))
    lease = await books.hold(COST)
    await books.record(a_call({"department": "sales"}, cost=400, lease=lease.id))
    assert await books.balance() == {"all": Balance(400, 600, 0), "each": Balance(0, 1_000, 0)}
    assert await books.balance({"department": "sales"}) == {"all": Balance(400, 600, 0), "each": Balance(400, 0, 0)}


async def test_nothing_is_released_before_all_calls_that_were_billed_have_come(books: Budgeted) -> None:
    await books.put(a_budget())
    lease = await books.hold(COST)
    await books.record(a_call(lease=lease.id))
    assert await books.give_back(lease, calls=2) == GivenBack(LeaseState.OPEN, 1)
    assert await books.balance() == {"legal": Balance(100, 900, 0)}
    await books.record(a_call(lease=lease.id))
    assert await books.give_back(lease, calls=2) == GivenBack(LeaseState.CLOSED, 0)
    assert await books.balance() == {"legal": Balance(200, 0, 0)}


async def test_what_calls_under_way_need_is_kept(books: Budgeted) -> None:
    await books.put(a_budget(), a_budget("calls", measure="concurrency", period="total", cap="9"))
    lease = await books.hold({**COST, Measure.CONCURRENCY: 4})
    given = await books.give_back(lease, keep={Measure.COST: 250, Measure.CONCURRENCY: 1})
    assert given.state is LeaseState.OPEN
    assert await books.balance() == {"legal": Balance(0, 250, 0), "calls": Balance(0, 1, 0)}


async def test_a_lease_ends_with_the_period_whose_money_it_holds(books: Budgeted) -> None:
    await books.put(a_budget(), a_budget("india", time_zone="Asia/Kolkata"))
    just_before = datetime(2026, 5, 31, 18, 29, 30, tzinfo=UTC)
    assert (await books.hold(COST, at=just_before)).expires_at == datetime(2026, 5, 31, 18, 30, tzinfo=UTC)


async def test_money_of_a_lease_is_spent_in_the_period_in_which_it_was_held_and_nowhere_else(books: Budgeted) -> None:
    await books.put(a_budget())
    may, june = datetime(2026, 5, 31, 23, 59, 30, tzinfo=UTC), datetime(2026, 6, 1, 0, 0, 5, tzinfo=UTC)
    lease = await books.hold(COST, at=may)
    await books.record(a_call(at=june, lease=lease.id), at=june)  # the caller's clock is ahead
    assert await books.balance(at=may) == {"legal": Balance(100, 900, 0)}
    assert await books.balance(at=june) == {"legal": Balance(0, 0, 0)}
    await books.record(a_call(at=june), at=june)
    assert await books.balance(at=june) == {"legal": Balance(100, 0, 0)}


async def test_what_was_held_under_a_budget_that_is_gone_neither_counts_nor_gets_lost(books: Budgeted) -> None:
    await books.put(a_budget())
    lease = await books.hold(COST)
    await books.put(prune=True)
    await books.record(a_call(lease=lease.id))
    assert books.kept.rows("SELECT spent, held FROM budget_accounts") == [(0, 1_000)]
    await books.give_back(lease, calls=1)
    assert books.kept.rows("SELECT spent, held FROM budget_accounts") == [(0, 0)]


# --- holders that are never heard of again


async def test_an_expired_lease_counts_until_its_grace_is_over(books: Budgeted) -> None:
    await books.put(a_budget())
    lease = await books.hold(COST)
    assert await look(books, NOW + timedelta(seconds=90)) == 0
    assert await look(books, NOW + timedelta(seconds=91)) == 1
    assert await books.balance() == {"legal": Balance(0, 0, 1_000)}
    assert (await books.lease(lease)).state is LeaseState.UNRECONCILED
    assert await look(books, NOW + GRACE) == 0
    assert await look(books, NOW + timedelta(seconds=91) + GRACE) == 1
    assert await books.balance() == {"legal": Balance(0, 0, 0)}


async def test_after_an_outage_of_days_spans_have_their_grace_to_come(books: Budgeted) -> None:
    await books.put(a_budget())
    lease = await books.hold(COST)
    back = NOW + timedelta(days=3)
    await look(books, back)
    assert (await books.lease(lease)).state is LeaseState.UNRECONCILED
    await books.record(a_call(lease=lease.id), at=back)
    assert await books.balance() == {"legal": Balance(100, 0, 900)}
    await look(books, back + GRACE)
    assert await books.balance() == {"legal": Balance(100, 0, 0)}


@pytest.mark.parametrize(
    ("measure", "fields", "seconds"),
    [
        ("concurrency", {"period": "total"}, 91),  # a call under way is over when its lease is
        ("requests", {"period": "rolling", "length": "60s"}, 121),
        ("tokens", {"period": "rolling", "length": "15m"}, 961),
    ],
)
async def test_what_is_not_known_of_calls_counts_against_a_rate_no_longer_than_the_calls_would(
    books: Budgeted, measure: str, fields: dict[str, Any], seconds: int
) -> None:
    await books.put(a_budget(), a_budget("rate", measure=measure, cap="9", **fields))
    lease = await books.hold({**COST, Measure(measure): 5})
    await look(books, NOW + timedelta(seconds=91))
    later = NOW + timedelta(seconds=seconds)
    await look(books, later)
    assert await books.balance(at=later) == {"legal": Balance(0, 0, 1_000), "rate": Balance(0, 0, 0)}
    assert (await books.lease(lease)).state is LeaseState.UNRECONCILED
    await look(books, later + timedelta(seconds=1))  # and nothing more becomes of it
    assert await books.balance(at=later) == {"legal": Balance(0, 0, 1_000), "rate": Balance(0, 0, 0)}


async def test_a_rate_alone_is_forgotten_with_its_lease(books: Budgeted) -> None:
    await books.put(a_budget(measure="requests", cap="9", period="rolling", length="60s"))
    lease = await books.hold({Measure.REQUESTS: 5})
    await look(books, NOW + timedelta(seconds=91))
    assert await books.balance() == {"legal": Balance(0, 0, 5)}
    await look(books, NOW + timedelta(seconds=121))
    assert (await books.lease(lease)).state is LeaseState.CLOSED


async def test_what_a_proxy_asked_for_just_expires(books: Budgeted) -> None:
    await books.put(a_budget())
    await books.hold(COST, LeaseKind.AUTHORIZE)
    await look(books, NOW + timedelta(seconds=91))
    assert await books.balance() == {"legal": Balance(0, 0, 0)}
