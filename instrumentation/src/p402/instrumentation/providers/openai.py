"""OpenAI's dialect, and all the servers that speak it: chat, responses, embeddings, completions, sound and images.

Sources: https://platform.openai.com/docs/api-reference and the types of the ``openai`` SDK. OpenAI's totals include
their details, as ours do; where others speak the same differently, a comment says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from p402.instrumentation.providers.facts import Answer, RequestFacts, count, text_of
from p402.vocabulary import Usage

__all__ = ["PATH", "PROVIDER", "STREAMS", "asks_for_usage", "is_usage_event", "read", "read_request"]

PATH = re.compile(
    r"/(?:(?:chat/|fim/)?completions|responses|embeddings|images/(?:generations|edits)"
    r"|audio/(?:speech|transcriptions|translations)|publishers/mistralai/models/[^/:]+:(?:r|streamR)awPredict)/?$"
)
PROVIDER = "openai"
STREAMS = re.compile(r"/(?:chat/)?completions/?$")
"""Paths whose streams report usage only when asked."""


def read_request(path: str, body: Mapping[str, Any]) -> RequestFacts | None:
    """Read a request; one that has not what its operation needs is something else that happens to end like it."""
    model = text_of(body.get("model"))
    if model is None and (in_path := _IN_PATH.search(path)):
        model = in_path[1]
    operation, needed = _operation_at(path)
    if model is None or not needed.issubset(body):
        return None
    limit = count(body, "max_completion_tokens", "max_output_tokens", "max_tokens")
    return RequestFacts(
        operation=operation,
        model=model,
        stream=operation != "embeddings" and body.get("stream") in (True, "true"),  # a form has only texts
        max_tokens=limit or None,
        countable=operation != "generate_content",
    )


_IN_PATH = re.compile(
    r"/(?:deployments|mistralai/models)/([^/:]+)[/:]"
)  # at Azure the deployment, at Vertex AI the model


@lru_cache(maxsize=256)
def _operation_at(path: str) -> tuple[str, frozenset[str]]:
    """Give the operation that a path is for, and what its requests must have."""
    found = ((operation, frozenset(needed)) for end, operation, needed in _OPERATIONS if path.endswith(end))
    return next(found, ("chat", frozenset()))


_OPERATIONS: tuple[
    tuple[str, str, tuple[str, ...]], ...
] = (  # the conventions have no words of their own for sound and images
    ("/chat/completions", "chat", ()),
    ("/completions", "text_completion", ("prompt",)),
    ("/embeddings", "embeddings", ()),
    ("/images/generations", "generate_content", ("prompt",)),
    ("/images/edits", "generate_content", ("prompt",)),
    ("/audio/speech", "generate_content", ("input",)),
    ("/audio/transcriptions", "generate_content", ()),
    ("/audio/translations", "generate_content", ()),
)


def read(document: Mapping[str, Any], answer: Answer) -> None:
    """Read a body or an event of any of these operations."""
    kind = document.get("type")
    if isinstance(kind, str) and kind.startswith("response."):
        _read_response_event(kind, document, answer)
    elif document.get("object") == "response":
        _read_response(document, answer)
    else:
        answer.failed(document if kind == "error" else document.get("error"), "code", "type")
        _read_completion(document, answer)
        if document.get("b64_json") or isinstance(document.get("data"), list):
            _read_image(document, answer)


def asks_for_usage(body: Mapping[str, Any]) -> bool:
    """Tell whether a streamed chat completion was asked to report its usage."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def is_usage_event(document: Mapping[str, Any]) -> bool:
    """Tell whether an event of a chat completion carries the usage and nothing else."""
    return document.get("choices") == [] and isinstance(document.get("usage"), dict)


def _read_completion(document: Mapping[str, Any], answer: Answer) -> None:
    answer.identify(document.get("id"), document.get("model"))
    answer.service_tier = text_of(document.get("service_tier")) or answer.service_tier
    choices = document.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        answer.finished(choice.get("finish_reason"))
        answer.add_text(choice.get("text"))
        _read_message(choice.get("delta") or choice.get("message") or {}, answer)
    usage = document.get("usage") or (document.get("x_groq") or {}).get(
        "usage"
    )  # the latter at the end of Groq's streams
    if isinstance(usage, dict) and (read := _usage(usage)):
        answer.usage = read
        # Some compatible servers report the usage so far on every chunk.
        answer.usage_is_final = not choices or bool(answer.finish_reasons)


