"""The mock providers' answers are held, strictly, against the types of the providers' own SDKs."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import anthropic.types
import openai.types
import openai.types.chat
import openai.types.responses
import pydantic
import pytest
from google.genai import types as gemini_types

from p402.collector.demo.providers import (
    ProviderCall,
    Reply,
    ToolCall,
    gemini,
)
from p402.collector.demo.providers import (
    anthropic as anthropic_wire,
)
from p402.collector.demo.providers import (
    openai as openai_wire,
)
from p402.collector.demo.providers.wire import Event

REPLY = Reply(
    "Clause 7 limits liability to the fees paid.",
    input_tokens=120,
    output_tokens=30,
    cache_read_tokens=40,
    cache_write_tokens=20,
    cache_write_1h_tokens=5,
    reasoning_tokens=7,
)

TOOL_REPLY = replace(REPLY, tool=ToolCall("look_up", '{"clause": 7}'))


def call(provider: str, model: str, **body: Any) -> ProviderCall:
    return ProviderCall(provider, "/", model, stream=False, body={"model": model, **body}, headers={})


def unknown_fields(value: object, path: str = "$") -> Iterator[str]:
    if isinstance(value, pydantic.BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from unknown_fields(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from unknown_fields(item, f"{path}[{index}]")


@functools.cache
def adapter_of(kind: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(kind)


def payloads(events: list[Event]) -> list[Any]:
    return [event.data for event in events]


def accept(kind: Any, data: object) -> Any:
    """Parse strictly as the SDK's type; the type must know every field and write the same JSON again."""
    adapter = adapter_of(kind)
    value = adapter.validate_json(json.dumps(data), strict=True)
    assert list(unknown_fields(value)) == []
    assert adapter.dump_python(value, mode="json", by_alias=True, exclude_unset=True, warnings="error") == data
    return value


GPT = call("openai", "gpt-4o", messages=[{"role": "user", "content": "Review this."}])
GPT_WITH_USAGE = call("openai", "gpt-4o", stream_options={"include_usage": True})
GPT_CUT = call("openai", "gpt-4o", max_completion_tokens=30, max_output_tokens=30, service_tier="flex")
CLAUDE = call("anthropic", "claude-opus-4-5", max_tokens=1_000)
CLAUDE_CUT = call("anthropic", "claude-opus-4-5", max_tokens=30)
FLASH = call("gcp.gemini", "gemini-2.5-flash")
FLASH_CUT = call("gcp.gemini", "gemini-2.5-flash", generationConfig={"maxOutputTokens": 30})
EMBED = call("openai", "text-embedding-3-small", input=["a", "b"], encoding_format="float", dimensions=4)

CHUNK = openai.types.chat.ChatCompletionChunk
RESPONSE_EVENT = openai.types.responses.ResponseStreamEvent
CLAUDE_EVENT = anthropic.types.RawMessageStreamEvent
GENERATED = gemini_types.GenerateContentResponse

ANSWERS: list[tuple[Any, dict[str, Any]]] = [
    *((openai.types.chat.ChatCompletion, openai_wire.chat_completion(c, REPLY, 1)) for c in (GPT, GPT_CUT)),
    *((openai.types.responses.Response, openai_wire.response(c, REPLY, 1)) for c in (GPT, GPT_CUT)),
    (openai.types.chat.ChatCompletion, openai_wire.chat_completion(GPT, TOOL_REPLY, 1)),
    (openai.types.responses.Response, openai_wire.response(GPT, TOOL_REPLY, 1)),
    (openai.types.CreateEmbeddingResponse, openai_wire.embeddings(EMBED, REPLY, 1)),
    *((anthropic.types.Message, anthropic_wire.message(c, REPLY, 1)) for c in (CLAUDE, CLAUDE_CUT)),
    *((GENERATED, gemini.generated_content(c, REPLY, 1)) for c in (FLASH, FLASH_CUT)),
]
STREAMS: list[tuple[Any, list[Event]]] = [
    *((CHUNK, openai_wire.chat_completion_chunks(c, REPLY, 1)[:-1]) for c in (GPT, GPT_WITH_USAGE, GPT_CUT)),
    *((RESPONSE_EVENT, openai_wire.response_events(c, REPLY, 1)) for c in (GPT, GPT_CUT)),
    (CHUNK, openai_wire.chat_completion_chunks(GPT, TOOL_REPLY, 1)[:-1]),
    (RESPONSE_EVENT, openai_wire.response_events(GPT, TOOL_REPLY, 1)),
    *((CLAUDE_EVENT, anthropic_wire.message_events(c, REPLY, 1)) for c in (CLAUDE, CLAUDE_CUT)),
    *((GENERATED, gemini.generated_chunks(c, REPLY, 1)) for c in (FLASH, FLASH_CUT)),
]
PING = {"type": "ping"}  # the SDK drops it before its types come into play
SAMPLES = ANSWERS + [(kind, event.data) for kind, events in STREAMS for event in events if event.data != PING]


@pytest.mark.parametrize(("kind", "data"), SAMPLES)
def test_every_answer_and_every_event_is_of_the_sdk_s_type(kind: Any, data: dict[str, Any]) -> None:
    accept(kind, data)


