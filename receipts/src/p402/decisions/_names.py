"""How providers and gateways spell the names of models (pure)."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["bare", "in_the_region_of", "in_the_style_of", "of_vendor", "without_region"]

# What is appended to a model's name without making it another model: dates, versions, "latest", "preview".
_SUFFIX = re.compile(
    r"(?:[-@](?:\d{4}-?\d{2}-?\d{2}|\d{2}-\d{4}|\d{2}-\d{2}|\d{3,4}|latest|default|preview|v\d+(?::\d+)?)|:\d+)+\Z"
)
_REGION = re.compile(r"(?:us-gov|us|eu|apac|jp|au|ca|in|global)\.(?=[a-z0-9-]+\.)")  # of inference profiles at Bedrock
_FINE_TUNED = re.compile(r"ft:([^:]+)")

# What gateways put in front of a model's name, and whose models these are. The first word of each is LiteLLM's.
_VENDORS = {
    "openai": "openai",
    "azure": "azure.ai.openai",
    "anthropic": "anthropic",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "deepseek": "deepseek",
    "xai": "x_ai",
    "x-ai": "x_ai",
    "groq": "groq",
    "cohere": "cohere",
    "perplexity": "perplexity",
}
_IN_FRONT = {provider: word for word, provider in reversed(_VENDORS.items())}


@lru_cache(maxsize=4096)
def bare(name: str) -> str:
    """Leave out what only dates or versions a model; of a fine-tuned one give the name that it was made from."""
    if (base := _FINE_TUNED.match(name)) is not None:
        name = base[1]
    return _SUFFIX.sub("", name)


def without_region(name: str) -> str | None:
    """Leave out the region of an inference profile (``eu.anthropic.claude-…``); None if there is none."""
    region = _REGION.match(name)
    return name[region.end() :] if region else None


def of_vendor(name: str) -> tuple[str, str] | None:
    """Split ``openai/gpt-4o`` into the vendor as a provider's name, and the model; None if it is no such name."""
    word, slash, model = name.removeprefix("openrouter/").partition("/")
    return (_VENDORS[word], model) if slash and word in _VENDORS else None


def in_the_region_of(asked: str, model: str) -> str:
    """Write a model's name for the region of another, so that no call leaves it."""
    region = _REGION.match(asked)
    return model if region is None or _REGION.match(model) else region[0] + model


def in_the_style_of(asked: str, provider: str, model: str) -> str:
    """Write a model's name as gateways do: with the vendor in front, where ``asked`` has one."""
    if (of := of_vendor(asked)) is None:
        return model
    word = asked.removesuffix(f"/{of[1]}") if of[0] == provider else _IN_FRONT.get(provider, provider)
    return f"{word}/{model}"
