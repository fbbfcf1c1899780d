"""Server-sent events, read incrementally from bytes that may be split anywhere (WHATWG HTML, section 9.2).

Only the field ``data`` is read: the providers repeat the event's name inside it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Event", "EventParser", "read_event"]

_LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
_EVENT_END = re.compile(_LINE_END + _LINE_END)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_END = 4


class Event(NamedTuple):
    """One event."""

    raw: bytes
    """As it came, with the blank line that ends it."""
    data: bytes
    """Its ``data`` lines, joined by line feeds; empty if it has none."""


class EventParser:
    """Turns bytes into events. What was fed comes back once, in order: as `Event.raw`, or from `rest`."""

    def __init__(self, max_event_bytes: int = 32 * 1024 * 1024) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._max_event_bytes = max_event_bytes

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and give the events that they complete."""
        if b"\r" not in data and not self._buffer.endswith(b"\r"):
            return self._lines_end_in_line_feeds(data)
        self._buffer += data
        events: list[Event] = []
        start = 0
        # A CR that stands last may be half of a CRLF, so it is left for the next time.
        limit = len(self._buffer) - self._buffer.endswith(b"\r")
        while match := _EVENT_END.search(self._buffer, max(start, self._searched), limit):
            events.append(read_event(bytes(self._buffer[start : match.end()])))
            start = self._searched = match.end()
        del self._buffer[:start]
        self._searched = max(0, len(self._buffer) - _LONGEST_END)
        return events

    def _lines_end_in_line_feeds(self, data: bytes) -> list[Event]:
        """Do the same where there is no CR, as nearly everywhere; an event without one is split off without a search."""
        if self._buffer:
            self._buffer += data
            if _EVENT_END.search(self._buffer, self._searched) is None:
                self._searched = max(0, len(self._buffer) - _LONGEST_END)
                return []
            data = bytes(self._buffer)
        *raws, rest = data.split(b"\n\n")
        self._buffer = bytearray(rest)
        self._searched = max(0, len(rest) - _LONGEST_END)
        return [
            Event(raw + b"\n\n", raw[6:])
            if raw.startswith(b"data: ") and b"\n" not in raw
            else read_event(raw + b"\n\n")
            for raw in raws
        ]

    @property
    def holds(self) -> bool:
        """Whether it has the beginning of an event."""
        return bool(self._buffer)

    @property
    def overflowed(self) -> bool:
        """Whether an event has grown beyond the bound; then stop feeding and take the `rest`."""
        return len(self._buffer) > self._max_event_bytes

    def rest(self) -> bytes:
        """Take out what has not become an event: at the end of a body, an event without its blank line."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return rest


def read_event(raw: bytes) -> Event:
    """Read bytes that are one event, with or without its blank line."""
    lines = raw.removeprefix(_BYTE_ORDER_MARK).splitlines()
    return Event(raw, b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")))
