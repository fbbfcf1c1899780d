"""The bound of a request's input is never below what a provider counts, and tells what has none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p402.decisions import Ability
from p402.instrumentation import estimate
from p402.instrumentation.feedback.bounds import IMAGE_TOKENS, exact_text, read_input
from p402.instrumentation.feedback.question import About, question_of
from p402.instrumentation.providers import RequestFacts, recognise
from p402.vocabulary import Attribution

BASE64 = "A" * 400_000


@pytest.fixture(autouse=True, scope="module")
def _tokenizers() -> None:
    """Other tests of this process may have found none."""
    estimate._load("o200k_base")


def count(text: str) -> int:
    counter = estimate.exact_counter("gpt-4o")
    assert counter is not None
    return counter(text)


def chat(*content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": list(content)}], **more}


def tokens(body: dict[str, Any], provider: str = "openai", model: str = "gpt-4o") -> int | None:
    return read_input(provider, model, body, json.dumps(body, ensure_ascii=False).encode()).tokens


@settings(deadline=None)
@given(
    texts=st.lists(st.text(max_size=200), min_size=1, max_size=6),
    ascii_only=st.booleans(),
)
def test_it_is_no_less_than_the_tokens_and_what_frames_them(texts: list[str], ascii_only: bool) -> None:  # noqa: FBT001
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text} for text in texts]}
    raw = json.dumps(body, ensure_ascii=ascii_only, separators=(",", ":")).encode(errors="replace")
    counted = sum(count(text) + 4 for text in texts) + 3  # as OpenAI counts messages
    found = read_input("openai", "gpt-4o", body, raw)
    exact = exact_text(body, raw, count)
    assert found.tokens is not None
    assert exact is not None
    assert counted <= exact
    assert counted <= found.tokens


TOOL = {
    "type": "function",
    "function": {"name": "search", "description": "Finds clauses.", "parameters": {"type": "object"}},
}


def test_tools_are_counted_with_their_schemas() -> None:
    plain, tooled = chat({"type": "text", "text": "Hm?"}), chat({"type": "text", "text": "Hm?"}, tools=[TOOL])
    assert (tokens(tooled) or 0) >= (tokens(plain) or 0) + len(json.dumps(TOOL)) + 64
    by_anthropic = read_input("anthropic", "claude", tooled, b"{}").tokens
    assert by_anthropic is not None
    assert by_anthropic >= 640


@pytest.mark.parametrize(
    ("part", "ability", "most"),
    [
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}}, Ability.VISION, IMAGE_TOKENS),
        ({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}, Ability.VISION, IMAGE_TOKENS),
        ({"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}"}, Ability.VISION, IMAGE_TOKENS),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
            Ability.VISION,
            IMAGE_TOKENS,
        ),
        ({"inlineData": {"mimeType": "image/png", "data": BASE64}}, Ability.VISION, IMAGE_TOKENS),
        ({"inline_data": {"mime_type": "audio/wav", "data": BASE64}}, Ability.AUDIO, len(BASE64) // 16 + 1),
        ({"image": {"format": "png", "source": {"bytes": BASE64}}}, Ability.VISION, IMAGE_TOKENS),
        (
            {"type": "input_audio", "input_audio": {"format": "mp3", "data": BASE64}},
            Ability.AUDIO,
            len(BASE64) // 16 + 1,
        ),
    ],
)
def test_media_are_counted_by_the_item_or_by_their_length_and_not_by_their_bytes(
    part: dict[str, Any], ability: Ability, most: int
) -> None:
    body = chat(part)
    found = read_input("openai", "gpt-4o", body, json.dumps(body).encode())
    assert found.tokens is not None
    assert most <= found.tokens <= most + 400
    assert found.needs == {ability}
    assert found.media


@pytest.mark.parametrize(
    "body",
    [
        {"previous_response_id": "resp_1", "input": "On."},
        {"conversation": "conv_1", "input": "On."},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"cachedContent": "cachedContents/1", "contents": []},
        {"input": "News?", "tools": [{"type": "web_search"}]},
        {"input": "What?", "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
        {"messages": [], "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"messages": [], "mcp_servers": [{"url": "https://x.test"}]},
        {"contents": [], "tools": [{"googleSearch": {}}]},
        {"messages": [], "web_search_options": {}, "plugins": [{"id": "web"}]},
        chat({"type": "file", "file": {"file_id": "file-1"}}),
        chat({"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}}),
        chat({"type": "document", "source": {"type": "base64", "data": BASE64}}),
        chat({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}}),
        chat({"type": "tool_result", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}),
    ],
)
def test_what_points_outside_of_the_request_has_no_bound(body: dict[str, Any]) -> None:
    assert tokens(body) is None


def test_tools_that_the_application_runs_have_a_bound() -> None:
    body = {"messages": [], "tools": [{"type": "text_editor_20250728", "name": "edit"}, TOOL]}
    assert 1_024 < (tokens(body, "anthropic") or 0) < 3_000
    assert tokens({"contents": [], "tools": [{"functionDeclarations": []}]}, "gcp.gemini") is not None


@pytest.mark.parametrize(("provider", "model"), [("perplexity", "sonar"), ("openai", "gpt-4o-search-preview")])
def test_models_that_search_by_themselves_have_no_bound(provider: str, model: str) -> None:
    assert tokens({"messages": []}, provider, model) is None


def asked(body: dict[str, Any], path: str = "/v1/chat/completions", host: str = "api.openai.com", **about: Any) -> Any:
    route = recognise(host, path)
    assert route is not None
    facts = route.dialect.read_request(path, body)
    assert isinstance(facts, RequestFacts)
    known = About(
        **{"provider": route.provider, "path": path, "attribution": Attribution(), "changeable": True, **about}
    )
    return question_of(known, facts, body, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("more", "needs"),
    [
        ({"tools": [TOOL]}, {Ability.TOOLS}),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {Ability.JSON}),
        *(({name: "low"}, {Ability.REASONING}) for name in ("reasoning_effort", "reasoning", "thinking", "think")),
        ({"generationConfig": {"responseModalities": ["IMAGE"]}}, {Ability.IMAGE_OUTPUT}),
        ({"cachedContent": "cachedContents/1"}, {Ability.CACHING}),
        ({"modalities": ["text", "audio"]}, {Ability.AUDIO}),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]},
            {Ability.CACHING},
        ),
    ],
)
def test_a_question_tells_what_the_call_needs(more: dict[str, Any], needs: set[Ability]) -> None:
    assert asked({"model": "gpt-4o", "messages": [], **more}).needs == needs


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": {"type": "json_object"}},
        {"text": {"format": {"type": "json_schema"}}},
        {"output_config": {"format": {"type": "json_schema"}}},
        {"output_format": {"type": "json_schema"}},
        {"format": "json"},
        {"generationConfig": {"responseSchema": {"type": "OBJECT"}}},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "search"}}},
    ],
)
def test_an_answer_in_a_required_shape_is_not_clamped(more: dict[str, Any]) -> None:
    assert not asked({"model": "gpt-4o", "messages": [], **more}).can_clamp
    assert asked({"model": "gpt-4o", "messages": []}).can_clamp


def test_limits_choices_and_tiers_are_read_in_every_dialect() -> None:
    one = asked({"model": "gpt-4o", "messages": [], "max_completion_tokens": 7, "n": 3, "service_tier": "flex"})
    assert (one.output_tokens, one.choices, one.service_tier) == (7, 3, "flex")
    standard = asked({"model": "gpt-4o", "messages": [], "service_tier": "auto"})
    assert (standard.output_tokens, standard.choices, standard.service_tier) == (None, 1, None)
    assert asked({"model": "gpt-4o", "messages": [], "service_tier": "flex"}).service_tier == "flex"
    assert asked({"model": "gpt-4o", "messages": [], "serviceTier": {"type": "priority"}}).service_tier == "priority"
    assert [asked({"model": "gpt-4o", "messages": [], name: 3}).choices for name in ("n", "best_of")] == [3, 3]
    gemini = {"contents": [], "generationConfig": {"maxOutputTokens": 9, "candidateCount": 2}}
    two = asked(gemini, "/v1beta/models/gemini-2.5-pro:generateContent", "generativelanguage.googleapis.com")
    assert (two.provider, two.output_tokens, two.choices) == ("gcp.gemini", 9, 2)
    fast = asked({"model": "claude-opus-4-6", "messages": [], "max_tokens": 5, "speed": "fast"}, "/v1/messages")
    assert (fast.output_tokens, fast.service_tier) == (5, "fast")


def test_what_cannot_be_changed_says_so() -> None:
    signed = asked({"model": "gpt-4o", "messages": []}, changeable=False)
    assert (signed.can_clamp, signed.can_change_model) == (False, False)
    path = "/v1/projects/p/locations/l/publishers/anthropic/models/claude-opus-4-5:streamRawPredict"
    vertex = asked({"messages": [], "max_tokens": 9}, path, "us-aiplatform.googleapis.com")
    assert (vertex.can_clamp, vertex.can_change_model) == (True, False)
    tuned = asked({"contents": []}, "/v1beta/tunedModels/mine:generateContent", "generativelanguage.googleapis.com")
    assert (tuned.can_clamp, tuned.can_change_model) == (True, False)


def test_gateways_take_any_providers_models() -> None:
    assert asked({"model": "openai/gpt-4o", "messages": []}, provider="litellm").any_provider
    assert not asked({"model": "gpt-4o", "messages": []}).any_provider
