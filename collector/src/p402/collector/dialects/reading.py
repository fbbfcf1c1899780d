"""Reads single attributes, the same way for every dialect: counts, texts, ids, names of providers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from p402.collector.dialects.service_tier import service_tier
from p402.collector.pipeline.records import MAX_TOKENS, ModelCall, NotCharged, SkipReason, SpanRecord
from p402.vocabulary import MAX_ID_LENGTH, Usage, UsageSource, attributes

__all__ = [
    "INFERENCE_OPERATIONS",
    "Names",
    "has_totals",
    "including_cached",
    "is_other_operation",
    "model_call",
    "text",
    "usage",
    "without_usage",
]

INFERENCE_OPERATIONS = frozenset({"chat", "generate_content", "text_completion", "embeddings", "responses"})
"""Values of ``gen_ai.operation.name`` that are calls of a model; all others are wrappers, tools, or something new."""

Names = Mapping[str, tuple[str, ...]]
"""Field of `Usage` ← names of attributes, first present wins."""

_TOO_MANY_DIGITS = 20  # for 64 bits
_MOST_COMPLEX = 10

_BLOCK = "block"  # see p402.decisions.Verdict
_DAY_SECONDS = 86_400.0
_PROVIDERS = {  # what dialects and their older versions say, in lower case → gen_ai.provider.name
    "aws": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}


def model_call(
    span: SpanRecord,
    *,
    provider: str | None,
    operation: str,
    request_model: str | None,
    response_model: str | None,
    response_id: str | None,
    used: Usage,
    tier: object = None,
) -> ModelCall:
    """Make a model call of what a dialect read, with what we ourselves write on spans of any dialect.

    ``tier`` is how the provider served it, in whatever words.
    """
    found = span.attributes
    estimated = found.get(attributes.P402_USAGE_SOURCE) == UsageSource.ESTIMATED
    name = (provider or "unknown").lower()
    return ModelCall(
        span=span,
        provider=_PROVIDERS.get(name, name),
        operation=operation,
        request_model=request_model,
        response_model=response_model,
        response_id=_id(response_id),
        usage=used,
        usage_source=UsageSource.ESTIMATED if estimated else UsageSource.PROVIDER,
        request=_id(found.get(attributes.P402_REQUEST)) or f"{span.trace_id.hex()}-{span.span_id.hex()}",
        rationale=text(found, attributes.P402_DECISION_RATIONALE),
        task_type=text(found, attributes.P402_TASK_TYPE),
        complexity=_complexity(found.get(attributes.P402_COMPLEXITY)),
        data_class=text(found, attributes.P402_DATA_CLASS),
        service_tier=service_tier(tier),
        verdict=text(found, attributes.P402_DECISION_VERDICT),
        lease_id=_id(found.get(attributes.P402_LEASE)),
        original_model=text(found, attributes.P402_DECISION_ORIGINAL_MODEL),
        first_chunk_ms=_millis(found.get(attributes.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK)),
    )


def without_usage(span: SpanRecord) -> NotCharged:
    """Say why a model call that reports no usage is not charged."""
    if span.attributes.get(attributes.P402_DECISION_VERDICT) == _BLOCK:
        return NotCharged(span, SkipReason.REFUSED)
    failed = span.failed or attributes.ERROR_TYPE in span.attributes
    return NotCharged(span, SkipReason.FAILED if failed else SkipReason.NO_USAGE)


def is_other_operation(found: Mapping[str, Any]) -> bool:
    """Tell whether a span names an operation of the GenAI conventions that calls no model, such as ``invoke_agent``."""
    operation = found.get(attributes.GEN_AI_OPERATION_NAME)
    return operation is not None and operation not in INFERENCE_OPERATIONS


def has_totals(found: Mapping[str, Any], names: Names) -> bool:
    """Tell whether a span counts its input or its output."""
    for field in ("input_tokens", "output_tokens"):
        for name in names[field]:
            if name in found and _count(found[name]) is not None:
                return True
    return False


def usage(found: Mapping[str, Any], names: Names) -> Usage:
    """Read all counts; one that is missing is 0."""
    return Usage(**{field: _first_count(found, spellings) for field, spellings in names.items()})


def including_cached(used: Usage) -> Usage:
    """Add cached tokens to an input that leaves them out, as Anthropic counts, and as older instrumentations repeated.

    Only an input that is smaller than its cached part gives itself away; others are taken at their word.
    """
    cached = used.cache_read_input_tokens + used.cache_write_input_tokens
    return replace(used, input_tokens=used.input_tokens + cached) if cached > used.input_tokens else used


def text(found: Mapping[str, Any], *names: str) -> str | None:
    """Give the first attribute that is a text and not empty, cut to the length of an id."""
    for name in names:
        value = found.get(name)
        if isinstance(value, str) and value:
            return value[:MAX_ID_LENGTH]
    return None


def _id(value: object) -> str | None:
    """Read an id; one that is too long to keep becomes its digest, so that two stay two."""
    if not isinstance(value, str) or not value:
        return None
    return value if len(value) <= MAX_ID_LENGTH else f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"


def _complexity(value: object) -> int | None:
    """Read a complexity; what is none counts as not said."""
    return value if type(value) is int and 0 <= value <= _MOST_COMPLEX else None


def _millis(value: object) -> int | None:
    """Read seconds as milliseconds; what is longer than a day is none, as is NaN."""
    return round(value * 1000) if isinstance(value, float) and 0 <= value < _DAY_SECONDS else None


def _first_count(found: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        if name in found and (count := _count(found[name])) is not None:
            return count
    return 0


def _count(value: object) -> int | None:
    """Read a token count; some instrumentations send it as a double or as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value) if len(value) < _TOO_MANY_DIGITS else MAX_TOKENS
    return max(-MAX_TOKENS, min(value, MAX_TOKENS)) if isinstance(value, int) else None
