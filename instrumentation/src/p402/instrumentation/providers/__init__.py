"""The table: which host and path is which provider's API, and which dialect is spoken there. Pure.

The path tells the dialect, the host the provider. So a gateway, a mock or a self-hosted server at an unknown host is
recognised too, and counted as the provider whose dialect it speaks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from p402.instrumentation.providers import anthropic, gemini, openai
from p402.instrumentation.providers.facts import Answer, Dialect, RequestFacts

__all__ = ["Answer", "Dialect", "RequestFacts", "Route", "is_provider", "recognise"]


@dataclass(frozen=True, slots=True)
class Route:
    """A call of a model, as far as its URL tells."""

    provider: str
    """``gen_ai.provider.name``."""
    dialect: Dialect
    chat_completion: bool = False
    """Whether this is OpenAI's chat completion, whose streams report usage only when asked."""


def recognise(host: str, path: str) -> Route | None:
    """Tell whether a POST to this host and path may be a call of a model, and whose."""
    for pattern, provider, dialect in _DIALECTS:
        if pattern.search(path):
            chat_completion = path.rstrip("/").endswith("/chat/completions")
            return Route(_provider_at(host) or provider, dialect, chat_completion)
    return None


def is_provider(host: str) -> bool:
    """Tell whether a host is a known provider's, whatever the path."""
    return _provider_at(host) is not None


_DIALECTS: tuple[tuple[re.Pattern[str], str, Dialect], ...] = (
    (re.compile(r"/(?:chat/completions|responses|embeddings)/?$"), "openai", openai),
    (re.compile(r"/v1/messages/?$"), "anthropic", anthropic),
    (re.compile(r"/models/[^/:]+:(?:g|streamG)enerateContent$"), "gcp.gemini", gemini),
)

_HOSTS = (
    ("api.openai.com", "openai"),
    ("openai.azure.com", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.inference"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x_ai"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("openrouter.ai", "openrouter"),
)


@lru_cache(maxsize=1024)
def _provider_at(host: str) -> str | None:
    """Regional hosts count too: ``eu.api.openai.com``, and ``europe-west1-aiplatform.googleapis.com`` with its dash."""
    host = host.lower().rstrip(".")
    for known, provider in _HOSTS:
        if host == known or host.endswith(("." + known, "-" + known)):
            return provider
    return None
