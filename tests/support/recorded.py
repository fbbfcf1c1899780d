"""What providers answer, word for word: one JSON file for each case, in the wire format that its stream has."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[1] / "instrumentation" / "fixtures"


@dataclass(frozen=True)
class Recorded:
    """One request, its answer, and what must be told of them."""

    name: str
    url: str
    request: dict[str, Any]
    expected: dict[str, Any]
    answer: dict[str, Any]

    @property
    def content_type(self) -> str:
        return "application/json" if "response" in self.answer else _CONTENT_TYPES[self.answer.get("format", "sse")]

    @property
    def streams(self) -> bool:
        return "stream" in self.answer

    @property
    def form(self) -> bool:
        return "form" in self.answer

    @property
    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = self.answer.get("headers", {})
        return headers

    @property
    def openai_hosts(self) -> str:
        return str(self.answer.get("openai_hosts", ""))

    def pieces(self) -> list[bytes]:
        """The body as it comes over the wire: whole, or event by event."""
        if not self.streams:
            return [json.dumps(self.answer["response"]).encode()]
        return [_ENCODERS[self.answer.get("format", "sse")](event) for event in self.answer["stream"]]


def recorded() -> Iterator[Recorded]:
    for file in sorted(FIXTURES.glob("*.json")):
        content = json.loads(file.read_text())
        yield Recorded(file.stem, content.pop("url"), content.pop("request"), content.pop("expected"), content)


def event_stream_message(name: str, document: dict[str, Any]) -> bytes:
    """A message of Amazon's event streams; a ``chunk`` has its document in base64."""
    payload = {"bytes": base64.b64encode(json.dumps(document).encode()).decode()} if name == "chunk" else document
    fields = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack(">B", len(key)) + key.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for key, value in fields.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


_CONTENT_TYPES = {
    "sse": "text/event-stream; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "eventstream": "application/vnd.amazon.eventstream",
}
_ENCODERS: dict[str, Any] = {
    "sse": lambda event: f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode(),
    "ndjson": lambda event: json.dumps(event).encode() + b"\n",
    "eventstream": lambda event: event_stream_message(*event),
}
