"""Which provider of genai-prices stands for a provider name of OpenTelemetry (``gen_ai.provider.name``)."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PRICED_AS"]

PRICED_AS: Mapping[str, str] = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
    # older spellings of the conventions (gen_ai.system), still sent
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "gemini": "google",
    "vertex_ai": "google",
    "xai": "x-ai",
    # not in the conventions, in use
    "fireworks_ai": "fireworks",
    "together_ai": "together",
    "voyage_ai": "voyageai",
    "z_ai": "zai",
}
"""Names that differ. Any other name counts if it is exactly an id of genai-prices (``openai``, ``anthropic``, ``groq``).

Names are never guessed from their parts, as genai-prices would: a proxy called ``my-openai`` need not have OpenAI's prices.
"""
