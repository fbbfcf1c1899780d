"""The pure part: URLs and bodies in, facts and usage out. Expected counts follow the providers' documentation."""

from __future__ import annotations

from typing import Any

import pytest

from p402.instrumentation.providers import (
    Answer,
    RequestFacts,
    anthropic,
    bedrock,
    gemini,
    is_provider,
    openai,
    recognise,
)
from p402.vocabulary import Usage


@pytest.mark.parametrize(
    ("host", "path", "provider"),
    [
        ("api.openai.com", "/v1/chat/completions", "openai"),
        ("eu.api.openai.com", "/v1/responses", "openai"),
        ("api.openai.com", "/v1/embeddings", "openai"),
        ("acme.openai.azure.com", "/openai/deployments/legal-4o/chat/completions", "azure.ai.openai"),
        ("api.anthropic.com", "/v1/messages", "anthropic"),
        ("generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-pro:generateContent", "gcp.gemini"),
        ("generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", "gcp.gemini"),
        (
            "europe-west1-aiplatform.googleapis.com",
            "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:streamGenerateContent",
            "gcp.vertex_ai",
        ),
        ("openrouter.ai", "/api/v1/chat/completions", "openrouter"),
        ("litellm.internal", "/chat/completions", "openai"),
        ("127.0.0.1", "/anthropic/v1/messages", "anthropic"),
        ("localhost", "/v1/models/gemini-x:generateContent", "gcp.gemini"),
        ("generativelanguage.googleapis.com", "/v1beta/tunedModels/mine:streamGenerateContent", "gcp.gemini"),
        ("aiplatform.googleapis.com", "/v1/projects/p/locations/l/endpoints/123:generateContent", "gcp.vertex_ai"),
        ("aiplatform.googleapis.com", "/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "gcp.vertex_ai"),
    ],
)
def test_recognised(host: str, path: str, provider: str) -> None:
    route = recognise(host, path)
    assert route is not None
    assert route.provider == provider


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("api.openai.com", "/v1/models"),
        ("api.openai.com", "/v1/responses/resp_1/cancel"),
        ("api.openai.com", "/v1/files"),
        ("api.anthropic.com", "/v1/messages/count_tokens"),
        ("api.anthropic.com", "/v1/messages/batches"),
        ("generativelanguage.googleapis.com", "/v1beta/models/gemini-x:countTokens"),
        ("collector.internal", "/v1/traces"),
        ("helpdesk.internal", "/api/chat"),  # Ollama's path, and that of many an application
        ("helpdesk.internal", "/v2/chat"),
    ],
)
def test_not_a_call_of_a_model(host: str, path: str) -> None:
    assert recognise(host, path) is None


def test_hosts_that_only_look_like_a_provider() -> None:
    assert is_provider("API.OpenAI.com.")
    assert not is_provider("api.openai.com.evil.example")
    assert not is_provider("internal")


@pytest.mark.parametrize(
    ("host", "port", "provider"),
    [
        ("llm.internal", 8000, "vllm"),
        ("LLM.internal", 8000, "vllm"),
        ("llm.internal", 8001, "openai"),
        ("proxy.internal", 4000, "litellm"),
        ("proxy.internal", None, "litellm"),
        ("api.openai.com", 443, "litellm"),  # the organisation knows better
    ],
)
def test_self_hosted_server_is_called_as_it_is_configured(host: str, port: int | None, provider: str) -> None:
    own = {"llm.internal:8000": "vllm", "proxy.internal": "litellm", "api.openai.com": "litellm"}
    route = recognise(host, "/v1/chat/completions", port, own)
    assert route is not None
    assert route.provider == provider
    assert is_provider(host, port, own) is (port != 8001)


