"""OpenTelemetry's GenAI conventions, new spellings and old ones.

Source: semantic-conventions-genai, and v1.27–v1.41 of the general conventions for the older names. Read by attribute
names, not by schema URL: shipped instrumentations state versions that they do not follow. Anthropic's SDK, which
traces itself since its version 2, and OpenLLMetry since 0.50 write these names too. The input includes cached tokens.
"""

from __future__ import annotations

from p402.collector.dialects import reading
from p402.collector.pipeline.records import ModelCall, NotCharged, SkipReason, SpanRecord
from p402.vocabulary import attributes

__all__ = ["SERVICE_TIER", "USAGE", "read"]

USAGE: reading.Names = {
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

SERVICE_TIER = (
    attributes.P402_SERVICE_TIER,
    attributes.OPENAI_RESPONSE_SERVICE_TIER,
    "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
)


def read(span: SpanRecord) -> ModelCall | NotCharged:
    """Read a span as a model call, or say why it is none."""
    found = span.attributes
    operation = found.get(attributes.GEN_AI_OPERATION_NAME)
    if operation not in reading.INFERENCE_OPERATIONS:
        return NotCharged(span, SkipReason.NOT_INFERENCE)
    if not reading.has_totals(found, USAGE):
        return reading.without_usage(span)
    return reading.model_call(
        span,
        provider=reading.text(found, attributes.GEN_AI_PROVIDER_NAME, "gen_ai.system"),
        operation=str(operation),
        request_model=reading.text(found, attributes.GEN_AI_REQUEST_MODEL),
        response_model=reading.text(found, attributes.GEN_AI_RESPONSE_MODEL),
        response_id=found.get(attributes.GEN_AI_RESPONSE_ID),
        used=reading.usage(found, USAGE),
        tier=reading.text(found, *SERVICE_TIER),
    )
