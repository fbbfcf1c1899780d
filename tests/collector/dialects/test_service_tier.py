"""How a call was served is read from spans of every dialect, and carried into its price."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from p402.collector.dialects import DIALECTS
from p402.collector.dialects.service_tier import service_tier
from p402.collector.pipeline.normalise import normalise
from p402.collector.pipeline.price import charge
from p402.collector.pipeline.records import Attributed, ModelCall
from p402.collector.receiver.otlp_decode import decode_traces
from p402.vocabulary import Attribution, Charge, Money
from support.open_books import price_book
from support.otlp import ASpan, request_of

NOVEMBER = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)

GENAI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "o3",
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 100,
}
OPENLLMETRY = {
    "llm.request.type": "chat",
    "gen_ai.system": "OpenAI",
    "gen_ai.request.model": "o3",
    "gen_ai.usage.prompt_tokens": 1_000,
    "gen_ai.usage.completion_tokens": 100,
}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.provider": "openai",
    "llm.model_name": "o3",
    "llm.token_count.prompt": 1_000,
    "llm.token_count.completion": 100,
}
# o3: standard 2 in, 8 out: 2,000 + 800 millionths; flex 1 in, 4 out: 1,000 + 400; priority 3.50 in, 14 out: 3,500 + 1,400.
STANDARD, FLEX, PRIORITY = Money.parse("0.0028"), Money.parse("0.0014"), Money.parse("0.0049")


def charged(attributes: dict[str, Any], name: str = "chat") -> Charge:
    [span] = decode_traces(request_of([ASpan(attributes=attributes, scope="vendor.sdk", started_ns=NOVEMBER)])).spans
    call = normalise(replace(span, name=name), DIALECTS)
    assert isinstance(call, ModelCall)
    return charge(call, Attributed(Attribution("acme"), None), price_book(), None, NOW).charge


@pytest.mark.parametrize(
    ("attributes", "tier", "cost"),
    [
        (GENAI, None, STANDARD),
        ({**GENAI, "openai.response.service_tier": "default"}, "standard", STANDARD),
        ({**GENAI, "openai.response.service_tier": "flex"}, "flex", FLEX),
        ({**GENAI, "gen_ai.openai.response.service_tier": "priority"}, "priority", PRIORITY),
        ({**GENAI, "openai.response.service_tier": "default", "p402.service_tier": "flex"}, "flex", FLEX),
        ({**GENAI, "openai.request.service_tier": "flex"}, None, STANDARD),  # what was asked for, not what was served
        ({**OPENLLMETRY, "gen_ai.openai.response.service_tier": "flex"}, "flex", FLEX),
        ({**OPENLLMETRY, "openai.response.service_tier": "flex"}, "flex", FLEX),
        ({**OPENINFERENCE, "output.value": '{"id":"chatcmpl-1","service_tier":"flex","usage":{}}'}, "flex", FLEX),
        ({**OPENINFERENCE, "output.value": '{"id": "1", "usage": {"service_tier": "flex"}}'}, "flex", FLEX),
        ({**OPENINFERENCE, "output.value": '{"id":"1","service_tier":null}'}, None, STANDARD),
    ],
)
def test_the_tier_of_a_call_is_read_and_priced(attributes: dict[str, Any], tier: str | None, cost: Money) -> None:
    call = charged(attributes)
    assert (call.service_tier, call.cost) == (tier, cost)


def test_what_a_model_says_about_tiers_is_not_how_it_was_served() -> None:
    said = json.dumps({"id": "1", "content": 'Set {"service_tier": "flex"} or {"service_tier":"flex"}'})
    assert charged({**OPENINFERENCE, "output.value": said}).service_tier is None


def test_anthropics_own_spans_tell_their_tier() -> None:
    # Opus 4.5: 2.50 in, 12.50 out in a batch. 1,000 * 2.50 + 100 * 12.50 = 3,750 millionths.
    batch = {**GENAI, "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-opus-4-5"}
    call = charged({**batch, "anthropic.response.service_tier": "batch"})
    assert (call.service_tier, call.cost) == ("batch", Money.parse("0.00375"))


def test_claude_codes_fast_mode_is_a_tier() -> None:
    # Opus 5 in fast mode: 10 in, 50 out. 1,000 * 10 + 100 * 50 = 15,000 millionths.
    used = {"model": "claude-opus-5", "input_tokens": 1_000, "output_tokens": 100}
    fast = charged({**used, "speed": "fast"}, name="claude_code.llm_request")
    assert (fast.service_tier, fast.cost) == ("fast", Money.parse("0.015"))
    assert charged({**used, "speed": "normal"}, name="claude_code.llm_request").service_tier == "standard"


def test_a_tier_without_a_price_is_told_and_unpriced() -> None:
    call = charged({**GENAI, "openai.response.service_tier": "scale"})
    assert (call.service_tier, call.cost, call.price) == ("scale", None, None)
    assert "for service tier 'scale'" in str(call.unpriced_reason)


@pytest.mark.parametrize(
    ("said", "canonical"),
    [
        ("default", "standard"),
        ("STANDARD", "standard"),
        ("on_demand", "standard"),
        ("ON_DEMAND", "standard"),
        ("ON_DEMAND_FLEX", "flex"),
        ("ON_DEMAND_PRIORITY", "priority"),
        ("ON_DEMAND_OFFPEAK", "offpeak"),
        ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
        ("reserved", "reserved"),
        ("ultrafast", "ultrafast"),
        ("auto", None),
        ("TRAFFIC_TYPE_UNSPECIFIED", None),
        ("unspecified", None),
        ("", None),
        (None, None),
        (3, None),
    ],
)
def test_every_providers_word_has_one_meaning(said: object, canonical: str | None) -> None:
    assert service_tier(said) == canonical


def test_an_endless_word_is_cut() -> None:
    assert service_tier("x" * 100_000) == "x" * 256
