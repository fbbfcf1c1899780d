"""Every model of the snapshot, priced by us and by genai-prices itself, must come to the same nano-dollar.

Where we refuse a price that genai-prices gives, the reason must be one that the README names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.data_units import unit_data
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, StartDateConstraint
from hypothesis import given, settings
from hypothesis import strategies as st

from p402.collector.pricing import PriceBook, Priced, RateCard, UnpriceableUsage, Unpriced
from p402.collector.pricing.snapshot import Snapshot, _schedule
from p402.vocabulary import NANO_PER_USD, Money, Usage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
COUNTABLE = {"tokens", "tool_calls", "requests"}
MODELS = [(provider, model) for provider in providers for model in provider.models]

PLAIN = Usage(input_tokens=2_847, output_tokens=10_000)
USAGES = (
    PLAIN,
    Usage(),
    Usage(input_tokens=1),
    Usage(input_tokens=7, output_tokens=3, cache_read_input_tokens=5, reasoning_output_tokens=2),
    Usage(input_tokens=128_001, output_tokens=77_777, cache_read_input_tokens=99_991),
    Usage(input_tokens=200_000, output_tokens=1),
    Usage(input_tokens=272_001, output_tokens=333, cache_write_input_tokens=70_001, cache_write_1h_input_tokens=30_003),
    Usage(
        input_tokens=600_007,
        output_tokens=50_021,
        cache_read_input_tokens=10_009,
        cache_write_input_tokens=20_011,
        cache_write_1h_input_tokens=5_003,
        reasoning_output_tokens=2_003,
        audio_input_tokens=30_013,
        audio_output_tokens=4_001,
        audio_cache_read_input_tokens=6_007,
    ),
    Usage(input_tokens=5_003, output_tokens=2_001, image_input_tokens=1_009, image_output_tokens=1_013),
    Usage(input_tokens=503, output_tokens=201, image_input_tokens=109, audio_input_tokens=113, audio_output_tokens=7),
)


def theirs(model: ModelInfo, provider: Provider, usage: Usage, at: datetime, context: Mapping[str, str]) -> Money:
    """What genai-prices says, rounded half-even to a nano-dollar."""
    reported = TheirUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_input_tokens,
        cache_write_tokens=usage.cache_write_input_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_input_tokens,
        cache_write_5m_tokens=usage.cache_write_input_tokens - usage.cache_write_1h_input_tokens,
        output_reasoning_tokens=usage.reasoning_output_tokens,
        input_audio_tokens=usage.audio_input_tokens,
        output_audio_tokens=usage.audio_output_tokens,
        cache_audio_read_tokens=usage.audio_cache_read_input_tokens,
        input_image_tokens=usage.image_input_tokens,
        output_image_tokens=usage.image_output_tokens,
    )
    with localcontext(prec=80):
        price = model.calc_price(reported, provider, genai_request_timestamp=at, price_context=context).total_price
        return Money(int((price * NANO_PER_USD).quantize(Decimal(1), ROUND_HALF_EVEN)))


def ours(provider: Provider, model: ModelInfo, usage: Usage, at: datetime, context: Mapping[str, str]) -> Money | str:
    card = _schedule(provider, model).card(at, context)
    if isinstance(card, Unpriced):
        return card.reason
    try:
        return card.cost(usage)
    except UnpriceableUsage as refusal:
        return str(refusal)


def reason_to_refuse(model: ModelInfo, usage: Usage, at: datetime, context: Mapping[str, str]) -> str | None:
    """Derive from genai-prices' own data, apart from our code, whether a call must be unpriced."""
    price_keys = {key for key, value in vars(model.get_prices(at, context)).items() if value is not None}
    families = {unit["dimensions"]["family"] for unit in unit_data.values() if unit["price_key"] in price_keys}
    if not price_keys:
        return "lists no price"
    if families - COUNTABLE:
        return "which calls do not report"
    if "input_mtok" not in price_keys:
        return "not priced by tokens"
    if usage.output_tokens and "output_mtok" not in price_keys:
        return "no price for output tokens"
    return None


def situations(model: ModelInfo) -> Iterator[tuple[datetime, Mapping[str, str]]]:
    """Now, around every dated change, at three times of the day, and under every context that has prices."""
    variants = model.price_variants or []
    dated = [] if isinstance(model.prices, ModelPrice) else model.prices
    moments = {NOW, NOW.replace(hour=2), NOW.replace(hour=20)} if dated else {NOW}
    for constraint in [*(price.constraint for price in dated), *(variant.constraint for variant in variants)]:
        if isinstance(constraint, StartDateConstraint):
            start = datetime.combine(constraint.start_date, datetime.min.time(), UTC)
            moments |= {start, start - timedelta(microseconds=1)}
    contexts = [{}, *(variant.when for variant in variants)]
    contexts.append({key: value for variant in variants for key, value in variant.when.items()})
    return ((at, context) for at in sorted(moments) for context in contexts)