@pytest.mark.parametrize(
    ("dialect", "path", "body", "facts"),
    [
        (
            openai,
            "/v1/chat/completions",
            {"model": "gpt-4o", "max_completion_tokens": 7, "stream": True},
            RequestFacts(operation="chat", model="gpt-4o", stream=True, max_tokens=7),
        ),
        (
            openai,
            "/v1/responses",
            {"model": "gpt-5", "max_output_tokens": 8},
            RequestFacts(operation="chat", model="gpt-5", max_tokens=8),
        ),
        (openai, "/v1/embeddings", {"model": "e", "input": "x"}, RequestFacts(operation="embeddings", model="e")),
        (
            openai,
            "/openai/deployments/legal-4o/chat/completions",
            {"messages": []},
            RequestFacts(operation="chat", model="legal-4o"),
        ),
        (openai, "/responses", {"survey": 7}, None),
        (openai, "/completions", {"model": "bicycle", "order": 7}, None),
        (openai, "/images/edits", {"model": "sepia"}, None),
        (
            anthropic,
            "/v1/messages",
            {"model": "claude-x", "messages": [], "max_tokens": 9},
            RequestFacts(operation="chat", model="claude-x", max_tokens=9),
        ),
        (anthropic, "/v1/messages", {"to": "all"}, None),
        (
            gemini,
            "/v1beta/models/gemini-x:streamGenerateContent",
            {"contents": [], "generationConfig": {"maxOutputTokens": 5}},
            RequestFacts(operation="generate_content", model="gemini-x", stream=True, max_tokens=5),
        ),
        (gemini, "/v1beta/models/gemini-x:generateContent", {}, None),
        (
            gemini,
            "/v1beta/tunedModels/mine:generateContent",
            {"contents": []},
            RequestFacts(operation="generate_content", model="tunedModels/mine"),
        ),
        (gemini, "/v1beta/models/gemini-x:embedContent", {"contents": []}, None),
    ],
)
def test_request(dialect: Any, path: str, body: dict[str, Any], facts: RequestFacts | None) -> None:
    assert dialect.read_request(path, body) == facts


def read(dialect: Any, *documents: dict[str, Any]) -> Answer:
    answer = Answer()
    for document in documents:
        dialect.read(document, answer)
    return answer


def test_choice_that_is_none_does_not_cost_the_usage() -> None:
    answer = read(openai, {"choices": [None], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    assert answer.usage == Usage(input_tokens=3, output_tokens=4)


def test_openai_details_are_parts_of_the_totals() -> None:
    answer = read(
        openai,
        {
            "id": "chatcmpl-1",
            "model": "gpt-4o-2024-08-06",
            "service_tier": "flex",
            "choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": 1000,
                "completion_tokens": 300,
                "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 50, "cache_write_tokens": 20},
                "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 10},
            },
        },
    )
    assert answer.usage == Usage(
        input_tokens=1000,
        output_tokens=300,
        cache_read_input_tokens=600,
        cache_write_input_tokens=20,
        reasoning_output_tokens=200,
        audio_input_tokens=50,
        audio_output_tokens=10,
    )
    assert (answer.id, answer.model, answer.service_tier) == ("chatcmpl-1", "gpt-4o-2024-08-06", "flex")
    assert (answer.finish_reasons, answer.text) == (["stop"], ["Yes."])
    assert answer.usage_is_final


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
def test_openai_responses_end_with_usage(kind: str) -> None:
    details = {"reason": "max_output_tokens"} if kind == "incomplete" else None
    answer = read(
        openai,
        {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5", "status": "in_progress"}},
        {"type": "response.output_text.delta", "delta": "Ye"},
        {"type": "response.output_text.delta", "delta": "s."},
        {
            "type": f"response.{kind}",
            "response": {
                "id": "resp_1",
                "status": kind,
                "incomplete_details": details,
                "error": {"code": "server_error"} if kind == "failed" else None,
                "output": [{"content": [{"type": "output_text", "text": "Yes."}]}],
                "usage": {"input_tokens": 9, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 2}},
            },
        },
    )
    assert answer.usage == Usage(input_tokens=9, output_tokens=4, reasoning_output_tokens=2)
    assert answer.finish_reasons == ["max_output_tokens" if details else kind]
    assert "".join(answer.text) == "Yes."
    assert answer.error == ("server_error" if kind == "failed" else None)


def test_openai_usage_so_far_is_not_final() -> None:
    part = {"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    assert not read(openai, part).usage_is_final
    assert read(openai, part, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}).usage_is_final


def test_anthropic_input_includes_the_cache() -> None:
    answer = read(
        anthropic,
        {
            "type": "message",
            "id": "msg_1",
            "model": "claude-opus-4-5",
            "content": [{"type": "text", "text": "Yes."}],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 60,
                "cache_read_input_tokens": 40,
                "cache_creation_input_tokens": 10,
                "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3},
                "output_tokens": 20,
            },
        },
    )
    assert answer.usage == Usage(
        input_tokens=110,
        output_tokens=20,
        cache_read_input_tokens=40,
        cache_write_input_tokens=10,
        cache_write_1h_input_tokens=3,
    )


