"""Cohere's dialect: chat and embeddings of its API v2.

Sources: https://docs.cohere.com/reference/chat, .../chat-stream and .../embed. Billed units count, not the tokens
that went through the model, as OpenTelemetry's conventions ask: Cohere adds some of its own that it does not bill.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from p402.instrumentation.providers.facts import Answer, RequestFacts, count, text_of
from p402.vocabulary import Usage

__all__ = ["PATH", "PROVIDER", "read", "read_request"]

PATH = re.compile(r"/v2/(?:chat|embed)/?$")
PROVIDER = "cohere"


def read_request(path: str, body: Mapping[str, Any]) -> RequestFacts | None:
    """Read a request to ``/v2/chat`` or ``/v2/embed``."""
    model = text_of(body.get("model"))
    if model is None:
        return None
    if path.endswith("/embed"):
        return RequestFacts(operation="embeddings", model=model)
    limit = count(body, "max_tokens")
    return RequestFacts(operation="chat", model=model, stream=body.get("stream") is True, max_tokens=limit or None)


def read(document: Mapping[str, Any], answer: Answer) -> None:
    """Read a body, or one event of a stream; the usage is in the last, ``message-end``."""
    answer.identify(document.get("id"), None)
    delta = document.get("delta") or {}
    for part in (document, delta):
        answer.finished(part.get("finish_reason"))
        _read_message(part.get("message"), answer)
    answer.failed({"type": delta["error"]} if delta.get("error") else None, "type")
    usage = document.get("usage") or delta.get("usage") or document.get("meta")
    if isinstance(usage, Mapping) and isinstance(usage.get("billed_units"), Mapping):
        answer.usage = _usage(usage)
        answer.usage_is_final = True


def _read_message(message: object, answer: Answer) -> None:
    if not isinstance(message, Mapping):
        return
    answer.add_text(message.get("tool_plan"))
    content = message.get("content")
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, Mapping):
            answer.add_text(block.get("text"))
            answer.add_text(block.get("thinking"))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else [calls]:
        if isinstance(call, Mapping):
            answer.add_text((call.get("function") or {}).get("name"))
            answer.add_text((call.get("function") or {}).get("arguments"))


def _usage(usage: Mapping[str, Any]) -> Usage:
    billed = usage["billed_units"]
    given = count(billed, "input_tokens")
    images = count(billed, "image_tokens")  # embeddings of images count them beside the text
    return Usage(
        input_tokens=given + images,
        output_tokens=count(billed, "output_tokens"),
        cache_read_input_tokens=min(count(usage, "cached_tokens"), given),
        image_input_tokens=images,
    )
