"""Which provider of genai-prices stands for a provider name of OpenTelemetry (``gen_ai.provider.name``)."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PASSES_ON", "PRICED_AS", "named_at_gateway", "seller_of"]

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
    "bedrock": "aws",
    "fireworks_ai": "fireworks",
    "together_ai": "together",
    "voyage_ai": "voyageai",
    "z_ai": "zai",
}
"""Names that differ. Any other name counts if it is exactly an id of genai-prices (``openai``, ``anthropic``, ``groq``).

Names are never guessed from their parts, as genai-prices would: a proxy called ``my-openai`` need not have OpenAI's prices.
"""

PASSES_ON = frozenset({"litellm"})
"""Gateways that sell nothing: a call is billed by the vendor that its model's name begins with, ``openai/gpt-4o``."""


def seller_of(provider: str, model: str) -> tuple[str, str]:
    """Give the id at genai-prices of whoever bills a call, and the model's name there."""
    name = provider.strip().lower()
    if name in PASSES_ON:
        vendor, slash, rest = model.partition("/")
        if slash and vendor not in PASSES_ON:
            return PRICED_AS.get(vendor, vendor), rest
    return PRICED_AS.get(name, name), model


def named_at_gateway(provider: str, asked: str | None, answered: str) -> str:
    """Put the vendor in front of what a gateway calls the model that answered, as in the name that was asked for."""
    vendor, slash, _ = (asked or "").partition("/")
    return f"{vendor}/{answered}" if slash and provider in PASSES_ON and "/" not in answered else answered
