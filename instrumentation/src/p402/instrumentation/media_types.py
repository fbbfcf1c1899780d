"""Media types of responses: which of them answers of models come in."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["EVENTS", "LINES", "MESSAGES", "STREAMS", "is_json", "media_type"]

EVENTS = "text/event-stream"
LINES = "application/x-ndjson"
MESSAGES = "application/vnd.amazon.eventstream"
STREAMS = frozenset({EVENTS, LINES, MESSAGES})


@lru_cache(maxsize=64)
def media_type(content_type: str) -> str:
    """Give a ``Content-Type`` without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """Tell whether it is one JSON document."""
    return kind == "application/json" or kind.endswith("+json")
