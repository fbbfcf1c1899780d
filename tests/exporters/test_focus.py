"""FOCUS rows: what a charge came to, taken apart by kinds of token, and adding up again to the nano-dollar."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.decisions import KINDS, LongPrompt, RateCard, UnpriceableUsage
from p402.exporters.documents.apportion import apportion
from p402.exporters.documents.focus import FOCUS_COLUMNS, focus_rows
from p402.exporters.documents.posted import PostedCharge, ReceiptReference
from p402.exporters.documents.token_kinds import split_cost
from p402.vocabulary import Attribution, Charge, Money, PriceReference, Usage, UsageSource

AT = datetime(2026, 5, 15, 9, 20, tzinfo=UTC)
MONTH, NEXT = "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"


def card(decimals: int = 0, per_call: int = 0, **rates: int) -> RateCard:
    return RateCard(decimals=decimals, per_call=per_call, rates=tuple(rates.get(kind, 0) for kind in KINDS))


OPUS = card(
    input_tokens=5_000,
    output_tokens=25_000,
    cache_read_input_tokens=-4_500,
    cache_write_input_tokens=1_250,
    cache_write_1h_input_tokens=3_750,
)
"""$5 and $25 a million tokens; $0.50 from a cache, $6.25 into it, $10 for an hour."""


def posted(usage: Usage, prices: RateCard | None = OPUS, seq: int = 1, **changed: Any) -> PostedCharge:
    charge = Charge(
        trace_id="0" * 32,
        span_id="0" * 16,
        request="r",
        attribution=Attribution("acme", "legal", "contracts", "globex"),
        started_at=AT,
        ended_at=AT + timedelta(seconds=2),
        provider="anthropic",
        operation="chat",
        request_model="claude-opus-4-5",
        response_model="claude-opus-4-5",
        response_id=None,
        usage=usage,
        usage_source=UsageSource.PROVIDER,
        cost=prices.cost(usage) if prices else None,
        unpriced_reason=None,
        price=PriceReference("genai-prices/0.2.3", "ab" * 32),
    )
    names = {"correction", "receipt", "markup_basis_points", "recorded_at", "listed"}
    own = {name: changed.pop(name) for name in names & set(changed)}
    base = PostedCharge(
        seq=seq,
        charge=replace(charge, **changed),
        recorded_at=AT,
        organisation="acme",
        correction=False,
        receipt=ReceiptReference("rcpt_1", "cd" * 32, None),
        card=prices,
    )
    return replace(base, **own)


def as_dicts(*charges: PostedCharge) -> list[dict[str, Any]]:
    return [dict(zip(FOCUS_COLUMNS, row, strict=True)) for row in focus_rows(charges)]


def test_a_row_for_each_kind_of_token() -> None:
    usage = Usage(
        input_tokens=2847,
        output_tokens=10_000,
        cache_read_input_tokens=1000,
        cache_write_input_tokens=500,
        cache_write_1h_input_tokens=100,
    )
    found = {
        row["SkuMeter"]: (int(row["PricingQuantity"]), f"{row['BilledCost']:f}") for row in as_dicts(posted(usage))
    }
    assert found == {
        "Input Tokens": (1347, "0.006735"),
        "Cached Input Tokens": (1000, "0.0005"),
        "Cache Write Tokens": (400, "0.0025"),
        "1-Hour Cache Write Tokens": (100, "0.001"),
        "Output Tokens": (10_000, "0.25"),
    }


def test_list_columns_are_of_the_list_where_other_prices_were_agreed() -> None:
    agreed = card(
        decimals=1, input_tokens=40_000, output_tokens=200_000, cache_read_input_tokens=-36_000
    )  # a fifth off
    usage = Usage(input_tokens=2_000, output_tokens=100, cache_read_input_tokens=1_000)
    names = ["BilledCost", "ContractedCost", "ContractedUnitPrice", "ListCost", "ListUnitPrice"]
    names.append("PricingCurrencyListUnitPrice")
    found = {
        row["SkuMeter"]: [f"{row[name]:f}" for name in names] for row in as_dicts(posted(usage, agreed, listed=OPUS))
    }
    assert found == {
        "Input Tokens": ["0.004", "0.004", "0.000004", "0.005", "0.000005", "0.000005"],
        "Cached Input Tokens": ["0.0004", "0.0004", "0.0000004", "0.0005", "0.0000005", "0.0000005"],
        "Output Tokens": ["0.002", "0.002", "0.00002", "0.0025", "0.000025", "0.000025"],
    }


def test_what_the_list_cannot_price_has_the_agreed_price_as_its_list_price() -> None:
    no_output = replace(OPUS, prices_output=False)
    [row] = as_dicts(posted(Usage(output_tokens=100), listed=no_output))
    assert row["ListCost"] == row["ContractedCost"] == Decimal("0.0025")


def test_a_charge_that_stays_whole_is_listed_at_what_the_list_makes_of_it() -> None:
    agreed = card(input_tokens=4_000)
    [row] = as_dicts(posted(Usage(input_tokens=1_000), agreed, cost=Money(7), listed=OPUS))
    assert (row["SkuMeter"], row["ContractedCost"], row["ListCost"]) == ("Requests", Decimal("7E-9"), Decimal("0.005"))


def test_media_and_what_of_them_comes_from_a_cache_are_kinds_of_their_own() -> None:
    rates = {"input_tokens": 100, "output_tokens": 200, "cache_read_input_tokens": -90, "audio_input_tokens": 900}
    rates |= {"audio_cache_read_input_tokens": -810, "audio_output_tokens": 1800, "reasoning_output_tokens": 50}
    usage = Usage(
        input_tokens=100,
        cache_read_input_tokens=30,
        audio_input_tokens=60,
        audio_cache_read_input_tokens=20,
        output_tokens=50,
        audio_output_tokens=10,
        reasoning_output_tokens=5,
    )
    kinds = split_cost(card(**rates).cost(usage), usage, card(**rates))
    assert [(kind.meter, kind.quantity, int(kind.unit_price)) for kind in kinds] == [
        ("Input Tokens", 30, 100),
        ("Cached Input Tokens", 10, 10),
        ("Audio Input Tokens", 40, 1000),
        ("Cached Audio Input Tokens", 20, 100),
        ("Output Tokens", 35, 200),
        ("Reasoning Output Tokens", 5, 250),
        ("Audio Output Tokens", 10, 2000),
    ]


def test_a_row_says_whose_what_when_and_by_which_prices() -> None:
    [row] = as_dicts(posted(Usage(input_tokens=2847), markup_basis_points=1250))
    said = {
        "BillingAccountId": "acme",
        "SubAccountId": "contracts",
        "Tags": '{"p402/department": "legal", "p402/project": "contracts", "p402/client": "globex"}',
        "ChargePeriodStart": "2026-05-15T09:00:00Z",
        "ChargePeriodEnd": "2026-05-15T10:00:00Z",
        "BillingPeriodStart": MONTH,
        "BillingPeriodEnd": NEXT,
        "ServiceProviderName": "Anthropic",
        "HostProviderName": "Anthropic",
        "SkuId": "anthropic/claude-opus-4-5/input-tokens",
        "SkuPriceId": "anthropic/claude-opus-4-5/input-tokens@genai-prices/0.2.3",
        "ListUnitPrice": Decimal("0.000005"),
        "ListCost": Decimal("0.014235"),
        "ChargeClass": None,
        "x_ReceiptId": "rcpt_1",
        "x_MarkupCost": Decimal("0.001779375"),
        "x_CostWithMarkup": Decimal("0.016014375"),
        "x_Employee": None,
    }
    assert {name: row[name] for name in said} == said


def test_the_charges_of_a_receipt_share_a_row_if_they_share_hour_model_and_prices() -> None:
    usage = Usage(input_tokens=10)
    same = [posted(usage), posted(usage, seq=2)]
    [row] = as_dicts(*same)
    assert (row["PricingQuantity"], row["x_Charges"], row["x_FirstSeq"], row["x_LastSeq"]) == (20, 2, 1, 2)
    for other in (
        posted(usage, seq=2, started_at=AT + timedelta(hours=1)),
        posted(usage, seq=2, response_model="claude-opus-4-6"),
        posted(usage, seq=2, usage_source=UsageSource.ESTIMATED),
        posted(usage, seq=2, receipt=ReceiptReference("rcpt_2", "cd" * 32, None)),
        posted(usage, card(input_tokens=5_001), seq=2),
    ):
        assert len(as_dicts(same[0], other)) == 2
    unsealed = [posted(usage, seq=seq, receipt=None) for seq in (1, 2)]
    assert [row["x_FirstSeq"] for row in as_dicts(*unsealed)] == [1, 2]


def test_what_came_after_its_period_was_closed_is_a_correction_in_the_month_of_its_recording() -> None:
    late = posted(Usage(input_tokens=10), correction=True, recorded_at=datetime(2026, 7, 2, tzinfo=UTC))
    [row] = as_dicts(late)
    assert row["ChargeClass"] == "Correction"
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z")
    assert row["ChargePeriodStart"] == "2026-05-15T09:00:00Z"


def test_a_charge_without_a_price_has_no_row() -> None:
    assert as_dicts(posted(Usage(input_tokens=10), None)) == []


def test_without_the_prices_a_charge_stays_whole_at_its_exact_cost() -> None:
    old = replace(posted(Usage(input_tokens=10)), card=None)
    [row] = as_dicts(old)
    shown = row["SkuMeter"], row["PricingQuantity"], row["PricingUnit"], row["BilledCost"], row["ListUnitPrice"]
    assert shown == ("Requests", 1, "Requests", Decimal("0.00005"), Decimal("0.00005"))


def test_a_long_prompt_has_the_prices_of_long_prompts() -> None:
    bands = (LongPrompt(200_000, tuple(2 * rate for rate in OPUS.rates)),)
    [row] = as_dicts(posted(Usage(input_tokens=200_001), replace(OPUS, long_prompts=bands)))
    assert row["ListUnitPrice"] == Decimal("0.00001")


def test_half_nano_dollars_go_to_the_largest_remainder_and_of_equal_ones_to_the_first() -> None:
    assert apportion(2, [5, 5, 10], 10) == [1, 0, 1]
    assert apportion(3, [4, 25, 1], 10) == [0, 3, 0]
    with pytest.raises(ValueError, match="not the rounded sum"):
        apportion(4, [5, 5, 10], 10)


counts = st.integers(0, 3_000_000)
details = st.integers(0, 40_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counts that do not contradict each other; media and cached tokens may overlap."""
    hour, audio_read = draw(details), draw(details)
    written, read = hour + draw(details), audio_read + draw(details)
    audio, image = audio_read + draw(details), draw(details)
    reasoning, audio_out, image_out = draw(details), draw(details), draw(details)
    return Usage(
        input_tokens=max(written + read, audio, image) + draw(counts),
        output_tokens=max(reasoning, audio_out, image_out) + draw(counts),
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        cache_write_1h_input_tokens=hour,
        reasoning_output_tokens=reasoning,
        audio_input_tokens=audio,
        audio_output_tokens=audio_out,
        audio_cache_read_input_tokens=audio_read,
        image_input_tokens=image,
        image_output_tokens=image_out,
    )


