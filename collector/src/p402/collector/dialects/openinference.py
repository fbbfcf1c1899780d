"""OpenInference (Arize): ``openinference.span.kind`` says what a span is, and only LLM and EMBEDDING call a model.

Source: openinference-semantic-conventions 0.1. It has no attributes for the provider's response id and service tier;
``output.value``, the raw answer, is looked at for them. Nothing else of the content is read.
"""

from __future__ import annotations

import re

from p402.collector.dialects import reading
from p402.collector.pipeline.records import ModelCall, NotCharged, SkipReason, SpanRecord

__all__ = ["read"]

_OPERATIONS = {"LLM": "chat", "EMBEDDING": "embeddings"}

_USAGE: reading.Names = {
    "input_tokens": ("llm.token_count.prompt",),
    "output_tokens": ("llm.token_count.completion",),
    "cache_read_input_tokens": (
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
    ),
    "cache_write_input_tokens": ("llm.token_count.prompt_details.cache_write",),
    "reasoning_output_tokens": ("llm.token_count.completion_details.reasoning",),
    "audio_input_tokens": ("llm.token_count.prompt_details.audio",),
    "audio_output_tokens": ("llm.token_count.completion_details.audio",),
}

_ID_FIRST = re.compile(r'\{\s*"id"\s*:\s*"([\w.:-]{1,200})"', re.ASCII)
_TIER = re.compile(r'(?<!\\)"service_tier"\s{0,8}:\s{0,8}"(\w{1,64})"', re.ASCII)
"""As a field of the answer: inside a text in it, quotes are escaped."""


def read(span: SpanRecord) -> ModelCall | NotCharged:
    """Read a span as a model call, or say why it is none."""
    found = span.attributes
    operation = _OPERATIONS.get(str(found.get("openinference.span.kind")).upper())
    if operation is None or reading.is_other_operation(found):
        return NotCharged(span, SkipReason.NOT_INFERENCE)
    if not reading.has_totals(found, _USAGE):
        return reading.without_usage(span)
    answer = found.get("output.value")
    identified = _ID_FIRST.match(answer) if isinstance(answer, str) else None
    served = _TIER.search(answer) if isinstance(answer, str) else None
    return reading.model_call(
        span,
        provider=reading.text(found, "llm.provider", "llm.system"),
        operation=operation,
        request_model=reading.text(found, "llm.request.model_name", "llm.model_name", "embedding.model_name"),
        response_model=reading.text(found, "llm.response.model_name", "llm.model_name", "embedding.model_name"),
        response_id=identified.group(1) if identified else None,
        used=reading.including_cached(reading.usage(found, _USAGE)),
        tier=served.group(1) if served else None,
    )
