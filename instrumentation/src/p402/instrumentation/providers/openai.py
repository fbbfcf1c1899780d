"""OpenAI's dialect: chat completions, responses and embeddings, and all the servers that speak it.

Sources: https://platform.openai.com/docs/api-reference and the types of the ``openai`` SDK. OpenAI's totals include
their details, as ours do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from p402.instrumentation.providers.facts import Answer, RequestFacts, count, text_of
from p402.vocabulary import Usage

__all__ = ["asks_for_usage", "is_usage_event", "read", "read_request"]

_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")  # Azure OpenAI names the model's deployment in the path


def read_request(path: str, body: Mapping[str, Any]) -> RequestFacts | None:
    """Read a request to ``…/chat/completions``, ``…/responses`` or ``…/embeddings``."""
    deployment = _DEPLOYMENT.search(path)
    model = text_of(body.get("model")) or (deployment[1] if deployment else None)
    if model is None:
        return None
    if path.endswith("/embeddings"):
        return RequestFacts(operation="embeddings", model=model)
    limit = count(body, "max_completion_tokens", "max_output_tokens", "max_tokens")
    return RequestFacts(operation="chat", model=model, stream=body.get("stream") is True, max_tokens=limit or None)


def read(document: Mapping[str, Any], answer: Answer) -> None:
    """Read a body or an event of any of the three operations."""
    kind = document.get("type")
    if isinstance(kind, str) and kind.startswith("response."):
        _read_response_event(kind, document, answer)
    elif document.get("object") == "response":
        _read_response(document, answer)
    else:
        answer.failed(document if kind == "error" else document.get("error"), "code", "type")
        _read_completion(document, answer)


def asks_for_usage(body: Mapping[str, Any]) -> bool:
    """Tell whether a streamed chat completion was asked to report its usage."""
    options = body.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True


def is_usage_event(document: Mapping[str, Any]) -> bool:
    """Tell whether an event of a chat completion carries the usage and nothing else."""
    return document.get("choices") == [] and isinstance(document.get("usage"), Mapping)


def _read_completion(document: Mapping[str, Any], answer: Answer) -> None:
    answer.identify(document.get("id"), document.get("model"))
    answer.service_tier = text_of(document.get("service_tier")) or answer.service_tier
    choices = document.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        answer.finished(choice.get("finish_reason"))
        _read_message(choice.get("delta") or choice.get("message") or {}, answer)
    usage = document.get("usage")
    if isinstance(usage, Mapping):
        answer.usage = _usage(usage)
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
    if isinstance(response, Mapping):
        _read_response(response, answer, with_text=not answer.text)


def _read_response(response: Mapping[str, Any], answer: Answer, *, with_text: bool = True) -> None:
    answer.identify(response.get("id"), response.get("model"))
    answer.service_tier = text_of(response.get("service_tier")) or answer.service_tier
    answer.failed(response.get("error"), "code", "type")
    status = response.get("status")
    if status in _FINAL_STATUSES:
        reason = (response.get("incomplete_details") or {}).get("reason")
        answer.finished(reason or status)
    usage = response.get("usage")
    if isinstance(usage, Mapping):
        answer.usage = _usage(usage)
        answer.usage_is_final = True
    if with_text:
        for item in response.get("output") or ():
            for part in item.get("content") or ():
                answer.add_text(part.get("text"))
            answer.add_text(item.get("arguments"))


_FINAL_STATUSES = frozenset({"completed", "incomplete", "failed", "cancelled"})


def _usage(usage: Mapping[str, Any]) -> Usage:
    given = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    made = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    return Usage(
        input_tokens=count(usage, "prompt_tokens", "input_tokens"),
        output_tokens=count(usage, "completion_tokens", "output_tokens"),
        cache_read_input_tokens=count(given, "cached_tokens"),
        cache_write_input_tokens=count(given, "cache_write_tokens"),
        reasoning_output_tokens=count(made, "reasoning_tokens"),
        audio_input_tokens=count(given, "audio_tokens"),
        audio_output_tokens=count(made, "audio_tokens"),
        image_input_tokens=count(given, "image_tokens"),
        image_output_tokens=count(made, "image_tokens"),
    )