def _read_message(message: Mapping[str, Any], answer: Answer) -> None:
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        answer.add_text(message.get(name))
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        answer.add_text(function.get("name"))
        answer.add_text(function.get("arguments"))


def _read_response_event(kind: str, event: Mapping[str, Any], answer: Answer) -> None:
    if kind.endswith(".delta"):
        answer.add_text(event.get("delta"))
    response = event.get("response")
    if isinstance(response, dict):
        _read_response(response, answer, with_text=not answer.pieces)


def _read_response(response: Mapping[str, Any], answer: Answer, *, with_text: bool = True) -> None:
    answer.identify(response.get("id"), response.get("model"))
    answer.service_tier = text_of(response.get("service_tier")) or answer.service_tier
    answer.failed(response.get("error"), "code", "type")
    status = response.get("status")
    answer.deferred = response.get("background") is True and status in {"queued", "in_progress"}
    if status in _FINAL_STATUSES:
        reason = (response.get("incomplete_details") or {}).get("reason")
        answer.finished(reason or status)
    usage = response.get("usage")
    if isinstance(usage, dict) and (read := _usage(usage)):
        answer.usage = read
        answer.usage_is_final = True
    if with_text:
        for item in response.get("output") or ():
            for part in item.get("content") or ():
                answer.add_text(part.get("text"))
            answer.add_text(item.get("arguments"))


_FINAL_STATUSES = frozenset({"completed", "incomplete", "failed", "cancelled"})


def _read_image(document: Mapping[str, Any], answer: Answer) -> None:
    """Count what came out as an image, where the usage does not say so itself."""
    usage, counts = answer.usage, document.get("usage")
    is_image = document.get("b64_json") or any("b64_json" in item or "url" in item for item in document["data"])
    if usage and is_image and isinstance(counts, dict) and not counts.get("output_tokens_details"):
        answer.usage = usage + Usage(image_output_tokens=usage.output_tokens - usage.image_output_tokens)


def _usage(usage: Mapping[str, Any]) -> Usage | None:
    """Read counts of tokens; None if it is something else that is counted, as the seconds of ``whisper-1``."""
    if _TOTALS.isdisjoint(usage):
        return None
    input_tokens = count(usage, "prompt_tokens", "input_tokens")
    output_tokens = count(usage, "completion_tokens", "output_tokens")
    told = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    if not _ONLY_TOTALS.issuperset(usage):
        told = _with_details(usage, told)
    return told


def _with_details(usage: Mapping[str, Any], told: Usage) -> Usage:
    given = _details(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    made = _details(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
    output_tokens = told.output_tokens
    reasoning = count(made, "reasoning_tokens")
    # xAI, and Gemini behind this dialect, count reasoning beside the output; then only the total includes it.
    if reasoning > output_tokens or count(usage, "total_tokens") == told.input_tokens + output_tokens + reasoning:
        output_tokens += reasoning
    return Usage(
        input_tokens=told.input_tokens,
        output_tokens=output_tokens,
        # DeepSeek, and Moonshot, give this without details.
        cache_read_input_tokens=count(given, "cached_tokens")
        or count(usage, "prompt_cache_hit_tokens", "cached_tokens"),
        cache_write_input_tokens=count(given, "cache_write_tokens"),
        reasoning_output_tokens=reasoning,
        audio_input_tokens=count(given, "audio_tokens"),
        audio_output_tokens=count(made, "audio_tokens"),
        image_input_tokens=count(given, "image_tokens"),
        image_output_tokens=count(made, "image_tokens"),
    )


_ONLY_TOTALS = frozenset({"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"})
_TOTALS = frozenset({"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"})


def _details(usage: Mapping[str, Any], *names: str) -> object:
    return next((usage[name] for name in names if usage.get(name)), None)
