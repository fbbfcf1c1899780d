"""Spans as the instrumentations really send them: captured, not made up (values over 400 characters are cut).

Made by `tests/support/observed_application.py` in the environment ``other-instrumentations``. Each call used 60 input
tokens, 30 of them read from a cache and (Anthropic) 10 written to it, and 20 output tokens; embeddings used 50.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from p402.collector.dialects import DIALECTS
from p402.collector.pipeline.normalise import normalise
from p402.collector.pipeline.records import ModelCall, NotCharged, SkipReason, SpanRecord
from p402.vocabulary import Usage

SPANS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "real_spans.json").read_text())
OPENAI = Usage(input_tokens=60, output_tokens=20, cache_read_input_tokens=30)
ANTHROPIC = Usage(input_tokens=60, output_tokens=20, cache_read_input_tokens=30, cache_write_input_tokens=10)
EMBEDDED = Usage(input_tokens=50)

EXPECTED: dict[tuple[str, str], tuple[str, str, str, str | None, Usage]] = {
    # scope, name: provider, operation, model, response id, usage
    ("com.anthropic.sdk.python", "anthropic.messages.create"): (
        *("anthropic", "chat", "claude-opus-4-5", "msg_000000000005"),
        ANTHROPIC,
    ),
    ("openinference.instrumentation.anthropic", "messages.create"): (
        *("anthropic", "chat", "claude-opus-4-5", "msg_000000000005"),
        ANTHROPIC,
    ),
    ("openinference.instrumentation.anthropic", "messages.stream"): (
        *("anthropic", "chat", "claude-haiku-4-5", "msg_000000000006"),
        ANTHROPIC,
    ),
    ("openinference.instrumentation.openai", "ChatCompletion"): (
        *("openai", "chat", "gpt-4o", "chatcmpl-000000000001"),
        OPENAI,
    ),
    ("openinference.instrumentation.openai", "CreateEmbeddings"): (
        *("openai", "embeddings", "text-embedding-3-small", None),
        EMBEDDED,
    ),
    ("openinference.instrumentation.openai", "Response"): (
        *("openai", "chat", "gpt-4.1", "resp_000000000003"),
        OPENAI,
    ),
    ("opentelemetry.instrumentation.anthropic", "anthropic.chat"): (
        *("anthropic", "chat", "claude-opus-4-5", "msg_000000000005"),
        ANTHROPIC,
    ),
    ("opentelemetry.instrumentation.genai.anthropic", "chat claude-opus-4-5"): (
        *("anthropic", "chat", "claude-opus-4-5", "msg_000000000005"),
        ANTHROPIC,
    ),
    ("opentelemetry.instrumentation.genai.openai", "chat gpt-4o"): (
        *("openai", "chat", "gpt-4o", "chatcmpl-000000000001"),
        OPENAI,
    ),
    ("opentelemetry.instrumentation.genai.openai", "embeddings text-embedding-3-small"): (
        *("openai", "embeddings", "text-embedding-3-small", None),
        EMBEDDED,
    ),
    ("opentelemetry.instrumentation.openai.v1", "openai.chat"): (
        *("openai", "chat", "gpt-4o", "chatcmpl-000000000001"),
        OPENAI,
    ),
    ("opentelemetry.instrumentation.openai.v1", "openai.embeddings"): (
        *("openai", "embeddings", "text-embedding-3-small", None),
        EMBEDDED,
    ),
    ("opentelemetry.instrumentation.openai.v1", "openai.response"): (
        *("openai", "chat", "gpt-4.1", "resp_000000000003"),
        OPENAI,
    ),
    ("p402.instrumentation", "chat claude-opus-4-5"): (
        *("anthropic", "chat", "claude-opus-4-5", "msg_000000000005"),
        ANTHROPIC,
    ),
}
WITHOUT_USAGE = {  # streams that the application did not ask for usage
    ("opentelemetry.instrumentation.genai.openai", "chat gpt-4o-mini"),
    ("openinference.instrumentation.openai", "ChatCompletion"),
}


def span_of(name: str, attributes: dict[str, Any], scope: str = "") -> SpanRecord:
    return SpanRecord(
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        parent_span_id=None,
        name=name,
        started_ns=1,
        ended_ns=2,
        failed=False,
        scope=scope,
        attributes=attributes,
        resource={},
    )


def read(name: str, attributes: dict[str, Any]) -> ModelCall | NotCharged:
    return normalise(span_of(name, attributes), DIALECTS)


def test_no_expectation_is_without_a_span() -> None:
    assert set(EXPECTED) <= {(span["scope"], span["name"]) for span in SPANS}


@pytest.mark.parametrize("span", SPANS, ids=[f"{span['scope']} {span['name']}" for span in SPANS])
def test_a_span_as_it_was_really_sent_is_read(span: dict[str, Any]) -> None:
    key = (span["scope"], span["name"])
    found = read(span["name"], span["attributes"])
    if isinstance(found, NotCharged):
        is_call = key in EXPECTED or key in WITHOUT_USAGE
        assert found.reason is (SkipReason.NO_USAGE if is_call else SkipReason.NOT_INFERENCE)
        assert is_call == (span["name"] != "POST")
        assert key not in set(EXPECTED) - WITHOUT_USAGE
    else:
        provider, operation, model, response_id, usage = EXPECTED[key]
        assert (found.provider, found.operation, found.request_model) == (provider, operation, model)
        assert (found.response_model, found.response_id, found.usage) == (model, response_id, usage)


USED = {"llm.token_count.prompt": 100, "llm.token_count.completion": 10}
COUNTED = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}


@pytest.mark.parametrize(
    "attributes",
    [
        *({"openinference.span.kind": kind, **USED} for kind in ("AGENT", "CHAIN", "TOOL", "RETRIEVER", "GUARDRAIL")),
        *({"openinference.span.kind": kind, **USED} for kind in ("EVALUATOR", "PROMPT", "RERANKER", "", "agent")),
        *(
            {"traceloop.span.kind": kind, "llm.request.type": "chat", **COUNTED}
            for kind in ("workflow", "task", "tool")
        ),
        {"openinference.span.kind": "AGENT", "gen_ai.operation.name": "chat", **COUNTED},
        {"traceloop.span.kind": "agent", "gen_ai.operation.name": "chat", **COUNTED},
        {"gen_ai.operation.name": "invoke_agent", "llm.request.type": "chat", **COUNTED},
        {"gen_ai.operation.name": "execute_tool", "openinference.span.kind": "LLM", **COUNTED, **USED},
        {"llm.request.type": "unknown", **COUNTED},
        {"anthropic.message.count_tokens.input_tokens": 100, "gen_ai.provider.name": "anthropic"},
        USED,
        COUNTED,
    ],
)
def test_a_wrapper_of_any_dialect_is_never_priced(attributes: dict[str, Any]) -> None:
    found = read("anything", attributes)
    assert isinstance(found, NotCharged)
    assert found.reason is SkipReason.NOT_INFERENCE


@pytest.mark.parametrize("name", ["claude_code.interaction", "claude_code.tool", "claude_code.hook"])
def test_a_wrapper_of_claude_code_is_never_priced(name: str) -> None:
    assert isinstance(read(name, {"input_tokens": 5, "output_tokens": 5}), NotCharged)


def test_claude_code_counts_its_cached_tokens_beside_the_input() -> None:
    counts = {"input_tokens": 20, "output_tokens": 7, "cache_read_tokens": 30, "cache_creation_tokens": 10}
    found = read("claude_code.llm_request", {**counts, "model": "claude-opus-4-5"})
    assert isinstance(found, ModelCall)
    assert (found.provider, found.request_model, found.response_model) == ("anthropic", *["claude-opus-4-5"] * 2)
    assert found.usage == Usage(
        input_tokens=60, output_tokens=7, cache_read_input_tokens=30, cache_write_input_tokens=10
    )


@pytest.mark.parametrize(
    ("attributes", "usage"),
    [
        (
            {"gen_ai.usage.prompt_tokens": 9, "gen_ai.usage.completion_tokens": 4},
            Usage(input_tokens=9, output_tokens=4),
        ),
        ({"llm.usage.prompt_tokens": 9, "llm.usage.completion_tokens": "4"}, Usage(input_tokens=9, output_tokens=4)),
        (
            {"gen_ai.usage.prompt_tokens": 9, "gen_ai.usage.completion_tokens": 4, "llm.usage.reasoning_tokens": 3},
            Usage(input_tokens=9, output_tokens=4, reasoning_output_tokens=3),
        ),
        (
            {"gen_ai.usage.prompt_tokens": 60, "gen_ai.usage.cache_read_input_tokens": 30},
            Usage(input_tokens=60, cache_read_input_tokens=30),
        ),
        (  # the input without the cached tokens, which an input that includes them cannot be
            {"gen_ai.usage.prompt_tokens": 20, "gen_ai.usage.cache_read_input_tokens": 30},
            Usage(input_tokens=50, cache_read_input_tokens=30),
        ),
    ],
)
def test_older_spans_of_openllmetry_are_read(attributes: dict[str, Any], usage: Usage) -> None:
    said = {"llm.request.type": "chat", "gen_ai.system": "Anthropic", "gen_ai.request.model": "m", **attributes}
    found = read("anthropic.chat", said)
    assert isinstance(found, ModelCall)
    assert (found.provider, found.operation, found.usage) == ("anthropic", "chat", usage)


@pytest.mark.parametrize(
    ("said", "provider"),
    [
        ({"llm.provider": "google"}, "gcp.gemini"),
        ({"llm.provider": "aws", "llm.system": "anthropic"}, "aws.bedrock"),
        ({"llm.provider": "azure"}, "azure.ai.openai"),
        ({"llm.system": "mistralai"}, "mistral_ai"),
        ({"llm.provider": "xai"}, "x_ai"),
        ({"llm.provider": "moonshot"}, "moonshot_ai"),
        ({}, "unknown"),
    ],
)
def test_a_provider_of_openinference_has_its_standard_name(said: dict[str, Any], provider: str) -> None:
    found = read("ChatCompletion", {"openinference.span.kind": "LLM", **USED, **said})
    assert isinstance(found, ModelCall)
    assert found.provider == provider


@pytest.mark.parametrize(
    ("answer", "response_id"),
    [
        ('{"id":"msg_1","content":[]}', "msg_1"),
        ('{ "id" : "chatcmpl-A.b:c" }', "chatcmpl-A.b:c"),
        ('{"content":"\\"id\\":\\"msg_1\\""}', None),
        ("the completion as text", None),
        ('{"id":"with a \\" quote"}', None),
        (5, None),
    ],
)
def test_the_response_id_is_read_from_the_beginning_of_the_answer_only(answer: object, response_id: str | None) -> None:
    found = read("ChatCompletion", {"openinference.span.kind": "LLM", **USED, "output.value": answer})
    assert isinstance(found, ModelCall)
    assert found.response_id == response_id


@pytest.mark.parametrize("cost", ["gen_ai.usage.cost.amount", "gen_ai.usage.cost", "llm.cost.total", "llm.cost.prompt"])
@pytest.mark.parametrize(
    "kind", [{"openinference.span.kind": "LLM", **USED}, {"gen_ai.operation.name": "chat", **COUNTED}]
)
def test_what_a_client_says_that_a_call_costs_changes_nothing(kind: dict[str, Any], cost: str) -> None:
    plain, priced = read("call", kind), read("call", {**kind, cost: 0.000001})
    assert isinstance(plain, ModelCall)
    assert isinstance(priced, ModelCall)
    assert (plain.usage, plain.provider) == (priced.usage, priced.provider)