@pytest.mark.parametrize(("kind", "data"), SAMPLES)
@pytest.mark.parametrize("break_field", ["rename", "retype"])
def test_any_wrong_field_would_be_noticed(kind: Any, data: dict[str, Any], break_field: str) -> None:
    for spoil in spoilers(data, break_field):
        spoilt = copy.deepcopy(data)
        spoil(spoilt)
        assert spoilt != data
        with pytest.raises((pydantic.ValidationError, AssertionError, AttributeError)):  # the last by Google's enums
            accept(kind, spoilt)


def spoilers(node: Any, how: str, path: tuple[str | int, ...] = ()) -> Iterator[Callable[[Any], None]]:
    """Give, for every field at any depth, a function that spoils it."""
    for key, child in list(node.items() if isinstance(node, dict) else enumerate(node)):
        if isinstance(child, dict | list):
            yield from spoilers(child, how, (*path, key))
        if isinstance(node, dict) and (how == "rename" or child is not None):

            def spoil(root: Any, key: str = key) -> None:
                for step in path:
                    root = root[step]
                value = root.pop(key)
                root[f"{key}_" if how == "rename" else key] = value if how == "rename" else {"not": ["this"]}

            yield spoil


def test_openai_counts_everything_in_the_totals() -> None:
    usage = accept(openai.types.chat.ChatCompletion, openai_wire.chat_completion(GPT, REPLY, 1)).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (120, 30, 150)
    assert usage.prompt_tokens_details.cached_tokens == 40
    assert usage.prompt_tokens_details.cache_write_tokens == 20
    assert usage.completion_tokens_details.reasoning_tokens == 7


def test_anthropic_counts_input_without_the_cache() -> None:
    usage = accept(anthropic.types.Message, anthropic_wire.message(CLAUDE, REPLY, 1)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (60, 40, 20)
    assert usage.cache_creation.ephemeral_5m_input_tokens == 15
    assert usage.cache_creation.ephemeral_1h_input_tokens == 5
    assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (30, 7)


def test_gemini_counts_thoughts_beside_the_candidates() -> None:
    usage = accept(GENERATED, gemini.generated_content(FLASH, REPLY, 1)).usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (120, 23, 7)
    assert (usage.cached_content_token_count, usage.total_token_count) == (40, 150)


def test_openai_stream_has_usage_in_a_last_chunk_without_choices_only_when_asked() -> None:
    silent = payloads(openai_wire.chat_completion_chunks(GPT, REPLY, 1))
    assert silent[-1] == "[DONE]"
    assert all(chunk["choices"] and "usage" not in chunk for chunk in silent[:-1])
    *others, last, done = payloads(openai_wire.chat_completion_chunks(GPT_WITH_USAGE, REPLY, 1))
    assert all(chunk["choices"] and chunk["usage"] is None for chunk in others)
    assert (last["choices"], last["usage"]["total_tokens"], done) == ([], 150, "[DONE]")
    assert [chunk["choices"][0]["finish_reason"] for chunk in others] == [None] * (len(others) - 1) + ["stop"]


def test_responses_stream_has_the_whole_sequence_of_events() -> None:
    events = payloads(openai_wire.response_events(GPT, REPLY, 1))
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"] == openai_wire.response(GPT, REPLY, 1)
    assert openai_wire.response_events(GPT_CUT, REPLY, 1)[-1].name == "response.incomplete"


def test_anthropic_stream_counts_input_first_and_output_cumulatively() -> None:
    events = anthropic_wire.message_events(CLAUDE, REPLY, 1)
    assert list(dict.fromkeys(event.name for event in events)) == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    data = payloads(events)
    assert [event.name for event in events] == [each["type"] for each in data]
    start, delta = data[0]["message"]["usage"], data[-2]["usage"]
    assert (start["input_tokens"], start["output_tokens"]) == (60, 1)
    assert (delta["input_tokens"], delta["output_tokens"]) == (60, 30)


def test_gemini_stream_s_counts_grow_to_those_of_the_plain_answer() -> None:
    chunks = payloads(gemini.generated_chunks(FLASH, REPLY, 1))
    counts = [chunk["usageMetadata"]["candidatesTokenCount"] for chunk in chunks]
    assert len(chunks) > 1
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert chunks[-1]["usageMetadata"] == gemini.generated_content(FLASH, REPLY, 1)["usageMetadata"]
    assert ["finishReason" in chunk["candidates"][0] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_reply_at_the_limit_says_that_it_was_cut() -> None:
    assert openai_wire.chat_completion(GPT_CUT, REPLY, 1)["choices"][0]["finish_reason"] == "length"
    assert openai_wire.response(GPT_CUT, REPLY, 1)["incomplete_details"] == {"reason": "max_output_tokens"}
    assert anthropic_wire.message(CLAUDE_CUT, REPLY, 1)["stop_reason"] == "max_tokens"
    assert gemini.generated_content(FLASH_CUT, REPLY, 1)["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_events_are_written_as_the_standard_says() -> None:
    first = anthropic_wire.message_events(CLAUDE, REPLY, 1)[2]
    assert first.encode() == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert openai_wire.chat_completion_chunks(GPT, REPLY, 1)[-1].encode() == b"data: [DONE]\n\n"


def test_errors_are_of_the_providers_shapes() -> None:
    accept(anthropic.types.ErrorResponse, anthropic_wire.error(401, "no"))
    accept(anthropic.types.ErrorResponse, anthropic_wire.error(529, "no"))
    accept(openai.types.shared.ErrorObject, openai_wire.error(429, "no")["error"])
    assert gemini.error(429, "no") == {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}
