"""Tells whether another instrumentation has already opened a span for the very call that ours is for.

SDK instrumentations work above HTTP, so their span is the current one when ours starts. Ours is kept, since it has the
usage of streams and the attempt; it names the other's scope, and the collector charges one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span

from p402.vocabulary.attributes import GEN_AI_OPERATION_NAME

__all__ = ["outer_span_scope"]

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