def test_anthropic_deltas_are_cumulative() -> None:
    begun = {"usage": {"input_tokens": 60, "cache_read_input_tokens": 40, "output_tokens": 1}, "id": "m", "model": "c"}
    started = read(anthropic, {"type": "message_start", "message": begun})
    assert not started.usage_is_final
    answer = read(
        anthropic,
        {"type": "message_start", "message": begun},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Yes"}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}},
    )
    assert answer.usage == Usage(input_tokens=100, output_tokens=20, cache_read_input_tokens=40)
    assert answer.usage_is_final
    assert answer.finish_reasons == ["end_turn"]


def test_gemini_output_includes_thoughts_and_input_includes_tools() -> None:
    usage = {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 11,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 12,
        "cachedContentTokenCount": 40,
        "totalTokenCount": 153,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 80}, {"modality": "AUDIO", "tokenCount": 20}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}, {"modality": "TEXT", "tokenCount": 35}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 30}],
    }
    chunk = {"candidates": [{"content": {"parts": [{"text": "Ye"}]}}], "usageMetadata": {"promptTokenCount": 100}}
    last = {
        "responseId": "r",
        "modelVersion": "gemini-2.5-pro-001",
        "candidates": [{"content": {"parts": [{"text": "s."}]}, "finishReason": "STOP"}],
        "usageMetadata": usage,
    }
    assert not read(gemini, chunk).usage_is_final
    answer = read(gemini, chunk, last)
    assert answer.usage == Usage(
        input_tokens=111,
        output_tokens=42,
        cache_read_input_tokens=40,
        reasoning_output_tokens=12,
        audio_input_tokens=20,
        audio_cache_read_input_tokens=5,
        image_output_tokens=30,
    )
    assert answer.usage_is_final
    assert "".join(answer.text) == "Yes."


@pytest.mark.parametrize("value", [None, -1, 1.5, True, "7"])
def test_counts_that_are_no_counts_are_zero(value: object) -> None:
    answer = read(openai, {"choices": [], "usage": {"prompt_tokens": value, "completion_tokens": 3}})
    assert answer.usage == Usage(output_tokens=3)


@pytest.mark.parametrize(
    ("told", "tier"),
    [
        ({"service_tier": "batch"}, "batch"),
        ({"service_tier": "priority"}, "priority"),
        ({"service_tier": "standard", "speed": "standard"}, "standard"),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({"service_tier": None}, None),
        ({}, None),
    ],
)
def test_anthropic_tells_how_it_served(told: dict[str, Any], tier: str | None) -> None:
    answer = Answer()
    anthropic.read({"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1, **told}}, answer)
    assert answer.service_tier == tier


def test_bedrocks_tier_goes_before_that_of_the_model_behind_it() -> None:
    answer = Answer()
    bedrock.read({"serviceTier": {"type": "flex"}}, answer)  # from the headers
    bedrock.read({"type": "message", "usage": {"input_tokens": 1, "service_tier": "standard"}}, answer)
    assert (answer.service_tier, answer.usage) == ("flex", Usage(input_tokens=1))
