"""Span → model call, whatever dialect it is written in (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from p402.collector.pipeline.records import ModelCall, NotCharged, SkipReason, SpanRecord

__all__ = ["Dialect", "normalise"]

Dialect = Callable[[SpanRecord], ModelCall | NotCharged]
"""Reads a span as a model call, or says why it is none."""


def normalise(span: SpanRecord, dialects: Sequence[Dialect]) -> ModelCall | NotCharged:
    """Read a span by the first dialect that recognises a model call in it; never one that any dialect calls a wrapper."""
    if not _is_wrapper(span.attributes):
        for read in dialects:
            call = read(span)
            if isinstance(call, ModelCall) or call.reason is not SkipReason.NOT_INFERENCE:
                return call
    return NotCharged(span, SkipReason.NOT_INFERENCE)


def _is_wrapper(found: Mapping[str, Any]) -> bool:
    """Tell whether a span says that it is an agent, a tool, a chain or the like.

    Such spans may repeat the usage of the calls inside them, in the words of any dialect.
    """
    if "traceloop.span.kind" in found:  # workflow, task, agent, tool; calls have none
        return True
    kind = found.get("openinference.span.kind")
    return kind is not None and str(kind).upper() not in {"LLM", "EMBEDDING"}
