"""Costs worked out by hand from the providers' published prices, in USD per million tokens unless said otherwise."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from genai_prices.data import providers

from p402.collector.pricing import PriceBook, Priced, Unpriced
from p402.collector.pricing.providers import PRICED_AS
from p402.vocabulary import Money, Usage

MAY = datetime(2026, 5, 15, 12, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 23, 12, tzinfo=UTC)


def cost(
    book: PriceBook, provider: str, model: str, usage: Usage, at: datetime = MAY, tier: str | None = None
) -> Money | str:
    result = book.price(provider, model, usage, at, tier)
    return result.cost if isinstance(result, Priced) else result.reason


def test_the_worked_example_costs_what_the_list_says(book: PriceBook) -> None:
    # Opus 4.5: 5 in, 25 out. 2,847 * 5 + 10,000 * 25 = 14,235 + 250,000 = 264,235 millionths.
    usage = Usage(input_tokens=2_847, output_tokens=10_000)
    result = book.price("anthropic", "claude-opus-4-5", usage, MAY)
    assert result == Priced(Money.parse("0.264235"), book.reference)
    assert cost(book, "anthropic", "claude-opus-4-5-20251101", usage) == Money(264_235_000)


def test_cached_reads_and_both_kinds_of_writes_have_their_own_price(book: PriceBook) -> None:
    # Opus 4.5: input 5, read 0.50, write for 5 minutes 6.25, for an hour 10, output 25. Of 10,000 in:
    # 6,000 read -> 3,000; 2,000 written for 5 min -> 12,500; 1,000 for an hour -> 10,000; 1,000 plain -> 5,000;
    # 500 out -> 12,500. Together 43,000 millionths.
    usage = Usage(
        input_tokens=10_000,
        output_tokens=500,
        cache_read_input_tokens=6_000,
        cache_write_input_tokens=3_000,
        cache_write_1h_input_tokens=1_000,
    )
    assert cost(book, "anthropic", "claude-opus-4-5", usage) == Money.parse("0.043")


def test_openai_takes_cached_input_off_the_input(book: PriceBook) -> None:
    # gpt-4o: 2.50 in, 1.25 cached, 10 out. 400 * 2.50 + 600 * 1.25 + 10 * 10 = 1,000 + 750 + 100 = 1,850 millionths.
    usage = Usage(input_tokens=1_000, output_tokens=10, cache_read_input_tokens=600)
    assert cost(book, "openai", "gpt-4o", usage) == Money.parse("0.00185")


def test_reasoning_is_output_unless_priced_apart(book: PriceBook) -> None:
    # o3 since June 2025: 2 in, 8 out. 100 * 2 + 1,000 * 8 = 8,200 millionths, whatever part of it was reasoning.
    usage = Usage(input_tokens=100, output_tokens=1_000, reasoning_output_tokens=900)
    assert cost(book, "openai", "o3", usage) == Money.parse("0.0082")
    # sonar-deep-research: 2 in, 8 out, 3 reasoning. 100 * 2 + 900 * 3 + 100 * 8 = 3,700 millionths.
    assert cost(book, "perplexity", "sonar-deep-research", usage) == Money.parse("0.0037")


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        # Up to 200,000 in: 1.25 in, 10 out. 200,000 * 1.25 + 1,000 * 10 = 250,000 + 10,000 millionths.
        (200_000, "0.26"),
        # Beyond: 2.50 in, 15 out, for all tokens. 200,001 * 2.50 + 1,000 * 15 = 500,002.5 + 15,000 millionths.
        (200_001, "0.5150025"),
    ],
)
def test_a_long_prompt_is_dearer_as_a_whole(book: PriceBook, inputs: int, expected: str) -> None:
    usage = Usage(input_tokens=inputs, output_tokens=1_000)
    assert cost(book, "gcp.gemini", "gemini-2.5-pro", usage) == Money.parse(expected)
    assert cost(book, "gcp.vertex_ai", "gemini-2.5-pro", usage) == Money.parse(expected)


def test_cached_tokens_count_towards_the_length_of_a_prompt(book: PriceBook) -> None:
    # gemini-2.5-pro beyond 200,000: 2.50 in, 0.25 cached. 50,000 * 2.50 + 200,000 * 0.25 = 175,000 millionths.
    usage = Usage(input_tokens=250_000, cache_read_input_tokens=200_000)
    assert cost(book, "gcp.gemini", "gemini-2.5-pro", usage) == Money.parse("0.175")


def test_audio_and_cached_audio_have_their_own_price(book: PriceBook) -> None:
    # gemini-2.5-flash: 0.30 in, 2.50 out, 0.03 cached, audio 1.00, cached audio 0.10. Of 10,000 in, 2,000 are audio and
    # 1,000 cached, 500 of these audio: 7,500 * 0.30 + 1,500 * 1.00 + 500 * 0.03 + 500 * 0.10 + 1,000 * 2.50
    # = 2,250 + 1,500 + 15 + 50 + 2,500 = 6,315 millionths.
    usage = Usage(
        input_tokens=10_000,
        output_tokens=1_000,
        cache_read_input_tokens=1_000,
        audio_input_tokens=2_000,
        audio_cache_read_input_tokens=500,
    )
    assert cost(book, "gcp.gemini", "gemini-2.5-flash", usage) == Money.parse("0.006315")


def test_images_that_are_made_have_their_own_price(book: PriceBook) -> None:
    # gpt-image-1.5: 5 in, 10 out, image in 8, image out 32. 50 * 5 + 150 * 8 + 10 * 10 + 1,000 * 32
    # = 250 + 1,200 + 100 + 32,000 = 33,550 millionths.
    usage = Usage(input_tokens=200, output_tokens=1_010, image_input_tokens=150, image_output_tokens=1_000)
    assert cost(book, "openai", "gpt-image-1.5", usage) == Money.parse("0.03355")


def test_a_fee_for_the_call_is_added_once(book: PriceBook) -> None:
    # sonar: 1 in, 1 out, 12 per thousand requests. 0.012 + (1,000 + 200) * 1 millionths = 0.0132.
    assert cost(book, "perplexity", "sonar", Usage(input_tokens=1_000, output_tokens=200)) == Money.parse("0.0132")


def test_unit_prices_of_many_decimals_are_taken_exactly(book: PriceBook) -> None:
    # deepseek-v4-pro at noon in May 2026: 0.435 in, 0.003625 cached, 0.87 out; 3 * 435 + 7 * 3.625 + 1 * 870
    # = 1,305 + 25.375 + 870 = 2,200.375 nano-USD.
    usage = Usage(input_tokens=10, cache_read_input_tokens=7, output_tokens=1)
    assert cost(book, "deepseek", "deepseek-v4-pro", usage) == Money(2_200)
    # 0.18000000000000002 in: a billion tokens are 180.00000000000002 USD, exact to the nano-dollar: 180,000,000,000.00002.
    # Fifty thousand times as many: 9,000,000.000000001 USD, which a price rounded to 15 decimals would miss.
    qwen = "Qwen/Qwen3-VL-8B-Instruct"
    usage = Usage(input_tokens=50_000_000_000_000)
    assert cost(book, "huggingface_together", qwen, usage) == Money.parse("9000000.000000001")


@pytest.mark.parametrize(("tokens", "nano"), [(2, 188), (6, 562), (4, 375), (1, 94), (3, 281)])
def test_half_a_nano_dollar_goes_to_the_even_one(book: PriceBook, tokens: int, nano: int) -> None:
    # 0.09375 per million is 93.75 nano-USD for a token: 2 -> 187.5 -> 188; 6 -> 562.5 -> 562; 4 -> 375; 1 -> 93.75; 3 -> 281.25.
    assert cost(book, "openrouter", "neversleep/llama-3-lumimaid-8b", Usage(input_tokens=tokens)) == Money(nano)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        # o3: 10 in, 40 out until 9 June 2025, then 2 in, 8 out. 1,000 of each: 50,000 and 10,000 millionths.
        ("2025-06-09T23:59:59+00:00", "0.05"),
        ("2025-06-10T00:00:00+00:00", "0.01"),
        ("2025-06-10T01:59:59+02:00", "0.05"),  # still the 9th in UTC
        ("2025-06-09T20:00:00-04:00", "0.01"),  # already the 10th in UTC
    ],
)
def test_the_price_is_that_of_the_day_of_the_call_in_utc(book: PriceBook, at: str, expected: str) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=1_000)
    assert cost(book, "openai", "o3", usage, datetime.fromisoformat(at)) == Money.parse(expected)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        # deepseek-chat: 0.27 in, 1.10 out from 00:30 to 16:30 UTC, half of that at night (0.135 and 0.55).
        # 1,000 of each: 1,370 and 685 millionths.
        ("2025-08-01T00:29:59.999999+00:00", "0.000685"),
        ("2025-08-01T00:30:00+00:00", "0.00137"),
        ("2025-08-01T16:29:59+00:00", "0.00137"),
        ("2025-08-01T16:30:00+00:00", "0.000685"),
        ("2025-08-01T18:29:59+02:00", "0.00137"),
    ],
)
def test_the_price_is_that_of_the_time_of_the_day(book: PriceBook, at: str, expected: str) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=1_000)
    assert cost(book, "deepseek", "deepseek-chat", usage, datetime.fromisoformat(at)) == Money.parse(expected)


@pytest.mark.parametrize(
    ("provider", "model", "tier", "expected"),
    [
        # Of each 2,847 in and 10,000 out.
        # Opus 4.5 in a batch: 2.50 in, 12.50 out. 7,117.5 + 125,000 millionths.
        ("anthropic", "claude-opus-4-5", "batch", "0.1321175"),
        # standard: 5 in, 25 out. 14,235 + 250,000 millionths.
        ("anthropic", "claude-opus-4-5", "standard", "0.264235"),
        # Opus 5 in fast mode: 10 in, 50 out. 28,470 + 500,000 millionths.
        ("anthropic", "claude-opus-5", "fast", "0.52847"),
        # gpt-4o with priority: 4.25 in, 17 out. 12,099.75 + 170,000 millionths; "fast" is its other name.
        ("openai", "gpt-4o", "priority", "0.18209975"),
        ("openai", "gpt-4o", "fast", "0.18209975"),
        # in a batch: 1.25 in, 5 out. 3,558.75 + 50,000 millionths.
        ("openai", "gpt-4o", "batch", "0.05355875"),
        # standard: 2.50 in, 10 out. 7,117.5 + 100,000 millionths.
        ("openai", "gpt-4o", "standard", "0.1071175"),
        ("azure.ai.openai", "gpt-4o", "standard", "0.1071175"),
        # o3, flex: 1 in, 4 out. 2,847 + 40,000 millionths. gpt-5, flex: 0.625 in, 5 out. 1,779.375 + 50,000 millionths.
        ("openai", "o3", "flex", "0.042847"),
        ("openai", "gpt-5", "flex", "0.051779375"),
        # gemini-2.5-flash in a batch: 0.15 in, 1.25 out. 427.05 + 12,500 millionths.
        ("gcp.gemini", "gemini-2.5-flash", "batch", "0.01292705"),
        ("gcp.vertex_ai", "gemini-2.5-flash", "batch", "0.01292705"),
        # Groq's flex costs what its on-demand does: 0.59 in, 0.79 out. 1,679.73 + 7,900 millionths.
        ("groq", "llama-3.3-70b-versatile", "flex", "0.00957973"),
        ("groq", "llama-3.3-70b-versatile", "standard", "0.00957973"),
    ],
)
def test_the_service_tier_can_change_the_price(
    book: PriceBook, provider: str, model: str, tier: str, expected: str
) -> None:
    usage = Usage(input_tokens=2_847, output_tokens=10_000)
    assert cost(book, provider, model, usage, NOVEMBER, tier) == Money.parse(expected)


@pytest.mark.parametrize(
    ("provider", "model", "tier", "at"),
    [
        ("anthropic", "claude-opus-4-5", "batch", MAY),  # known since 14 October 2026
        ("anthropic", "claude-opus-4-5", "priority", NOVEMBER),  # capacity bought beforehand: no list price
        ("openai", "gpt-4o", "flex", NOVEMBER),  # not offered
        ("openai", "gpt-4o", "scale", NOVEMBER),
        # Azure sells it at the standard price, and what OpenAI grants its own customers does not hold there.
        ("azure.ai.openai", "gpt-4o", "priority", NOVEMBER),
        ("gcp.vertex_ai", "gemini-2.5-pro", "provisioned_throughput", NOVEMBER),
        ("aws.bedrock", "us.anthropic.claude-opus-4-5-20251101-v1:0", "flex", NOVEMBER),
    ],
)
def test_a_tier_without_a_price_is_unpriced_and_never_standard_in_its_stead(
    book: PriceBook, provider: str, model: str, tier: str, at: datetime
) -> None:
    assert cost(book, provider, model, Usage(input_tokens=1), at, tier) == (
        f"the price book has no price of model {model!r} of provider {provider!r} for service tier {tier!r} "
        "at the time of the call"
    )


def test_a_batch_has_its_own_prices_for_the_cache(book: PriceBook) -> None:
    # Opus 4.5 in a batch: in 2.50, read 0.25, write for 5 minutes 3.125, for an hour 5, out 12.50. Of 10,000 in:
    # 6,000 read -> 1,500; 2,000 written for 5 min -> 6,250; 1,000 for an hour -> 5,000; 1,000 plain -> 2,500;
    # 500 out -> 6,250. Together 21,500 millionths.
    usage = Usage(
        input_tokens=10_000,
        output_tokens=500,
        cache_read_input_tokens=6_000,
        cache_write_input_tokens=3_000,
        cache_write_1h_input_tokens=1_000,
    )
    assert cost(book, "anthropic", "claude-opus-4-5", usage, NOVEMBER, "batch") == Money.parse("0.0215")


def test_sound_that_is_made_has_its_own_price(book: PriceBook) -> None:
    # gpt-audio: text 2.50 in, 10 out; audio 32 in, 64 out. 100 * 2.50 + 400 * 32 + 50 * 10 + 200 * 64
    # = 250 + 12,800 + 500 + 12,800 = 26,350 millionths.
    usage = Usage(input_tokens=500, output_tokens=250, audio_input_tokens=400, audio_output_tokens=200)
    assert cost(book, "openai", "gpt-audio", usage) == Money.parse("0.02635")


@pytest.mark.parametrize("provider", ["openai", "azure.ai.openai"])
@pytest.mark.parametrize("kind", ["audio_input_tokens", "audio_output_tokens"])
def test_sound_is_not_priced_as_text_where_it_is_known_to_be_dearer(book: PriceBook, provider: str, kind: str) -> None:
    # gpt-4o-audio-preview: 2.50 in and 10 out for text; audio is 40 and 80, which the list does not have.
    usage = Usage(input_tokens=500, output_tokens=250)
    assert cost(book, provider, "gpt-4o-audio-preview", usage) == Money.parse("0.00375")  # 1,250 + 2,500 millionths
    assert cost(book, provider, "gpt-4o-audio-preview", usage + Usage(**{kind: 200})) == (
        f"the price book has no price of the model's {kind}, which do not cost what text does"
    )


def test_images_that_are_seen_and_made_have_their_own_price(book: PriceBook) -> None:
    # gemini-3-pro-image-preview: 2 in, images included, 12 out, image out 120. 1,300 * 2 + 80 * 12 + 1,120 * 120
    # = 2,600 + 960 + 134,400 = 137,960 millionths.
    usage = Usage(input_tokens=1_300, output_tokens=1_200, image_input_tokens=1_100, image_output_tokens=1_120)
    assert cost(book, "gcp.gemini", "gemini-3-pro-image-preview", usage) == Money.parse("0.13796")


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        # 1,000,000 in and nothing out costs the published price for a million.
        ("aws.bedrock", "us.anthropic.claude-opus-4-5-20251101-v1:0", "5.5"),
        ("azure.ai.inference", "gpt-4o", "2.5"),
        ("gcp.vertex_ai", "claude-opus-4-5@20251101", "5"),
        ("mistral_ai", "mistral-large-latest", "2"),
        ("x_ai", "grok-4-0709", "3"),
        ("groq", "llama-3.3-70b-versatile", "0.59"),
        ("cohere", "command-r-plus", "2.5"),
        ("moonshot_ai", "kimi-k2", "0.57"),
        ("perplexity", "r1-1776", "2"),
        ("xai", "grok-4-0709", "3"),
        ("OpenAI", "GPT-4o", "2.5"),
    ],
)
def test_providers_go_by_their_names_in_opentelemetry(
    book: PriceBook, provider: str, model: str, expected: str
) -> None:
    assert cost(book, provider, model, Usage(input_tokens=1_000_000)) == Money.parse(expected)


def test_every_provider_of_the_table_is_in_the_snapshot() -> None:
    ids = {provider.id for provider in providers}
    assert set(PRICED_AS.values()) <= ids
    assert not set(PRICED_AS) & ids


@pytest.mark.parametrize(
    ("provider", "model", "usage", "reason"),
    [
        ("nobody", "gpt-4o", Usage(input_tokens=1), "the price book has no provider 'nobody'"),
        ("my-openai-proxy", "gpt-4o", Usage(input_tokens=1), "the price book has no provider 'my-openai-proxy'"),
        ("openai", "gpx-4o", Usage(input_tokens=1), "the price book has no model 'gpx-4o' of provider 'openai'"),
        ("openai", "", Usage(input_tokens=1), "the price book has no model '' of provider 'openai'"),
        ("openai", "gpt-4o" * 50, Usage(), "the name of the model or of its provider is longer than 256 characters"),
        (
            "openrouter",
            "allenai/molmo-7b-d:free",
            Usage(input_tokens=1),
            "the price book lists no price for the model: it is free of charge, or not known",
        ),
        ("openai", "tts-1", Usage(), "the model is priced by input_characters, which calls do not report"),
        (
            "openai",
            "text-embedding-3-small",
            Usage(input_tokens=9, output_tokens=1),
            "the model has no price for output tokens",
        ),
        (
            "openai",
            "gpt-4o",
            Usage(input_tokens=1, cache_read_input_tokens=2),
            "the usage contradicts itself: cache_read_input_tokens (2) is more than input_tokens (1)",
        ),
        (
            "openai",
            "gpt-4o",
            Usage(input_tokens=-1),
            "the usage contradicts itself: input_tokens is negative (-1)",
        ),
        (
            "gcp.gemini",
            "gemini-2.5-flash",  # 6 audio tokens and 6 cached ones, none of them both, do not fit into 10
            Usage(input_tokens=10, audio_input_tokens=6, cache_read_input_tokens=6),
            "the usage contradicts itself: details of input_tokens exceed it",
        ),
        (
            "openai",
            "gpt-image-1",
            Usage(input_tokens=10, image_input_tokens=5, cache_read_input_tokens=5),
            "tokens that are both cache_read_input_tokens and image_input_tokens have their own price, but no count",
        ),
    ],
)
def test_what_has_no_price_says_why_and_is_never_zero(
    book: PriceBook, provider: str, model: str, usage: Usage, reason: str
) -> None:
    assert book.price(provider, model, usage, MAY) == Unpriced(reason)


def test_a_time_without_a_zone_is_refused(book: PriceBook) -> None:
    with pytest.raises(ValueError, match="needs its zone"):
        book.price("openai", "gpt-4o", Usage(), MAY.replace(tzinfo=None))
