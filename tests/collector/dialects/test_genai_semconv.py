"""OpenTelemetry's GenAI conventions in their spellings of several years."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from p402.collector.dialects.genai_semconv import read
from p402.collector.pipeline.records import ModelCall, NotCharged, SkipReason
from p402.collector.receiver.otlp_decode import decode_traces
from p402.vocabulary import Usage, UsageSource
from support.otlp import ASpan, request_of

CHAT = {"gen_ai.operation.name": "chat"}
COUNTED = {**CHAT, "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}


def read_attributes(attributes: dict[str, Any], *, failed: bool = False) -> ModelCall | NotCharged:
    [span] = decode_traces(request_of([ASpan(attributes=attributes, failed=failed)])).spans
    return read(span)


def call(attributes: dict[str, Any]) -> ModelCall:
    found = read_attributes(attributes)
    assert isinstance(found, ModelCall)
    return found


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("gen_ai.usage.input_tokens", "input_tokens"),
        ("gen_ai.usage.prompt_tokens", "input_tokens"),
        ("gen_ai.usage.output_tokens", "output_tokens"),
        ("gen_ai.usage.completion_tokens", "output_tokens"),
        ("gen_ai.usage.cache_read.input_tokens", "cache_read_input_tokens"),
        ("gen_ai.usage.cache_read_input_tokens", "cache_read_input_tokens"),
        ("gen_ai.usage.cache_write.input_tokens", "cache_write_input_tokens"),
        ("gen_ai.usage.cache_creation.input_tokens", "cache_write_input_tokens"),
        ("gen_ai.usage.cache_creation_input_tokens", "cache_write_input_tokens"),
        ("p402.usage.cache_write_1h.input_tokens", "cache_write_1h_input_tokens"),
        ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens", "cache_write_1h_input_tokens"),
        ("gen_ai.usage.reasoning.output_tokens", "reasoning_output_tokens"),
        ("gen_ai.usage.reasoning_tokens", "reasoning_output_tokens"),
        ("gen_ai.usage.audio.input_tokens", "audio_input_tokens"),
        ("gen_ai.usage.audio.output_tokens", "audio_output_tokens"),
        ("gen_ai.usage.audio.cache_read.input_tokens", "audio_cache_read_input_tokens"),
        ("gen_ai.usage.image.input_tokens", "image_input_tokens"),
        ("gen_ai.usage.image.output_tokens", "image_output_tokens"),
    ],
)
def test_every_spelling_of_a_count_is_read(name: str, field: str) -> None:
    totals = {"gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 10}
    assert getattr(call({**CHAT, **totals, name: 7}).usage, field) == 7


def test_the_newer_spelling_wins() -> None:
    assert call({**COUNTED, "gen_ai.usage.prompt_tokens": 5}).usage == Usage(input_tokens=100, output_tokens=10)


@pytest.mark.parametrize(("value", "count"), [(7, 7), ("7", 7), (7.0, 7), ("0", 0), (0, 0), (-7, -7)])
def test_a_count_may_be_a_number_of_any_kind_or_text(value: object, count: int) -> None:
    assert call({**COUNTED, "gen_ai.usage.input_tokens": value}).usage.input_tokens == count


@pytest.mark.parametrize(
    "value", [True, 7.5, "seven", "", " 7", "7.0", "-7", "\u0667", b"7", (7,), float("nan"), float("inf")]
)
def test_what_is_no_count_leaves_the_call_without_usage(value: object) -> None:
    found = read_attributes({**CHAT, "gen_ai.usage.input_tokens": value})
    assert isinstance(found, NotCharged)
    assert found.reason is SkipReason.NO_USAGE


@pytest.mark.parametrize("value", [2**63 - 1, 1e300, "9" * 5_000, "9" * 20, 10**9, -(2**63), -1e300])
def test_an_absurd_count_stays_within_what_the_ledger_can_add_up(value: object) -> None:
    assert abs(call({**COUNTED, "gen_ai.usage.input_tokens": value}).usage.input_tokens) == 10**9


@pytest.mark.parametrize("operation", ["chat", "generate_content", "text_completion", "embeddings", "responses"])
def test_inference_is_a_call(operation: str) -> None:
    assert call({**COUNTED, "gen_ai.operation.name": operation}).operation == operation


@pytest.mark.parametrize(
    "operation",
    [None, "invoke_agent", "create_agent", "execute_tool", "invoke_workflow", "CHAT", "", 1, b"chat", ("chat",)],
)
def test_wrappers_tools_and_strangers_are_no_inference(operation: object) -> None:
    attributes = {**COUNTED, "gen_ai.operation.name": operation}
    found = read_attributes({name: value for name, value in attributes.items() if value is not None})
    assert isinstance(found, NotCharged)
    assert found.reason is SkipReason.NOT_INFERENCE


@pytest.mark.parametrize("sign", ["status", "error.type"])
def test_a_failed_call_without_usage_is_not_charged(sign: str) -> None:
    found = read_attributes({**CHAT, **({sign: "timeout"} if sign == "error.type" else {})}, failed=sign == "status")
    assert isinstance(found, NotCharged)
    assert found.reason is SkipReason.FAILED


def test_a_failed_call_with_usage_is_charged() -> None:
    assert isinstance(read_attributes({**COUNTED, "error.type": "timeout"}, failed=True), ModelCall)


def test_usage_is_the_providers_unless_it_is_marked_as_estimated() -> None:
    assert call(COUNTED).usage_source is UsageSource.PROVIDER
    assert call({**COUNTED, "p402.usage.source": "estimated"}).usage_source is UsageSource.ESTIMATED
    assert call({**COUNTED, "p402.usage.source": "rumour"}).usage_source is UsageSource.PROVIDER


@pytest.mark.parametrize(
    ("attributes", "provider"),
    [
        ({"gen_ai.provider.name": "openai"}, "openai"),
        ({"gen_ai.system": "Anthropic"}, "anthropic"),
        ({"gen_ai.provider.name": "openai", "gen_ai.system": "anthropic"}, "openai"),
        ({"gen_ai.system": "az.ai.openai"}, "azure.ai.openai"),
        ({"gen_ai.system": "az.ai.inference"}, "azure.ai.inference"),
        ({"gen_ai.system": "gemini"}, "gcp.gemini"),
        ({"gen_ai.system": "vertex_ai"}, "gcp.vertex_ai"),
        ({"gen_ai.system": "xai"}, "x_ai"),
        ({"gen_ai.system": "aws_bedrock"}, "aws.bedrock"),
        ({}, "unknown"),
        ({"gen_ai.provider.name": ""}, "unknown"),
        ({"gen_ai.provider.name": 5}, "unknown"),
        ({"gen_ai.provider.name": "p" * 100_000}, "p" * 256),
    ],
)
def test_the_provider_has_one_name(attributes: dict[str, object], provider: str) -> None:
    assert call({**COUNTED, **attributes}).provider == provider


def test_what_describes_the_call_is_read() -> None:
    found = call(
        {
            **COUNTED,
            "gen_ai.request.model": "claude-opus-4-5",
            "gen_ai.response.model": "claude-opus-4-5-20251101",
            "gen_ai.response.id": "msg_1",
            "p402.request": "req_1",
            "p402.decision.rationale": "complexity=7",
            "p402.task_type": "review",
        }
    )
    assert (found.request_model, found.response_model) == ("claude-opus-4-5", "claude-opus-4-5-20251101")
    assert (found.response_id, found.request) == ("msg_1", "req_1")
    assert (found.rationale, found.task_type) == ("complexity=7", "review")


def test_a_span_without_a_request_id_is_a_request_of_its_own() -> None:
    sent = ASpan(attributes=COUNTED, trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    [span] = decode_traces(request_of([sent])).spans
    found = read(span)
    assert isinstance(found, ModelCall)
    assert found.request == "01" * 16 + "-" + "02" * 8


@pytest.mark.parametrize("value", ["", 5, b"x", ("x",)])
def test_what_is_no_text_counts_as_missing(value: object) -> None:
    found = call({**COUNTED, "gen_ai.request.model": value, "gen_ai.response.id": value, "p402.task_type": value})
    assert (found.request_model, found.response_id, found.task_type) == (None, None, None)


def test_long_texts_are_cut_but_two_long_response_ids_stay_two() -> None:
    one, other = (call({**COUNTED, "gen_ai.response.id": "r" * 300 + end, "p402.task_type": "t" * 300}) for end in "ab")
    assert one.task_type == "t" * 256
    assert one.response_id is not None
    assert len(one.response_id) <= 256
    assert one.response_id != other.response_id


@pytest.mark.parametrize("url", ["https://opentelemetry.io/schemas/1.11.0", "https://example.com/none", ""])
def test_the_schema_that_a_span_claims_does_not_matter(url: str) -> None:
    request = ExportTraceServiceRequest.FromString(request_of([ASpan(attributes=COUNTED)]))
    request.resource_spans[0].schema_url = request.resource_spans[0].scope_spans[0].schema_url = url
    [span] = decode_traces(request.SerializeToString()).spans
    found = read(span)
    assert isinstance(found, ModelCall)
    assert found.usage == Usage(input_tokens=100, output_tokens=10)
