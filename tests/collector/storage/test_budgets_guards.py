"""Rates, calls under way and ceilings for single calls are budgets with other measures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from p402.collector.storage.decisions import Asked, Decisions, Granted
from p402.collector.storage.leases import LeaseKind, expire_leases
from p402.decisions import DEFAULT_POLICY, Catalogue, Code, Measure, Question, Verdict
from p402.vocabulary import Attribution, Money
from support.budgeted import KEY, NOW, Budgeted, a_budget, a_call, budgeted
from support.clock import CountingIds
from support.open_books import price_book

RATE = {"measure": "requests", "period": "rolling", "length": "60s"}
UNDER_WAY = {"measure": "concurrency", "period": "total"}


@dataclass(frozen=True)
class Deciding:
    books: Budgeted
    decisions: Decisions

    async def ask(
        self,
        *,
        tokens: tuple[int, int] = (10, 100),
        kind: LeaseKind = LeaseKind.DECISION,
        at: datetime = NOW,
        again: str | None = None,
        **who: str,
    ) -> Granted:
        """Ask about a call of Claude Opus 4.5: $5 and $25 a million tokens."""
        question = Question(
            attribution=Attribution(**{"organisation": "acme", "department": "legal", **who}),
            provider="anthropic",
            model="claude-opus-4-5",
            input_tokens=tokens[0],
            output_tokens=tokens[1],
        )
        asked = Asked(question=question, kind=kind, key_id=KEY, longest=timedelta(minutes=1), idempotency_key=again)
        return await self.books.write(lambda connection: self.decisions.ask(connection, asked, at))

    async def spend(self, granted: Granted, at: datetime = NOW, **fields: Any) -> None:
        """The call that was granted was made."""
        await self.books.record(a_call(lease=granted.lease_id, at=at, **fields), at=at)


@pytest.fixture
async def deciding(tmp_path: Path) -> AsyncIterator[Deciding]:
    async with budgeted(tmp_path) as books:
        yield Deciding(
            books, Decisions(books.rules, lambda *_: DEFAULT_POLICY, Catalogue(()), price_book(), CountingIds())
        )


async def test_a_rate_admits_so_many_calls_in_any_minute(deciding: Deciding) -> None:
    await deciding.books.put(a_budget(cap="3", **RATE))
    for second in (0, 10, 20):
        moment = NOW + timedelta(seconds=second)
        await deciding.spend(await deciding.ask(at=moment), at=moment)
    refused = await deciding.ask(at=NOW + timedelta(seconds=59))
    assert (refused.decision.verdict, refused.decision.code) == (Verdict.BLOCK, Code.BUDGET_EXHAUSTED)
    assert "budget=legal, left=0 requests, needed=1 requests" in refused.decision.rationale
    assert (await deciding.ask(at=NOW + timedelta(seconds=62))).decision.verdict is Verdict.ALLOW


async def test_a_rate_of_tokens_counts_what_was_used_not_what_was_asked_for(deciding: Deciding) -> None:
    await deciding.books.put(a_budget(cap="300", **{**RATE, "measure": "tokens"}))
    await deciding.spend(await deciding.ask(tokens=(50, 200)), tokens=60)
    assert (await deciding.ask(tokens=(50, 200))).decision.verdict is Verdict.BLOCK
    assert (await deciding.ask(tokens=(50, 190))).decision.verdict is Verdict.ALLOW


async def test_calls_under_way_are_bounded_and_one_that_ends_makes_room(deciding: Deciding) -> None:
    await deciding.books.put(a_budget(cap="2", **UNDER_WAY))
    first, _ = [await deciding.ask() for _ in range(2)]
    assert (await deciding.ask()).decision.verdict is Verdict.WAIT
    await deciding.spend(first)
    assert (await deciding.ask()).decision.verdict is Verdict.ALLOW


async def test_a_caller_that_dies_frees_its_calls_under_way_when_its_lease_is_over(deciding: Deciding) -> None:
    await deciding.books.put(a_budget(cap="1", **UNDER_WAY), a_budget("usd", cap="5"))
    await deciding.ask()
    later = NOW + timedelta(seconds=91)
    await deciding.books.write(
        lambda connection: expire_leases(connection, later, timedelta(seconds=30), timedelta(days=1))
    )
    assert (await deciding.ask(at=later)).decision.verdict is Verdict.ALLOW
    balances = await deciding.books.balance(at=later)
    assert (balances["legal"].taken, balances["usd"].unreconciled) == (1, 2_550_000)


async def test_a_ceiling_bounds_what_one_call_may_cost_however_much_is_left(deciding: Deciding) -> None:
    await deciding.books.put(a_budget(cap="500"), a_budget("one", level="request", node="*", cap="0.50"))
    refused = await deciding.ask(tokens=(0, 20_001))  # $0.500025
    assert (refused.decision.verdict, refused.decision.code) == (Verdict.BLOCK, Code.REQUEST_CEILING)
    assert "budget=one, ceiling=$0.5, needed=$0.500025" in refused.decision.rationale
    assert (await deciding.ask(tokens=(0, 20_000))).decision.verdict is Verdict.ALLOW


async def test_the_budget_that_is_used_up_is_named_also_beside_a_ceiling_for_single_calls(deciding: Deciding) -> None:
    await deciding.books.put(a_budget("used-up", cap="0.001"), a_budget("one", level="request", node="*", cap="0.50"))
    refused = await deciding.ask()
    assert "budget=used-up, left=$0.001" in refused.decision.rationale


@pytest.mark.parametrize(
    "whose",
    [
        {"level": "employee", "node": "ada"},
        {"level": "session", "node": "adas-review"},
        {"level": "session", "node": "*", "within": {"employee": "ada"}},
        {"level": "request", "node": "*", "within": {"employee": "ada"}},
    ],
)
async def test_a_budget_of_one_person_has_its_number_where_no_erasure_reaches(
    deciding: Deciding, whose: dict[str, Any]
) -> None:
    await deciding.books.put(a_budget("ada", cap="0.001", **whose))
    refused = await deciding.ask(employee="ada", session="adas-review")
    assert "ada" not in refused.decision.rationale
    assert "budget=#1," in refused.decision.rationale


async def test_a_budget_of_each_person_is_named(deciding: Deciding) -> None:
    await deciding.books.put(a_budget("each", level="employee", node="*", cap="0.001"))
    assert "budget=each," in (await deciding.ask(employee="ada")).decision.rationale


async def test_each_session_has_a_budget_of_its_own(deciding: Deciding) -> None:
    await deciding.books.put(a_budget(level="session", node="*", period="total", cap="0.003"))
    one = await deciding.ask(session="s-1")  # $0.00255
    await deciding.spend(one, cost=2_550_000, who={"department": "legal", "session": "s-1"})
    assert (await deciding.ask(session="s-1")).decision.verdict is Verdict.BLOCK
    assert (await deciding.ask(session="s-2")).decision.verdict is Verdict.ALLOW
    much_later = NOW + timedelta(days=400)
    assert (await deciding.ask(session="s-1", at=much_later)).decision.verdict is Verdict.BLOCK


async def test_the_tightest_of_several_budgets_decides_and_is_named(deciding: Deciding) -> None:
    await deciding.books.put(
        a_budget("all", level="organisation", node="acme", cap="10"),
        a_budget(cap="0.001"),
        a_budget("rate", cap="100", **RATE),
    )
    refused = await deciding.ask()
    assert "budget=legal, left=$0.001, needed=$0.00255" in refused.decision.rationale
    assert await deciding.books.spent() == {"all": 0, "legal": 0, "rate": 0}
    assert (await deciding.ask(department="sales")).decision.verdict is Verdict.ALLOW


async def test_a_lease_holds_of_every_measure_for_calls_to_come(deciding: Deciding) -> None:
    await deciding.books.put(
        a_budget(cap="500"), a_budget("rate", cap="100", **RATE), a_budget("now", cap="9", **UNDER_WAY)
    )
    granted = await deciding.ask(kind=LeaseKind.LEASE)
    assert granted.amounts == {Measure.COST: 16 * 2_550_000, Measure.REQUESTS: 3, Measure.CONCURRENCY: 1}
    assert {name: balance.held for name, balance in (await deciding.books.balance()).items()} == {
        "legal": 16 * 2_550_000,
        "rate": 3,
        "now": 1,
    }


async def test_a_budget_that_observes_says_what_it_would_have_done(deciding: Deciding) -> None:
    await deciding.books.put(a_budget(cap="0", mode="observe"))
    granted = await deciding.ask()
    assert granted.decision.verdict is Verdict.ALLOW
    assert (granted.decision.would or "").startswith("block: no_policy, budget=legal, left=$0, needed=$0.00255")
    assert granted.decision.ceiling == Money(2_550_000)
    assert (await deciding.books.balance())["legal"].held == 2_550_000


async def test_a_question_that_is_asked_twice_at_once_holds_once_and_its_key_goes_over_when_the_call_is_charged(
    deciding: Deciding,
) -> None:
    await deciding.books.put(a_budget(cap="1"))
    first, same = await asyncio.gather(*(deciding.ask(again="job-17") for _ in range(2)))
    assert (same.id, same.amounts, same.expires_at) == (first.id, first.amounts, first.expires_at)
    await deciding.spend(first)
    second, same = await asyncio.gather(*(deciding.ask(again="job-17") for _ in range(2)))
    assert first.id != second.id == same.id
    keys = deciding.books.kept.rows("SELECT id, idempotency_key FROM decisions ORDER BY id")
    assert keys == [(first.id, None), (second.id, "job-17")]
