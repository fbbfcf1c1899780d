"""Gemini's wire format: generateContent, and streamGenerateContent with ``alt=sse``.

Thoughts are counted beside the candidates, not among them; the cached content is part of the prompt. A reply cannot
say what it wrote to a cache: Gemini caches content in calls of their own.
Sources: https://ai.google.dev/api/generate-content and the types of the ``google-genai`` SDK. One thing is simpler
than there: a missing or refused key is always answered 401 (Google answers 403 and 400).
"""

from __future__ import annotations

from p402.collector.demo.providers.script import ProviderCall, Reply, output_limit, pieces
from p402.collector.demo.providers.wire import JSON, Api, Endpoint, Event

__all__ = ["API", "error", "generated_chunks", "generated_content"]


def generated_content(call: ProviderCall, reply: Reply, number: int) -> JSON:
    """Answer ``POST /v1beta/models/{model}:generateContent``."""
    visible = reply.output_tokens - reply.reasoning_tokens
    return _content(call, reply.text, number, _usage(reply, visible), _finish_reason(call, reply))


def generated_chunks(call: ProviderCall, reply: Reply, number: int) -> list[Event]:
    """Stream the same; every chunk carries the usage so far, so the last one has it all."""
    texts = pieces(reply.text)
    visible = reply.output_tokens - reply.reasoning_tokens
    return [
        Event(
            _content(
                call,
                text,
                number,
                _usage(reply, visible * count // len(texts)),
                _finish_reason(call, reply) if count == len(texts) else None,
            )
        )
        for count, text in enumerate(texts, start=1)
    ]


def error(status: int, message: str) -> JSON:
    """Write an error in Google's shape (https://google.aip.dev/193)."""
    return {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}}


_GENERATE = Endpoint(generated_content)
_STREAM = Endpoint(generated_content, generated_chunks)
API = Api(
    provider="gcp.gemini",
    endpoints={
        "/v1/models/{model}:generateContent": _GENERATE,
        "/v1/models/{model}:streamGenerateContent": _STREAM,
        "/v1beta/models/{model}:generateContent": _GENERATE,
        "/v1beta/models/{model}:streamGenerateContent": _STREAM,
    },
    keys=(("x-goog-api-key", ""), ("authorization", "Bearer ")),
    error=error,
)

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _finish_reason(call: ProviderCall, reply: Reply) -> str:
    limit = output_limit(call)
    return "MAX_TOKENS" if limit is not None and reply.output_tokens >= limit else "STOP"


def _content(call: ProviderCall, text: str, number: int, usage: JSON, finish_reason: str | None) -> JSON:
    candidate: JSON = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish_reason:
        candidate["finishReason"] = finish_reason
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": call.model,
        "responseId": f"resp-{number:012d}",
    }


def _usage(reply: Reply, candidates: int) -> JSON:
    usage: JSON = {
        "promptTokenCount": reply.input_tokens,
        "candidatesTokenCount": candidates,
        "totalTokenCount": reply.input_tokens + candidates + reply.reasoning_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": reply.input_tokens}],
    }
    if reply.reasoning_tokens:
        usage["thoughtsTokenCount"] = reply.reasoning_tokens
    if reply.cache_read_tokens:
        usage["cachedContentTokenCount"] = reply.cache_read_tokens
        usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": reply.cache_read_tokens}]
    return usage
