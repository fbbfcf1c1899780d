"""From a call to a charge."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from p402.collector.dialects.genai_semconv import read
from p402.collector.pipeline.price import call_key, charge
from p402.collector.pipeline.records import Attributed, ModelCall, Recordable
from p402.collector.receiver.otlp_decode import decode_traces
from p402.vocabulary import Attribution, Level, Money
from support.open_books import price_book
from support.otlp import ASpan, request_of

NOW = datetime(2026, 5, 15, 12, 0, tzinfo=UTC)
LEGAL = Attributed(Attribution("acme", "legal"), Level.DEPARTMENT)


def call_of(span: ASpan) -> ModelCall:
    [record] = decode_traces(request_of([span])).spans
    found = read(record)
    assert isinstance(found, ModelCall)
    return found


def charged(extra: dict[str, Any] | None = None, **fields: Any) -> Recordable:
    return charge(call_of(ASpan.of(extra, **fields)), LEGAL, price_book(), "key_1", NOW)


def test_the_worked_example_costs_what_the_price_list_says() -> None:
    call = charged(trace_id=b"\x01" * 16, span_id=b"\x02" * 8).charge
    assert (call.cost, call.unpriced_reason) == (Money.parse("0.264235"), None)
    assert (call.trace_id, call.span_id) == ("01" * 16, "02" * 8)
    assert call.price == price_book().reference
    assert call.attribution == LEGAL.attribution


def test_the_price_is_that_of_the_model_that_answered() -> None:
    sonnet = charged({"gen_ai.response.model": "claude-sonnet-4-5"}).charge
    assert sonnet.cost == Money.parse("0.158541")  # 2,847 × $3 and 10,000 × $15 a million
    assert charged({"gen_ai.response.model": None}).charge.cost == Money.parse("0.264235")


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"gen_ai.response.model": "opus-of-tomorrow"}, "has no model 'opus-of-tomorrow'"),
        ({"gen_ai.provider.name": "acme-proxy"}, "has no provider 'acme-proxy'"),
        ({"gen_ai.provider.name": None}, "has no provider 'unknown'"),
        ({"gen_ai.request.model": None, "gen_ai.response.model": None}, "the span names no model"),
        ({"gen_ai.usage.input_tokens": -1}, "contradicts itself: input_tokens is negative"),
        ({"gen_ai.usage.cache_read.input_tokens": 2848}, "is more than input_tokens (2847)"),
        ({"gen_ai.usage.reasoning.output_tokens": 10_001}, "is more than output_tokens (10000)"),
        ({"gen_ai.usage.input_tokens": 2**62}, "the usage is absurd"),
        ({"gen_ai.usage.output_tokens": 10**9}, "the usage is absurd"),
    ],
)
def test_what_cannot_be_priced_says_why_and_never_costs_zero(extra: dict[str, Any], reason: str) -> None:
    call = charged(extra).charge
    assert (call.cost, call.price) == (None, None)
    assert reason in str(call.unpriced_reason)


def test_times_are_kept_to_the_millisecond_and_missing_ones_are_those_of_the_arrival() -> None:
    call = charged(started_ns=1_778_835_600_123_999_999, seconds=2).charge
    assert call.started_at == datetime(2026, 5, 15, 9, 0, 0, 123_000, tzinfo=UTC)
    assert call.ended_at == datetime(2026, 5, 15, 9, 0, 2, 123_000, tzinfo=UTC)
    timeless = charged(started_ns=0).charge
    assert (timeless.started_at, timeless.ended_at) == (NOW, NOW)


def test_any_time_that_a_span_can_state_is_a_time() -> None:
    assert charged(started_ns=2**64 - 10**10).charge.started_at.year == 2554


def test_only_spans_of_others_or_inside_others_may_nest() -> None:
    assert not charged().may_nest
    assert charged(scope="vendor.sdk").may_nest
    assert charged({"p402.outer_span.scope": "vendor.sdk"}).may_nest


def test_an_answer_has_one_key_for_its_sender() -> None:
    answer = call_of(ASpan.of({"gen_ai.response.id": "msg_1"}))
    key = call_key(answer, LEGAL, "key_1")
    assert key is not None
    assert len(key) == 16
    assert call_key(answer, Attributed(Attribution("acme", "sales"), None), "key_1") == key
    other_trace = replace(answer, span=replace(answer.span, trace_id=b"\x07" * 16))
    for other, owner, key_id in (
        (answer, Attributed(Attribution("initech", "legal"), None), "key_1"),
        (answer, LEGAL, "key_2"),
        (answer, LEGAL, None),
        (replace(answer, response_id="msg_2"), LEGAL, "key_1"),
        (replace(answer, provider="openai"), LEGAL, "key_1"),
        (other_trace, LEGAL, "key_1"),
    ):
        assert call_key(other, owner, key_id) != key


def test_a_long_id_is_the_same_answer_in_every_trace() -> None:
    one, other = (call_of(ASpan.of({"gen_ai.response.id": "msg_01XFDUDYJgAACz"})) for _ in range(2))
    assert one.span.trace_id != other.span.trace_id
    assert call_key(one, LEGAL, "key_1") == call_key(other, LEGAL, "key_1")


def test_a_call_without_a_response_id_has_no_key() -> None:
    assert charged().call_key is None


@pytest.mark.parametrize(
    ("asked", "answered", "cost"),
    [
        ("anthropic/claude-opus-4-5", "anthropic/claude-opus-4-5", "0.264235"),
        ("anthropic/claude-opus-4-5", "claude-opus-4-5-20251101", "0.264235"),
        ("anthropic/claude-opus-4-5", None, "0.264235"),
        ("openai/gpt-4o", "gpt-4o-2024-08-06", "0.1071175"),  # 2,847 × $2.50 and 10,000 × $10 a million
        ("claude-opus-4-5", "claude-opus-4-5", None),  # whose it is, nobody says
        ("our-alias/claude", "claude-opus-4-5", None),
    ],
)
def test_a_call_through_litellm_has_the_price_of_the_vendor_that_its_model_names(
    asked: str, answered: str | None, cost: str | None
) -> None:
    names = {"gen_ai.request.model": asked, "gen_ai.response.model": answered}
    call = charged({"gen_ai.provider.name": "litellm", **names}).charge
    assert call.cost == (Money.parse(cost) if cost else None)


def test_no_other_proxy_has_anybody_s_prices() -> None:
    assert charged({"gen_ai.provider.name": "my-openai", "gen_ai.response.model": "openai/gpt-4o"}).charge.cost is None
