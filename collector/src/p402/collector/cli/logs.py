"""The log while something is away: short, and never in the way.

Everything that waits for storage would say so every second, or at every request; and a disk that is full may be the one
that the log is on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any

import structlog

__all__ = ["OnceAMinute", "Stderr"]

_SECONDS = 60.0


class OnceAMinute:
    """A structlog processor: of all events with an ``ending``, one a minute passes, whoever it is that waits.

    It says how many were ``kept_back`` since the one before.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, ending: str = "_wait_for_storage") -> None:
        self._clock = clock
        self._ending = ending
        self._passed_at: float | None = None
        self._kept_back = 0

    def __call__(self, _: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Let the event pass, or drop it."""
        if not str(event.get("event")).endswith(self._ending):
            return event
        now = self._clock()
        if self._passed_at is not None and now - self._passed_at < _SECONDS:
            self._kept_back += 1
            raise structlog.DropEvent
        self._passed_at = now
        event["kept_back"], self._kept_back = self._kept_back, 0
        return event


class Stderr:
    """A structlog logger: a line to whatever stderr is at the time, or nothing where that cannot be written."""

    def msg(self, message: str) -> None:
        """Write a line."""
        with suppress(OSError, ValueError):
            print(message, file=sys.stderr, flush=True)

    debug = info = warning = error = critical = exception = msg
