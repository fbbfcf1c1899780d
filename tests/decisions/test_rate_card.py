"""Rate cards by themselves: integer arithmetic, one rounding, and what a card refuses."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from genai_prices.types import Tier, TieredPrices
from hypothesis import given
from hypothesis import strategies as st

from p402.collector.pricing.compile import compile_card
from p402.decisions import KINDS, RateCard, UnpriceableUsage, Unpriced
from p402.vocabulary import Money, Usage


def card(**prices: Decimal | TieredPrices) -> RateCard:
    compiled = compile_card(prices)
    assert isinstance(compiled, RateCard)
    return compiled


def test_every_count_of_a_usage_has_a_place_on_the_card() -> None:
    assert set(KINDS) == {field.name for field in fields(Usage)}


def test_the_scale_is_the_smallest_in_which_all_rates_are_whole() -> None:
    # 0.0025 per million is 2.5 nano-USD a token, 5 per million is 5,000: in tenths 25 and 50,000.
    compiled = card(input_mtok=Decimal("0.0025"), output_mtok=Decimal(5))
    assert (compiled.decimals, compiled.rates[:2]) == (1, (25, 50_000))


def test_trailing_zeros_of_a_price_do_not_change_its_card() -> None:
    assert card(input_mtok=Decimal("3.0000")) == card(input_mtok=Decimal(3))
    assert card(input_mtok=Decimal("3E+1")) == card(input_mtok=Decimal(30))


def test_a_detail_without_a_price_counts_as_its_total() -> None:
    usage = Usage(input_tokens=10, cache_read_input_tokens=10)
    assert card(input_mtok=Decimal(1)).cost(usage) == Money(10_000)


def test_writes_for_five_minutes_and_an_hour_can_both_have_a_price() -> None:
    compiled = card(
        input_mtok=Decimal(1),
        cache_write_mtok=Decimal(9),
        cache_write_5m_mtok=Decimal(2),
        cache_write_1h_mtok=Decimal(3),
    )
    # 10 in, 6 of them written, 2 for an hour: 4 * 1 + 4 * 2 + 2 * 3 = 18 millionths.
    usage = Usage(input_tokens=10, cache_write_input_tokens=6, cache_write_1h_input_tokens=2)
    assert compiled.cost(usage) == Money(18_000)


def test_each_kind_of_price_keeps_its_own_thresholds() -> None:
    compiled = card(
        input_mtok=TieredPrices(Decimal(1), [Tier(100, Decimal(2)), Tier(1_000, Decimal(3))]),
        output_mtok=TieredPrices(Decimal(10), [Tier(500, Decimal(20))]),
    )
    costs = [compiled.cost(Usage(input_tokens=n, output_tokens=1)).nano_usd // 1_000 for n in (100, 101, 501, 1_001)]
    assert costs == [100 * 1 + 10, 101 * 2 + 10, 501 * 2 + 20, 1_001 * 3 + 20]


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ({}, "lists no price"),
        ({"output_mtok": Decimal(1)}, "not priced by tokens"),
        ({"cache_read_mtok": Decimal(1)}, "Missing ancestor price for cache_read_tokens: input_tokens"),
        ({"brain_waves": Decimal(1)}, "incomplete"),
        ({"web_searches_kcount": Decimal(1)}, "not priced by tokens"),
        ({"input_mtok": Decimal(1), "audio_hours": Decimal(1)}, "priced by audio_seconds"),
        (
            {"input_mtok": Decimal(1), "requests_kcount": TieredPrices(Decimal(1), [Tier(1, Decimal(2))])},
            "depends on the length of its prompt",
        ),
    ],
)
def test_prices_that_do_not_suffice_make_no_card(prices: dict[str, Decimal | TieredPrices], reason: str) -> None:
    compiled = compile_card(prices)
    assert isinstance(compiled, Unpriced)
    assert reason in compiled.reason


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=-1),
        Usage(output_tokens=-1),
        Usage(input_tokens=1, cache_read_input_tokens=-1),
        Usage(input_tokens=1, cache_write_1h_input_tokens=-1),
        Usage(input_tokens=1, cache_write_1h_input_tokens=1),
        Usage(input_tokens=2, cache_read_input_tokens=2, cache_write_input_tokens=1),
        Usage(output_tokens=1, reasoning_output_tokens=2),
        Usage(output_tokens=1, reasoning_output_tokens=-1),
        Usage(output_tokens=1, audio_output_tokens=2),
        Usage(input_tokens=1, image_input_tokens=-1),
        Usage(output_tokens=1, image_output_tokens=2),
        Usage(input_tokens=1, audio_cache_read_input_tokens=1),
        Usage(input_tokens=1, audio_input_tokens=2),
    ],
)
def test_a_usage_that_cannot_be_true_is_refused(usage: Usage) -> None:
    with pytest.raises(UnpriceableUsage, match="contradicts itself"):
        card(input_mtok=Decimal(1), output_mtok=Decimal(1)).cost(usage)


@given(
    st.decimals(0, 100, places=18, allow_nan=False),
    st.decimals(0, 100, places=5, allow_nan=False),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
def test_the_cost_is_the_exact_amount_rounded_once(
    input_price: Decimal, output_price: Decimal, inputs: int, outputs: int
) -> None:
    exact = (Fraction(input_price) * inputs + Fraction(output_price) * outputs) * 1_000
    compiled = card(input_mtok=input_price, output_mtok=output_price)
    assert compiled.cost(Usage(input_tokens=inputs, output_tokens=outputs)).nano_usd == round(exact)


@given(st.integers(0, 10**6))
def test_ties_go_to_the_even_nano_dollar(tokens: int) -> None:
    expected = (Decimal(tokens) / 2).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert card(input_mtok=Decimal("0.0005")).cost(Usage(input_tokens=tokens)) == Money(int(expected))


def test_a_card_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        card(input_mtok=Decimal(1)).decimals = 3  # type: ignore[misc]  # the refusal is what is tested


@given(
    st.lists(st.integers(-50, 400), min_size=len(KINDS), max_size=len(KINDS)),
    st.integers(0, 3),
    st.lists(st.integers(0, 3_000), min_size=4, max_size=4),
    st.lists(st.integers(0, 500), min_size=2, max_size=2),
)
def test_no_usage_within_the_bounds_costs_more_than_the_ceiling(
    rates: list[int], decimals: int, split: list[int], more: list[int]
) -> None:
    rates = [max(rate, 0) if at < 2 else rate for at, rate in enumerate(rates)]
    prices = RateCard(decimals=decimals, rates=tuple(rates), per_call=7)
    plain, read, written, written_1h = split
    usage = Usage(
        input_tokens=plain + read + written + written_1h,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written + written_1h,
        cache_write_1h_input_tokens=written_1h,
        output_tokens=sum(more),
        reasoning_output_tokens=more[0],
    )
    if rates[KINDS.index("cache_read_input_tokens")] > 0:
        return  # reading from a cache is never dearer than not reading
    ceiling = prices.ceiling(usage.input_tokens, usage.output_tokens, writes_cache=True, media=False)
    assert prices.cost(usage) <= ceiling


def test_a_card_comes_back_from_the_wire_as_it_was() -> None:
    sent = card(input_mtok=Decimal("1.25"), output_mtok=Decimal(10), cache_read_mtok=Decimal("0.125"))
    back = RateCard.from_wire(json.loads(json.dumps(sent.to_wire())))
    assert (back.rates, back.decimals, back.per_call) == (sent.rates, sent.decimals, sent.per_call)
