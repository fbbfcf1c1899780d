"""The shape of a provider's HTTP API, as far as the mock server needs to know it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from p402.collector.demo.providers.script import ProviderCall, Reply

__all__ = ["JSON", "Api", "Endpoint", "Event"]

JSON = dict[str, Any]


class Event(NamedTuple):
    """One server-sent event; text is sent as it is, anything else as JSON."""

    data: JSON | str
    name: str | None = None

    def encode(self) -> bytes:
        """Write the event as it goes over the wire (WHATWG HTML, section 9.2)."""
        data = self.data if isinstance(self.data, str) else json.dumps(self.data, separators=(",", ":"))
        return (f"event: {self.name}\n" if self.name else "").encode() + f"data: {data}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation: how it answers at once, and how in a stream. The number makes the response's id unique."""

    answer: Callable[[ProviderCall, Reply, int], JSON]
    stream: Callable[[ProviderCall, Reply, int], list[Event]] | None = None


@dataclass(frozen=True, slots=True)
class Api:
    """One provider: what it is called, where it answers, where it looks for the key, how it refuses."""

    provider: str
    """``gen_ai.provider.name``."""
    endpoints: Mapping[str, Endpoint]
    """By path; may hold ``{model}``, otherwise the model is in the body."""
    keys: tuple[tuple[str, str], ...]
    """Where a request may carry its key: header (in lower case) and what stands before the key in it."""
    error: Callable[[int, str], JSON]
    request_id_header: str = "x-request-id"
