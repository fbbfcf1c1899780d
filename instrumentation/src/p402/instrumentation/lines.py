"""Streams of JSON documents, one a line (``application/x-ndjson``), read incrementally from bytes split anywhere."""

from __future__ import annotations

from p402.instrumentation.sse import Event

__all__ = ["LineParser"]


class LineParser:
    """Turns bytes into events, as `EventParser` does for server-sent events."""

    def __init__(self, max_line_bytes: int = 32 * 1024 * 1024) -> None:
        self._buffer = bytearray()
        self._max_line_bytes = max_line_bytes

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and give the lines that they complete."""
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n") if b"\n" in data else [bytes(self._buffer)]
        self._buffer = bytearray(rest)
        return [Event(line + b"\n", line.strip()) for line in lines]

    @property
    def holds(self) -> bool:
        """Whether it has the beginning of a line."""
        return bool(self._buffer)

    @property
    def overflowed(self) -> bool:
        """Whether a line has grown beyond the bound; then stop feeding and take the `rest`."""
        return len(self._buffer) > self._max_line_bytes

    def rest(self) -> bytes:
        """Take out what has not become a line."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest
