"""How a provider served a call, in one word whatever the provider calls it."""

from __future__ import annotations

from p402.vocabulary import MAX_ID_LENGTH

__all__ = ["service_tier"]

_CANONICAL: dict[str, str | None] = {
    "default": "standard",  # OpenAI, Bedrock
    "on_demand": "standard",  # Groq, Vertex AI
    "standard_only": "standard",
    "normal": "standard",  # Claude Code's speed
    "on_demand_flex": "flex",  # Vertex AI
    "on_demand_priority": "priority",
    "on_demand_offpeak": "offpeak",
    # what says nothing about how the call was served
    "auto": None,
    "unspecified": None,
    "traffic_type_unspecified": None,
}


def service_tier(value: object) -> str | None:
    """Give the canonical word for what a span says; a word that is not known stays as it is, in lower case.

    None if it says nothing. What is priced apart must be told apart, so an unknown word is never taken for ``standard``.
    """
    if not isinstance(value, str) or not value:
        return None
    word = value[:MAX_ID_LENGTH].lower()
    return _CANONICAL.get(word, word)
