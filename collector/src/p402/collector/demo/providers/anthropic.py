"""Anthropic's wire format: messages, at once and in a stream.

Input tokens are counted here *without* what the cache read or wrote, unlike everywhere else in P402 Meter.
Sources: https://docs.anthropic.com/en/api/messages, .../messages-streaming and the types of the ``anthropic`` SDK.
"""

from __future__ import annotations

from p402.collector.demo.providers.script import ProviderCall, Reply, output_limit, pieces
from p402.collector.demo.providers.wire import JSON, Api, Endpoint, Event

__all__ = ["API", "error", "message", "message_events"]


def message(call: ProviderCall, reply: Reply, number: int) -> JSON:
    """Answer ``POST /v1/messages``."""
    return {
        **_head(call, number),
        "content": [{"type": "text", "text": reply.text}],
        "stop_reason": _stop_reason(call, reply),
        "usage": _usage(reply, reply.output_tokens),
    }


def message_events(call: ProviderCall, reply: Reply, number: int) -> list[Event]:
    """Stream the same. The usage at the start counts the input; the one at the end is cumulative."""
    begun = {**_head(call, number), "content": [], "stop_reason": None}
    events: list[JSON] = [
        {"type": "message_start", "message": {**begun, "usage": _usage(reply, min(1, reply.output_tokens))}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in pieces(reply.text)
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": _stop_reason(call, reply), "stop_sequence": None},
            "usage": _counts(reply, reply.output_tokens),
        },
        {"type": "message_stop"},
    ]
    return [Event(event, event["type"]) for event in events]


def error(status: int, message: str) -> JSON:
    """Write an error in Anthropic's shape."""
    kind = _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004 - HTTP's server errors
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}


API = Api(
    provider="anthropic",
    endpoints={"/v1/messages": Endpoint(message, message_events)},
    keys=(("x-api-key", ""), ("authorization", "Bearer ")),
    error=error,
    request_id_header="request-id",
)

_ERRORS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def _stop_reason(call: ProviderCall, reply: Reply) -> str:
    limit = output_limit(call)
    return "max_tokens" if limit is not None and reply.output_tokens >= limit else "end_turn"


def _head(call: ProviderCall, number: int) -> JSON:
    return {
        "id": f"msg_{number:012d}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "stop_sequence": None,
    }


def _counts(reply: Reply, output_tokens: int) -> JSON:
    counts: JSON = {
        "input_tokens": reply.input_tokens - reply.cache_read_tokens - reply.cache_write_tokens,
        "cache_creation_input_tokens": reply.cache_write_tokens,
        "cache_read_input_tokens": reply.cache_read_tokens,
        "output_tokens": output_tokens,
    }
    if reply.reasoning_tokens and output_tokens == reply.output_tokens:
        counts["output_tokens_details"] = {"thinking_tokens": reply.reasoning_tokens}
    return counts


def _usage(reply: Reply, output_tokens: int) -> JSON:
    return {
        **_counts(reply, output_tokens),
        "cache_creation": {
            "ephemeral_5m_input_tokens": reply.cache_write_tokens - reply.cache_write_1h_tokens,
            "ephemeral_1h_input_tokens": reply.cache_write_1h_tokens,
        },
        "service_tier": "standard",
    }
