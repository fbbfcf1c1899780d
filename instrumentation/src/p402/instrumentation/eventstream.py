"""Amazon's binary event streams (``application/vnd.amazon.eventstream``), read incrementally from bytes split anywhere.

A message is its length and its headers' length (four bytes each, big endian), a checksum of those, headers, payload,
and a checksum of all. Checksums are left to the client. Source: https://smithy.io/2.0/aws/amazon-eventstream.html.
"""

from __future__ import annotations

import base64
import json
import struct

from p402.instrumentation.sse import Event

__all__ = ["MessageParser"]

_PRELUDE = struct.Struct(">II")
_BEFORE_HEADERS = 12
_CHECKSUM = 4
_STRING = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; those of type 6 and 7 begin with their own length."""


class MessageParser:
    """Turns bytes into events, as `EventParser` does for server-sent events.

    An event's data is one JSON object: the event's name and its payload, or the document inside where Bedrock only passes
    on what a model says.
    """

    def __init__(self, max_message_bytes: int = 32 * 1024 * 1024) -> None:
        self._buffer = bytearray()
        self._max_message_bytes = max_message_bytes

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and give the events that they complete."""
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= _BEFORE_HEADERS:
            length, of_headers = _PRELUDE.unpack_from(self._buffer)
            if length < _BEFORE_HEADERS + of_headers + _CHECKSUM:
                raise ValueError("this is no event stream")
            if len(self._buffer) < length:
                break
            message = bytes(self._buffer[:length])
            del self._buffer[:length]
            end_of_headers = _BEFORE_HEADERS + of_headers
            headers = _read_headers(message[_BEFORE_HEADERS:end_of_headers])
            events.append(Event(message, _data(headers, message[end_of_headers:-_CHECKSUM])))
        return events

    @property
    def holds(self) -> bool:
        """Whether it has the beginning of a message."""
        return bool(self._buffer)

    @property
    def overflowed(self) -> bool:
        """Whether a message has grown beyond the bound; then stop feeding and take the `rest`."""
        return len(self._buffer) > self._max_message_bytes

    def rest(self) -> bytes:
        """Take out what has not become a message."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


def _read_headers(data: bytes) -> dict[str, str]:
    """Read the headers that are texts."""
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        name, kind = data[at + 1 : end].decode(), data[end]
        at = end + 1
        size = _SIZES.get(kind)
        if size is None:
            size = int.from_bytes(data[at : at + 2], "big")
            at += 2
        if kind == _STRING:
            headers[name] = data[at : at + size].decode()
        at += size
    return headers


def _data(headers: dict[str, str], payload: bytes) -> bytes:
    kind = headers.get(":exception-type") or headers.get(":error-code")
    if kind:
        return json.dumps({"exception": {"type": kind}}).encode()
    if headers.get(":event-type") == "chunk":
        return base64.b64decode(json.loads(payload)["bytes"])
    return json.dumps({headers.get(":event-type", "event"): json.loads(payload or b"{}")}).encode()
