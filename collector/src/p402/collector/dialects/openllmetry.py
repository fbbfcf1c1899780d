"""OpenLLMetry (Traceloop) before it took over OpenTelemetry's names: ``llm.request.type`` says that a model was called.

Source: opentelemetry-semantic-conventions-ai 0.4–0.5. Providers are capitalised ("OpenAI"), and counts have the names of
OpenAI's API. Newer versions write ``gen_ai.operation.name`` and are read as OpenTelemetry's own.
"""

from __future__ import annotations

from p402.collector.dialects import genai_semconv, reading
from p402.collector.pipeline.records import ModelCall, NotCharged, SkipReason, SpanRecord
from p402.vocabulary import attributes

__all__ = ["read"]

_OPERATIONS = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings", "rerank": "rerank"}

_USAGE: reading.Names = {
    **genai_semconv.USAGE,
    "input_tokens": (*genai_semconv.USAGE["input_tokens"], "llm.usage.prompt_tokens"),
    "output_tokens": (*genai_semconv.USAGE["output_tokens"], "llm.usage.completion_tokens"),
    "reasoning_output_tokens": (*genai_semconv.USAGE["reasoning_output_tokens"], "llm.usage.reasoning_tokens"),
}


def read(span: SpanRecord) -> ModelCall | NotCharged:
    """Read a span as a model call, or say why it is none."""
    found = span.attributes
    operation = _OPERATIONS.get(str(found.get("llm.request.type")))
    if operation is None or reading.is_other_operation(found):
        return NotCharged(span, SkipReason.NOT_INFERENCE)
    if not reading.has_totals(found, _USAGE):
        return reading.without_usage(span)
    return reading.model_call(
        span,
        provider=reading.text(found, attributes.GEN_AI_PROVIDER_NAME, "gen_ai.system", "llm.vendor"),
        operation=operation,
        request_model=reading.text(found, attributes.GEN_AI_REQUEST_MODEL, "llm.request.model"),
        response_model=reading.text(found, attributes.GEN_AI_RESPONSE_MODEL, "llm.response.model"),
        response_id=found.get(attributes.GEN_AI_RESPONSE_ID),
        used=reading.including_cached(reading.usage(found, _USAGE)),
        tier=reading.text(found, *genai_semconv.SERVICE_TIER),
    )
