"""Which host and path is which provider's API, and which dialect is spoken there. Pure.

The path tells the dialect, the host the provider. So a gateway, a mock or a self-hosted server at an unknown host is
recognised too, and counted as the provider whose dialect it speaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from p402.instrumentation.providers import anthropic, bedrock, gemini, openai
from p402.instrumentation.providers.facts import Answer, Dialect, RequestFacts
from p402.instrumentation.providers.hosts import host_at

__all__ = ["Answer", "Dialect", "RequestFacts", "Route", "is_provider", "recognise"]

_AT_ANY_HOST: tuple[Dialect, ...] = (openai, anthropic, gemini, bedrock)
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Route:
    """A call of a model, as far as its URL tells."""

    provider: str
    """``gen_ai.provider.name``."""
    dialect: Dialect
    tells_when_asked: bool = False
    """Whether its streams report usage only when asked by ``stream_options.include_usage``."""


def recognise(host: str, path: str, port: int | None = None, own_hosts: Mapping[str, str] = _NONE) -> Route | None:
    """Tell whether a POST to this host and path may be a call of a model, and whose.

    Args:
        host: its name.
        path: the URL's path.
        port: known hosts are known at any port.
        own_hosts: providers' names by ``host`` or ``host:port`` of what the organisation hosts itself.
    """
    known = host_at(host, port, path, own_hosts)
    for dialect in (*(known.dialects if known else ()), *_AT_ANY_HOST):
        if dialect.PATH.search(path):
            asked = openai.STREAMS.search(path) is not None and not (known and known.tells_usage)
            return Route(known.provider if known else dialect.PROVIDER, dialect, asked)
    return None


def is_provider(host: str, port: int | None = None, own_hosts: Mapping[str, str] = _NONE) -> bool:
    """Tell whether a host is a known provider's, whatever the path."""
    return host_at(host, port, "/", own_hosts) is not None
