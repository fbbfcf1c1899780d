"""OpenTelemetry's GenAI conventions, new spellings and old ones.

Source: semantic-conventions-genai, and v1.27–v1.41 of the general conventions for the older names. Read by attribute
names, not by schema URL: shipped instrumentations state versions that they do not follow. Anthropic's SDK, which
traces itself since its version 2, writes these names too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from p402.collector.pipeline.records import MAX_TOKENS, ModelCall, NotCharged, SkipReason, SpanRecord
from p402.vocabulary import MAX_ID_LENGTH, Usage, UsageSource, attributes

__all__ = ["read"]

INFERENCE_OPERATIONS = frozenset({"chat", "generate_content", "text_completion", "embeddings", "responses"})

# canonical field ← names, first present wins
_USAGE = {
    "input_tokens": (attributes.GEN_AI_USAGE_INPUT_TOKENS, "gen_ai.usage.prompt_tokens"),
    "output_tokens": (attributes.GEN_AI_USAGE_OUTPUT_TOKENS, "gen_ai.usage.completion_tokens"),
    "cache_read_input_tokens": (
        attributes.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
        "gen_ai.usage.cache_read_input_tokens",
    ),
    "cache_write_input_tokens": (
        attributes.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
    ),
    "cache_write_1h_input_tokens": (
        attributes.P402_USAGE_CACHE_WRITE_1H_INPUT_TOKENS,
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
    ),
    "reasoning_output_tokens": (
        attributes.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
        "gen_ai.usage.reasoning_tokens",
    ),
    "audio_input_tokens": (attributes.GEN_AI_USAGE_AUDIO_INPUT_TOKENS,),
    "audio_output_tokens": (attributes.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS,),
    "audio_cache_read_input_tokens": (attributes.GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS,),
    "image_input_tokens": (attributes.GEN_AI_USAGE_IMAGE_INPUT_TOKENS,),
    "image_output_tokens": (attributes.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS,),
}
_TOTALS = _USAGE["input_tokens"] + _USAGE["output_tokens"]

_TOO_MANY_DIGITS = 20  # for 64 bits

_PROVIDERS = {  # values of the older `gen_ai.system`, and capitalised ones, → gen_ai.provider.name
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
    "aws_bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
}


def read(span: SpanRecord) -> ModelCall | NotCharged:
    """Read a span as a model call, or say why it is none."""
    found = span.attributes
    operation = found.get(attributes.GEN_AI_OPERATION_NAME)
    if operation not in INFERENCE_OPERATIONS:
        return NotCharged(span, SkipReason.NOT_INFERENCE)
    if not any(_count(found.get(name)) is not None for name in _TOTALS):
        failed = span.failed or attributes.ERROR_TYPE in found
        return NotCharged(span, SkipReason.FAILED if failed else SkipReason.NO_USAGE)
    estimated = found.get(attributes.P402_USAGE_SOURCE) == UsageSource.ESTIMATED
    return ModelCall(
        span=span,
        provider=_provider(found),
        operation=str(operation),
        request_model=_text(found, attributes.GEN_AI_REQUEST_MODEL),
        response_model=_text(found, attributes.GEN_AI_RESPONSE_MODEL),
        response_id=_id(found, attributes.GEN_AI_RESPONSE_ID),
        usage=Usage(**{field: _first_count(found, names) for field, names in _USAGE.items()}),
        usage_source=UsageSource.ESTIMATED if estimated else UsageSource.PROVIDER,
        request=_id(found, attributes.P402_REQUEST) or f"{span.trace_id.hex()}-{span.span_id.hex()}",
        rationale=_text(found, attributes.P402_DECISION_RATIONALE),
        task_type=_text(found, attributes.P402_TASK_TYPE),
    )


def _provider(found: Mapping[str, Any]) -> str:
    name = (_text(found, attributes.GEN_AI_PROVIDER_NAME) or _text(found, "gen_ai.system") or "unknown").lower()
    return _PROVIDERS.get(name, name)


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


def _text(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    return value[:MAX_ID_LENGTH] if isinstance(value, str) and value else None


def _id(found: Mapping[str, Any], name: str) -> str | None:
    """Read an id; one that is too long to keep becomes its digest, so that two stay two."""
    value = found.get(name)
    if isinstance(value, str) and len(value) > MAX_ID_LENGTH:
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    return _text(found, name)
