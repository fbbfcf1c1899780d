"""Usage by day is what the charges say, however it was followed, and whatever people are called now."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import chain, combinations
from pathlib import Path

import pytest

from p402.collector.storage.charges import charges_page
from p402.collector.storage.usage import SqlUsage, day_of, usage_before, usage_by
from p402.collector.usage.slices import Dimension, Period, Slice, UsageSum, fold
from p402.vocabulary import Attribution, Charge, Money
from support.open_books import OpenBooks, open_books
from support.otlp import MAY_2026, ASpan
from support.personal import personal_books

DAY_NS = 86_400_000_000_000
MAY = Slice("acme", Period(date(2026, 5, 1), date(2026, 5, 31)))
EVERYTHING = tuple(Dimension)
ONE_CALL = Money(264_235_000)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path) as opened:
        yield opened


def some_calls(seed: int, count: int) -> list[ASpan]:
    """Calls of a few people with a few models, some levels missing, some models unpriced, on several days."""
    chance = random.Random(seed)
    return [
        ASpan.of(
            {
                "p402.organisation": chance.choice(["acme", "acme", "umbrella"]),
                "p402.department": chance.choice(["legal", "sales", None]),
                "p402.project": chance.choice(["contracts", "tenders", None]),
                "p402.client": chance.choice(["globex", None]),
                "p402.employee": chance.choice(["e-1", "e-2", "e-3", None]),
                "p402.session": chance.choice(["s-1", "s-2"]),
                "p402.decision.verdict": chance.choice(["allow", "downgrade", None]),
                "p402.task_type": chance.choice(["summarise", None]),
                "gen_ai.response.model": chance.choice(["claude-opus-4-5", "claude-haiku-4-5", "nobody-knows-it"]),
                "gen_ai.usage.output_tokens": chance.randrange(10_000),
            },
            started_ns=MAY_2026 + chance.randrange(10) * DAY_NS,
        )
        for _ in range(count)
    ]


async def charged(books: OpenBooks, organisation: str = "acme") -> list[Charge]:
    within = Attribution(organisation=organisation)
    found = await books.database.read(lambda connection: charges_page(connection, within, 0, 10_000))
    return [charge for _, charge in found]


async def used(books: OpenBooks, of: Slice, *dimensions: Dimension) -> list[UsageSum]:
    return await books.database.read(lambda connection: usage_by(connection, of, dimensions))


def value(charge: Charge, dimension: Dimension) -> str | int:
    if dimension is Dimension.DAY:
        return day_of(charge.started_at)
    of_call = dimension in (Dimension.PROVIDER, Dimension.MODEL, Dimension.TASK_TYPE, Dimension.VERDICT)
    return getattr(charge if of_call else charge.attribution, dimension.value) or ""


def summed(charges: Iterable[Charge], *dimensions: Dimension) -> Counter[tuple[tuple[str | int, ...], str]]:
    sums: Counter[tuple[tuple[str | int, ...], str]] = Counter()
    for charge in charges:
        by = tuple(value(charge, dimension) for dimension in dimensions)
        sums[by, "cost"] += charge.cost.nano_usd if charge.cost else 0
        sums[by, "charges"] += 1
        sums[by, "unpriced_charges"] += charge.cost is None
        sums[by, "tokens"] += charge.usage.total_tokens
    return sums


def told(sums: Iterable[UsageSum]) -> Counter[tuple[tuple[str | int, ...], str]]:
    found: Counter[tuple[tuple[str | int, ...], str]] = Counter()
    for one in sums:
        found |= {(one.by, name): int(getattr(one, name)) for name in ("charges", "unpriced_charges", "tokens")}
        found[one.by, "cost"] = one.cost.nano_usd
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_every_sum_is_that_of_its_charges(books: OpenBooks, seed: int) -> None:
    store = SqlUsage(books.database)
    for _ in range(3):
        await books.send(*some_calls(seed, 60))
        while await store.follow(17):
            pass
    charges = await charged(books)
    for dimensions in chain.from_iterable(combinations(EVERYTHING, count) for count in range(len(EVERYTHING) + 1)):
        assert +told(await used(books, MAY, *dimensions)) == +summed(charges, *dimensions)


async def test_a_sum_of_sums_is_the_sum_of_its_charges(books: OpenBooks) -> None:
    await books.send(*some_calls(5, 80))
    await SqlUsage(books.database).follow(1_000)
    fine = await used(books, MAY, Dimension.DAY, Dimension.DEPARTMENT, Dimension.MODEL)
    assert fold(fine) == await used(books, MAY)
    assert fold(fine, [1]) == await used(books, MAY, Dimension.DEPARTMENT)
    assert fold(fine, [2, 0]) == await used(books, MAY, Dimension.MODEL, Dimension.DAY)
    assert fold([]) == []


async def test_some_values_of_a_dimension_can_be_asked_for_alone(books: OpenBooks) -> None:
    await books.send(*some_calls(6, 80))
    await SqlUsage(books.database).follow(1_000)
    every = await used(books, MAY, Dimension.DAY, Dimension.EMPLOYEE)
    among = (Dimension.EMPLOYEE, ["e-1", ""])
    dimensions = [Dimension.DAY, Dimension.EMPLOYEE]
    some = await books.database.read(lambda connection: usage_by(connection, MAY, dimensions, among))
    assert some == [one for one in every if one.by[1] in among[1]]


async def test_following_again_counts_nothing_twice(books: OpenBooks) -> None:
    await books.send(ASpan.of())
    assert [await SqlUsage(books.database).follow(10) for _ in range(2)] == [1, 0]
    [total] = await used(books, MAY)
    assert (total.cost, total.charges, total.tokens) == (ONE_CALL, 1, 12_847)


async def test_the_parts_of_a_slice_are_asked_for_by_name(books: OpenBooks) -> None:
    await books.send(ASpan.of(), ASpan.of({"p402.department": None}), ASpan.of(started_ns=MAY_2026 - 20 * DAY_NS))
    await SqlUsage(books.database).follow(10)
    [unattributed] = await used(books, MAY.narrowed(Dimension.DEPARTMENT, ""))
    assert unattributed.charges == 1
    assert [one.by for one in await used(books, MAY, Dimension.DEPARTMENT)] == [("",), ("legal",)]
    assert await used(books, MAY.narrowed(Dimension.MODEL, "gpt-4o")) == []
    april = replace(MAY, period=Period(date(2026, 4, 1), date(2026, 4, 30)))
    assert [one.charges for one in await used(books, april)] == [1]


async def test_who_is_bound_to_a_part_of_the_tree_is_told_of_that_part(books: OpenBooks) -> None:
    await books.send(ASpan.of(), ASpan.of({"p402.department": "sales"}))
    await SqlUsage(books.database).follow(10)
    theirs = Attribution(department="sales")
    [total] = await used(books, MAY.within(theirs))
    assert total.charges == 1
    assert await used(books, MAY.narrowed(Dimension.DEPARTMENT, "legal").within(theirs)) == []


async def test_an_erased_persons_days_go_to_their_pseudonym(tmp_path: Path) -> None:
    async with personal_books(tmp_path) as personal:
        await personal.sealed(ASpan.of(), ASpan.of({"p402.employee": "e-2"}))
        erased = await personal.erase("e-1042")
        after = await used(personal.books, MAY, Dimension.EMPLOYEE)
        assert {one.by for one in after} == {("e-2",), (erased.pseudonym,)}
        charges = await charged(personal.books)
        assert +told(await used(personal.books, MAY, *EVERYTHING)) == +summed(charges, *EVERYTHING)


def test_a_period_is_whole_days_in_utc() -> None:
    assert MAY.period.days == 31
    assert MAY.period.begin == datetime(2026, 5, 1, tzinfo=UTC)
    assert MAY.period.end == datetime(2026, 6, 1, tzinfo=UTC)


def test_a_period_is_compared_with_as_many_days_as_are_over() -> None:
    april = Period(date(2026, 4, 1), date(2026, 4, 30))
    assert MAY.period.before(date(2026, 7, 1)) == april
    assert MAY.period.before(date(2026, 5, 12)) == Period(date(2026, 4, 1), date(2026, 4, 12))
    week = Period(date(2026, 5, 9), date(2026, 5, 15))
    assert week.before(date(2026, 5, 15)) == Period(date(2026, 5, 2), date(2026, 5, 8))


async def test_nothing_is_compared_with_days_before_usage_began(books: OpenBooks) -> None:
    await books.send(ASpan.of(), ASpan.of(started_ns=MAY_2026 - 40 * DAY_NS))
    await SqlUsage(books.database).follow(10)

    async def before(of: Slice) -> list[UsageSum] | None:
        return await books.database.read(lambda connection: usage_before(connection, of, [], date(2026, 5, 15)))

    assert await before(MAY) is None  # it began on 5 April
    week = replace(MAY, period=Period(date(2026, 5, 9), date(2026, 5, 15)))
    assert await before(week) == []