@pytest.mark.parametrize("provider", providers, ids=lambda provider: provider.id)
def test_every_model_costs_what_genai_prices_says_or_is_unpriced_for_a_known_reason(provider: Provider) -> None:
    disagreements = []
    for model in provider.models:
        for number, (at, context) in enumerate(situations(model)):
            for usage in USAGES if number == 0 else USAGES[-4:]:
                got = ours(provider, model, usage, at, context)
                refusal = reason_to_refuse(model, usage, at, context)
                expected = theirs(model, provider, usage, at, context) if refusal is None else refusal
                agree = got == expected if isinstance(expected, Money) else isinstance(got, str) and expected in got
                if not agree:
                    disagreements.append((model.id, at, dict(context), usage, got, expected))
    assert disagreements == []


def test_the_models_without_a_price_are_the_ones_that_the_readme_counts() -> None:
    reasons = [reason for _, model in MODELS if (reason := reason_to_refuse(model, Usage(), NOW, {}))]
    assert Counter(reasons) == {"lists no price": 179, "which calls do not report": 29}


@pytest.mark.parametrize("provider", providers, ids=lambda provider: provider.id)
def test_models_are_found_by_the_names_by_which_genai_prices_finds_them(provider: Provider) -> None:
    content = DataSnapshot(providers=providers, from_auto_update=False)
    for name in [name for model in provider.models for name in (model.id, model.id.upper(), f"{model.id}-20991231")]:
        schedule = Snapshot(content).schedule(provider.id, name)
        try:
            seller, model = content.find_provider_model(name, None, provider.id, None)
        except LookupError:
            assert isinstance(schedule, Unpriced)
        else:
            assert schedule == _schedule(seller, model)


def test_another_providers_model_is_priced_without_its_variants_and_unpriced_where_these_would_count(
    book: PriceBook,
) -> None:
    azure = next(provider for provider in providers if provider.id == "azure")
    gpt = azure.find_model("gpt-4o", all_providers=providers)
    assert gpt is not None
    result = book.price("azure.ai.openai", "gpt-4o", PLAIN, NOW, "standard")
    assert isinstance(result, Priced)
    assert result.cost == theirs(gpt, azure, PLAIN, NOW, {})
    assert isinstance(book.price("azure.ai.openai", "gpt-4o", PLAIN, NOW, "batch"), Unpriced)


counts = st.integers(0, 2_000_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usages whose details fit into their totals."""
    plain, read, audio_read, audio, image, written = (draw(counts) for _ in range(6))
    text, reasoning, spoken, drawn = (draw(counts) for _ in range(4))
    images = draw(st.booleans())  # not together with cached tokens: their overlap is not counted
    return Usage(
        input_tokens=plain + audio + written + (image if images else read + audio_read),
        output_tokens=text + reasoning + spoken + drawn,
        cache_read_input_tokens=0 if images else read + audio_read,
        cache_write_input_tokens=written,
        cache_write_1h_input_tokens=draw(st.integers(0, written)),
        reasoning_output_tokens=reasoning,
        audio_input_tokens=audio if images else audio + audio_read,
        audio_output_tokens=spoken,
        audio_cache_read_input_tokens=0 if images else audio_read,
        image_input_tokens=image if images else 0,
        image_output_tokens=drawn,
    )


@given(st.sampled_from(MODELS), usages())
@settings(deadline=None, max_examples=500)
def test_any_usage_costs_what_genai_prices_says(model_of: tuple[Provider, ModelInfo], usage: Usage) -> None:
    provider, model = model_of
    if reason_to_refuse(model, usage, NOW, {}) is None:
        assert ours(provider, model, usage, NOW, {}) == theirs(model, provider, usage, NOW, {})


@given(st.sampled_from(MODELS), usages(), counts)
@settings(deadline=None, max_examples=300)
def test_more_output_never_costs_less_and_nothing_costs_less_than_nothing(
    model_of: tuple[Provider, ModelInfo], usage: Usage, more: int
) -> None:
    card = _schedule(*model_of).card(NOW)
    if isinstance(card, RateCard) and card.prices_output:
        less = card.cost(usage)
        assert Money(0) <= less <= card.cost(usage + Usage(output_tokens=more))


def test_a_price_that_lists_nothing_has_no_period_to_fall_back_on() -> None:
    provider, model = MODELS[0]
    empty = ModelInfo(id="empty", match=model.match, prices=list[ConditionalPrice]())
    assert isinstance(_schedule(provider, empty).card(NOW), Unpriced)
