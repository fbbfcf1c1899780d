"""Claude Code's own traces: ``claude_code.llm_request`` is a call; ``.interaction``, ``.tool`` and the like are wrappers.

Source: Claude Code's monitoring documentation. Its ``input_tokens`` are Anthropic's: cached tokens are not in them.
"""

from __future__ import annotations

from dataclasses import replace

from p402.collector.dialects import reading
from p402.collector.pipeline.records import ModelCall, NotCharged, SkipReason, SpanRecord
from p402.vocabulary import attributes

__all__ = ["read"]

_USAGE: reading.Names = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_read_input_tokens": ("cache_read_tokens",),
    "cache_write_input_tokens": ("cache_creation_tokens",),
}


def read(span: SpanRecord) -> ModelCall | NotCharged:
    """Read a span as a model call, or say why it is none."""
    found = span.attributes
    if span.name != "claude_code.llm_request":
        return NotCharged(span, SkipReason.NOT_INFERENCE)
    if not reading.has_totals(found, _USAGE):
        return reading.without_usage(span)
    used = reading.usage(found, _USAGE)
    total = used.input_tokens + used.cache_read_input_tokens + used.cache_write_input_tokens
    model = reading.text(found, attributes.GEN_AI_REQUEST_MODEL, "model")
    return reading.model_call(
        span,
        provider="anthropic",
        operation="chat",
        request_model=model,
        response_model=reading.text(found, attributes.GEN_AI_RESPONSE_MODEL) or model,
        response_id=found.get(attributes.GEN_AI_RESPONSE_ID),
        used=replace(used, input_tokens=total),
        tier=found.get("speed"),
    )
