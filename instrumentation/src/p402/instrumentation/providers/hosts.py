"""The table of known hosts: whose they are, and what is particular about them. One row for each.

A host that speaks OpenAI's dialect needs no more than its row. One with a dialect of its own has a file for it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from p402.instrumentation.providers import cohere, ollama, openrouter
from p402.instrumentation.providers.facts import Dialect

__all__ = ["Host", "host_at"]


@dataclass(frozen=True, slots=True)
class Host:
    """One row: a provider's host."""

    name: str
    """Its name, where ``*`` stands for anything. Names with more in front, after a dot or a dash, are its too."""
    provider: str
    """``gen_ai.provider.name``: a value of the conventions, else the name in use."""
    dialects: tuple[Dialect, ...] = ()
    """Spoken here beside those that are recognised at any host, and looked at first."""
    tells_usage: bool = False
    """Whether its streams of OpenAI's dialect report usage without being asked (and may refuse to be asked)."""
    under: str = "/"
    """How the paths begin that this row is for."""


_HOSTS = (
    Host("api.openai.com", "openai"),
    Host("openai.azure.com", "azure.ai.openai"),
    Host("cognitiveservices.azure.com", "azure.ai.openai"),
    Host("services.ai.azure.com", "azure.ai.openai", under="/openai/"),
    Host("services.ai.azure.com", "azure.ai.inference"),
    Host("models.ai.azure.com", "azure.ai.inference"),
    Host("api.anthropic.com", "anthropic"),
    Host("generativelanguage.googleapis.com", "gcp.gemini"),
    Host("aiplatform.googleapis.com", "gcp.vertex_ai"),
    Host("aiplatform.*.rep.googleapis.com", "gcp.vertex_ai"),
    Host("bedrock-runtime*.amazonaws.com", "aws.bedrock"),
    Host("bedrock-runtime*.amazonaws.com.cn", "aws.bedrock"),
    Host("bedrock-runtime*.api.aws", "aws.bedrock"),
    Host("api.mistral.ai", "mistral_ai", tells_usage=True),
    Host("api.deepseek.com", "deepseek"),
    Host("api.groq.com", "groq"),
    Host("api.x.ai", "x_ai"),
    Host("api.cohere.com", "cohere", (cohere,)),
    Host("api.cohere.ai", "cohere", (cohere,)),
    Host("api.together.xyz", "together_ai"),
    Host("api.together.ai", "together_ai"),
    Host("api.fireworks.ai", "fireworks_ai"),
    Host("api.moonshot.ai", "moonshot_ai"),
    Host("api.perplexity.ai", "perplexity", tells_usage=True),
    Host("openrouter.ai", "openrouter", (openrouter,), tells_usage=True),
    Host("ollama.com", "ollama", (ollama,)),
)

_OLLAMA_PORT = 11434
_OF_PROVIDER = {row.provider: row for row in reversed(_HOSTS)}


def host_at(name: str, port: int | None, path: str, own: Mapping[str, str]) -> Host | None:
    """Find the row of a host; ``own`` says which hosts (or ``host:port``) are self-hosted, and what they are called."""
    name = name.lower().rstrip(".")
    provider = own.get(f"{name}:{port}") or own.get(name)
    if provider is None and port == _OLLAMA_PORT:
        provider = "ollama"
    if provider is not None:
        return _OF_PROVIDER.get(provider) or Host(name, provider)
    return next((row for row in _rows(name) if path.startswith(row.under)), None)


@lru_cache(maxsize=1024)
def _rows(name: str) -> tuple[Host, ...]:
    """Regional hosts count too: ``eu.api.openai.com``, and ``europe-west1-aiplatform.googleapis.com`` with its dash."""
    return tuple(row for row in _HOSTS if any(fnmatchcase(name, before + row.name) for before in ("", "*.", "*-")))
