"""Tells whether another instrumentation has already opened a span for the very call that ours is for.

SDK instrumentations work above HTTP, so their span is the current one when ours starts. Ours is kept, since it has the
usage of streams and the attempt; it names the other's scope, and the collector charges one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, SpanKind

from p402.vocabulary.attributes import GEN_AI_OPERATION_NAME

__all__ = ["outer_span_scope", "trace_of"]

_INFERENCE = frozenset({"chat", "generate_content", "text_completion", "embeddings", "responses"})
_SPAN_KIND = "openinference.span.kind"  # OpenInference
_REQUEST_TYPE = "llm.request.type"  # OpenLLMetry


def outer_span_scope(current: Span) -> str | None:
    """Give the instrumentation scope of the current span if that span is for a call of a model, else None."""
    attributes: Mapping[str, Any] = getattr(current, "attributes", None) or {}
    if (
        attributes.get(GEN_AI_OPERATION_NAME) in _INFERENCE
        or attributes.get(_SPAN_KIND) in {"LLM", "EMBEDDING"}
        or _REQUEST_TYPE in attributes
    ):
        scope = getattr(current, "instrumentation_scope", None)
        return getattr(scope, "name", None) or "unknown"
    return None


def trace_of(current: Span) -> int:
    """Give the trace in which attempts at one call meet; 0 if there is none.

    A span of HTTP that has no parent, such as the aiohttp instrumentation's, is around one attempt only.
    """
    of_one_attempt = (
        getattr(current, "kind", None) is SpanKind.CLIENT
        and getattr(current, "parent", None) is None
        and outer_span_scope(current) is None
    )
    return 0 if of_one_attempt else current.get_span_context().trace_id
