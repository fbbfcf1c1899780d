"""What was agreed with a provider, laid over the list; costs worked out by hand from the published prices."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices import data
from genai_prices.data_snapshot import DataSnapshot
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from p402.collector.price_settings import NegotiatedPriceSettings
from p402.collector.pricing import PriceBook, Priced, Unpriced, load_price_book
from p402.collector.pricing.negotiated import with_negotiated
from p402.collector.pricing.snapshot import Snapshot
from p402.vocabulary import Money, PriceReference, Usage

OCTOBER = datetime(2026, 10, 31, 23, 59, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
USAGE = Usage(input_tokens=1_000, output_tokens=100, cache_read_input_tokens=600)


LIST = Snapshot(DataSnapshot(providers=data.providers, from_auto_update=False))
LISTED = PriceReference("list", LIST.sha256())


def book(*agreed: dict[str, Any]) -> PriceBook:
    return with_negotiated(LISTED, LIST.schedule, (), [NegotiatedPriceSettings.model_validate(item) for item in agreed])


def cost(prices: PriceBook, model: str = "gpt-4o", at: datetime = NOVEMBER, **more: Any) -> str | None:
    found = prices.price(more.pop("provider", "openai"), model, more.pop("usage", USAGE), at, **more)
    return str(found.cost) if isinstance(found, Priced) else None


def test_a_discount_is_taken_off_every_price_exactly() -> None:
    # gpt-4o: 400 × 2.50 + 600 × 1.25 + 100 × 10 = 2,750 millionths; 15 % off: 2,337.5.
    assert cost(book({"provider": "openai", "discount_percent": "15"})) == "0.0023375"


def test_it_holds_between_its_dates_only() -> None:
    prices = book({"provider": "openai", "since": "2026-11-01", "until": "2026-11-02", "discount_percent": 20})
    assert cost(prices, at=OCTOBER) == "0.00275"
    assert cost(prices, at=NOVEMBER) == "0.0022"
    assert cost(prices, at=datetime(2026, 11, 2, tzinfo=UTC)) == "0.00275"


def test_the_first_agreement_that_fits_applies_and_others_are_left_alone() -> None:
    prices = book(
        {"provider": "openai", "model": "gpt-4o-mini*", "discount_percent": 50},
        {"provider": "openai", "model": "gpt-4o*", "discount_percent": 10},
    )
    # gpt-4o-mini: 400 × 0.15 + 600 × 0.075 + 100 × 0.60 = 165 millionths; half is 82.5.
    assert cost(prices, "gpt-4o-mini-2024-07-18") == "0.0000825"
    assert cost(prices, "gpt-4o") == "0.002475"
    assert cost(prices, "claude-opus-4-5", provider="anthropic") == cost(
        book(), "claude-opus-4-5", provider="anthropic"
    )


def test_prices_of_their_own_replace_those_that_they_name() -> None:
    # 400 × 2.00 + 600 × 1.25 (listed) + 100 × 8.00 = 2,350 millionths.
    agreed = {"provider": "openai", "model": "gpt-4o", "input_usd_per_million": "2", "output_usd_per_million": "8"}
    assert cost(book(agreed)) == "0.00235"


def test_a_model_that_no_list_knows_can_be_given_prices_but_no_discount() -> None:
    own = {"provider": "openai", "model": "acme-tuned", "input_usd_per_million": "3", "output_usd_per_million": "12.5"}
    # Cached reads have no price of their own, so all 1,000 are input: 3,000 + 1,250 millionths.
    assert cost(book(own), "acme-tuned") == "0.00425"
    assert cost(book({"provider": "openai", "discount_percent": 10}), "acme-tuned") is None


def test_a_surcharge_is_a_discount_below_zero_and_a_free_model_costs_nothing() -> None:
    assert cost(book({"provider": "openai", "discount_percent": -10})) == "0.003025"
    assert cost(book({"provider": "openai", "discount_percent": 100})) == "0"


def test_batches_and_long_prompts_have_the_discount_too() -> None:
    half = book({"provider": "*none*", "discount_percent": 1}, {"provider": "openai", "discount_percent": 50})
    listed = book().price("openai", "gpt-4o", USAGE, NOVEMBER, "batch")
    agreed = half.price("openai", "gpt-4o", USAGE, NOVEMBER, "batch")
    assert isinstance(listed, Priced)
    assert isinstance(agreed, Priced)
    assert agreed.cost.nano_usd * 2 == listed.cost.nano_usd
    long = Usage(input_tokens=300_000, output_tokens=10)
    gemini = book({"provider": "google", "discount_percent": 50})  # also for calls at gcp.gemini
    listed_long = book().price("gcp.gemini", "gemini-2.5-pro", long, NOVEMBER)
    agreed_long = gemini.price("gcp.gemini", "gemini-2.5-pro", long, NOVEMBER)
    assert isinstance(listed_long, Priced)
    assert isinstance(agreed_long, Priced)
    assert agreed_long.cost.nano_usd * 2 == listed_long.cost.nano_usd


def test_a_charge_names_the_list_with_what_was_agreed() -> None:
    one, other = (
        book({"provider": "openai", "discount_percent": 15}),
        book({"provider": "openai", "discount_percent": 16}),
    )
    assert one.reference.book == f"{book().reference.book}+negotiated"
    assert len({one.reference.sha256, other.reference.sha256, book().reference.sha256}) == 3
    assert one.reference == book({"provider": "openai", "discount_percent": "15"}).reference
    assert load_price_book().reference.sha256 == book().reference.sha256


@given(st.integers(0, 10_000), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_discount_never_makes_a_call_dearer_and_is_rounded_once(points: int, given_: int, taken: int) -> None:
    usage = Usage(input_tokens=given_, output_tokens=taken)
    percent = f"{points / 100:.2f}"
    agreed = book({"provider": "openai", "model": "gpt-4o", "discount_percent": percent}).price(
        "openai", "gpt-4o", usage, NOVEMBER
    )
    assert isinstance(agreed, Priced)
    exact_times_10_000 = (given_ * 2_500 + taken * 10_000) * (10_000 - points)
    assert abs(agreed.cost.nano_usd * 10_000 - exact_times_10_000) <= 5_000
    assert agreed.cost <= Money(given_ * 2_500 + taken * 10_000)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"provider": "openai"}, "say either discount_percent, or prices"),
        ({"provider": "openai", "discount_percent": 5, "input_usd_per_million": 1}, "say either"),
        ({"provider": "openai", "discount_percent": 101}, "less than or equal to 100"),
        ({"provider": "openai", "discount_percent": 5, "since": "2026-11-02", "until": "2026-11-02"}, "must be later"),
        ({"provider": "openai", "discount": 5}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NegotiatedPriceSettings.model_validate(table)


def test_unpriced_says_the_list_s_reason() -> None:
    found = book({"provider": "openai", "discount_percent": 5}).price("openai", "no-such-model", USAGE, NOVEMBER)
    assert isinstance(found, Unpriced)
