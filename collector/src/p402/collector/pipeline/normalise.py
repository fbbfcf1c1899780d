"""Span → model call, whatever dialect it is written in (pure)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from p402.collector.pipeline.records import ModelCall, NotCharged, SkipReason, SpanRecord

__all__ = ["Dialect", "normalise"]

Dialect = Callable[[SpanRecord], ModelCall | NotCharged]
"""Reads a span as a model call, or says why it is none."""


def normalise(span: SpanRecord, dialects: Sequence[Dialect]) -> ModelCall | NotCharged:
    """Read a span by the first dialect that recognises a model call in it."""
    for read in dialects:
        call = read(span)
        if isinstance(call, ModelCall) or call.reason is not SkipReason.NOT_INFERENCE:
            return call
    return NotCharged(span, SkipReason.NOT_INFERENCE)
