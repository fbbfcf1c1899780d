"""Pieces of a stream that the application has seen, and that are read later, some hundred at a time.

Reading one between two steps of the application costs four times as much, since the processor has turned to other code by then.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backlog"]

_MOST_WAITING = 64 * 1024
"""Bytes that are put off, before they are read."""


class Backlog:
    """What of one stream has been put off."""

    def __init__(self, read: Callable[[bytes], None]) -> None:
        self._read = read
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Put off a piece; if that makes too much, read all."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _MOST_WAITING:
            self.read()

    def read(self) -> None:
        """Read all that was put off."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces:
            self._read(b"".join(pieces))
