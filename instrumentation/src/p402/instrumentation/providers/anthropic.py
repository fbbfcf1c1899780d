"""Anthropic's dialect: messages, at once and in a stream; at Vertex AI too, where the model is in the path.

Sources: https://docs.anthropic.com/en/api/messages and .../claude-on-vertex-ai. Anthropic counts ``input_tokens`` *without* what the cache read
and wrote; our totals include both, as OpenTelemetry's conventions ask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from p402.instrumentation.providers.facts import Answer, RequestFacts, count, text_of
from p402.vocabulary import Usage

__all__ = ["PATH", "PROVIDER", "read", "read_request"]

PATH = re.compile(r"/v1/messages/?$|/publishers/anthropic/models/[^/:]+:(?:r|streamR)awPredict$")
PROVIDER = "anthropic"
_IN_PATH = re.compile(r"/models/([^/:]+):")


def read_request(path: str, body: Mapping[str, Any]) -> RequestFacts | None:
    """Read a request to ``…/v1/messages`` or ``…/models/{model}:rawPredict`` (``:streamRawPredict``)."""
    in_path = _IN_PATH.search(path)
    model = in_path[1] if in_path else text_of(body.get("model"))
    if model is None or not isinstance(body.get("messages"), list):
        return None
    limit = count(body, "max_tokens")
    return RequestFacts(operation="chat", model=model, stream=body.get("stream") is True, max_tokens=limit or None)


def read(document: Mapping[str, Any], answer: Answer) -> None:
    """Read a message, or one event of its stream."""
    kind = document.get("type")
    if kind == "message":
        _read_message(document, answer)
        answer.usage_is_final = answer.usage is not None
    elif kind == "message_start":
        _read_message(document["message"], answer)
    elif kind == "content_block_start":
        _read_block(document.get("content_block") or {}, answer)
    elif kind == "content_block_delta":
        delta = document.get("delta") or {}
        for name in ("text", "thinking", "partial_json"):
            answer.add_text(delta.get(name))
    elif kind == "error":
        answer.failed(document.get("error"), "type")
    elif kind == "message_delta":
        answer.finished((document.get("delta") or {}).get("stop_reason"))
        _add_counts(document.get("usage"), answer)
        answer.usage_is_final = answer.usage is not None


def _read_message(message: Mapping[str, Any], answer: Answer) -> None:
    answer.identify(message.get("id"), message.get("model"))
    answer.finished(message.get("stop_reason"))
    for block in message.get("content") or ():
        _read_block(block, answer)
    _add_counts(message.get("usage"), answer)


def _read_block(block: Mapping[str, Any], answer: Answer) -> None:
    for name in ("text", "thinking", "name"):
        answer.add_text(block.get(name))
    if block.get("input"):
        answer.add_text(str(block["input"]))


def _add_counts(usage: object, answer: Answer) -> None:
    """Counts in a stream are cumulative: what comes later overwrites, and what it leaves out stays."""
    if isinstance(usage, Mapping):
        answer.counts.update((name, value) for name, value in usage.items() if value is not None)
        answer.usage = _usage(answer.counts)
        fast = (
            answer.counts.get("speed") == "fast"
        )  # has its own price, as a tier has, and goes with the standard one only
        answer.service_tier = "fast" if fast else text_of(answer.counts.get("service_tier"))


def _usage(counts: Mapping[str, Any]) -> Usage:
    read_from_cache = count(counts, "cache_read_input_tokens")
    by_lifetime = counts.get("cache_creation")
    for_an_hour = count(by_lifetime, "ephemeral_1h_input_tokens")
    for_five_minutes = count(by_lifetime, "ephemeral_5m_input_tokens")
    written = max(count(counts, "cache_creation_input_tokens"), for_five_minutes + for_an_hour)
    return Usage(
        input_tokens=count(counts, "input_tokens") + read_from_cache + written,
        output_tokens=count(counts, "output_tokens"),
        cache_read_input_tokens=read_from_cache,
        cache_write_input_tokens=written,
        cache_write_1h_input_tokens=for_an_hour,
        reasoning_output_tokens=count(counts.get("output_tokens_details"), "thinking_tokens"),
    )