cards = st.builds(
    lambda decimals, fee, base, more: RateCard(
        decimals=decimals, per_call=fee, rates=(*base, *(r if r >= 0 else max(r, -base[0], -base[1]) for r in more))
    ),
    st.integers(0, 6),
    st.integers(0, 10**9),
    st.tuples(st.integers(0, 10**8), st.integers(0, 10**8)),
    st.lists(st.integers(-(10**7), 10**8), min_size=len(KINDS) - 2, max_size=len(KINDS) - 2),
)


@given(usages(), cards)
def test_the_parts_of_any_charge_add_up_to_it_and_none_is_a_nano_dollar_off(usage: Usage, prices: RateCard) -> None:
    try:
        cost = prices.cost(usage)
    except UnpriceableUsage:
        return
    kinds = split_cost(cost, usage, prices)
    assert sum(kind.cost.nano_usd for kind in kinds) == cost.nano_usd
    for kind in kinds:
        assert kind.quantity > 0
        assert abs(kind.cost.nano_usd - kind.unit_price * kind.quantity) < 1
        assert kind.unit_price >= Fraction(0)
    if kinds and kinds[0].meter != "Requests":
        assert sum(kind.quantity for kind in kinds if kind.unit == "Tokens") == usage.total_tokens


@given(st.lists(usages(), min_size=1, max_size=6))
def test_the_rows_of_a_receipt_add_up_to_its_charges(many: list[Usage]) -> None:
    charges = [posted(usage, seq=seq) for seq, usage in enumerate(many)]
    costs = [charge.charge.cost for charge in charges if charge.charge.cost]
    rows = [Money.parse(f"{row['BilledCost']:f}") for row in as_dicts(*charges)]
    assert sum(rows, Money(0)) == sum(costs, Money(0))


def test_every_number_has_a_point() -> None:
    row = as_dicts(posted(Usage(input_tokens=10**9)))[0]
    shown = [f"{row[name]:f}" for name in ("BilledCost", "PricingQuantity", "ListCost", "ListUnitPrice")]
    assert shown == ["5000.0", "1000000000.0", "5000.0", "0.000005"]
