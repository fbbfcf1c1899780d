"""What happened, and how receivers read it (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from p402.collector.channel_settings import EventType
from p402.vocabulary import rfc3339

__all__ = ["Event", "EventType", "StoredEvent", "message_for_people", "webhook_body"]


@dataclass(frozen=True, slots=True)
class Event:
    """A fact to tell others. It is published by the change that makes it true."""

    type: EventType
    organisation: str
    payload: Mapping[str, Any]
    """JSON values, no content of calls; ``summary`` is the sentence that people read first."""
    at: datetime
    dedupe_key: str
    """Of several events of one type and organisation with one key the first counts."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the outbox."""

    event_id: str
    seq: int
    type: str
    organisation: str
    payload: Mapping[str, Any]
    at: datetime


def webhook_body(event: StoredEvent) -> bytes:
    """Write the body of a webhook: the same bytes at each try."""
    body = {
        "type": event.type,
        "timestamp": rfc3339(event.at),
        "organisation": event.organisation,
        "data": event.payload,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def message_for_people(event: StoredEvent) -> tuple[str, str]:
    """Write the title and the plain text of a message."""
    summary = event.payload.get("summary") or event.type.replace(".", " ").capitalize()
    facts = [f"{name.replace('_', ' ')}: {value}" for name, value in event.payload.items() if name != "summary"]
    return f"P402 Meter: {event.type}", "\n".join([str(summary), "", *facts, f"organisation: {event.organisation}"])
