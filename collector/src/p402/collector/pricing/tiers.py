"""What a service tier means for the price: a context of genai-prices, or nothing."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["STANDARD", "context_of"]

STANDARD = "standard"

_CONTEXTS: Mapping[str, Mapping[str, str]] = {
    "batch": {"processing": "batch"},
    "fast": {"service_tier": "fast", "speed": "fast"},  # OpenAI's word and Anthropic's
}

_SAME_PRICE = frozenset({("groq", "flex")})
"""Tiers whose prices the provider documents as those of its standard tier (https://console.groq.com/docs/flex-processing)."""


def context_of(provider: str, service_tier: str | None) -> Mapping[str, str] | None:
    """Give the context whose prices a call of this tier has; None where these are the standard ones."""
    if service_tier is None or service_tier == STANDARD or (provider.lower(), service_tier) in _SAME_PRICE:
        return None
    return _CONTEXTS.get(service_tier) or {"service_tier": service_tier}
