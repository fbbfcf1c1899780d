"""Stops asking a collector that does not answer, and asks again now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Breaker"]

_FAILURES = 3
_SHORTEST, _LONGEST = 1.0, 30.0


class Breaker:
    """Opens after three failures in a row; lets one try pass after a second, then after two, up to every 30 s."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._pause = 0.0
        self._closed_until = 0.0
        self.succeeded_at = clock() - 3_600
        """When the last answer came."""
        self.opened_at = self.succeeded_at
        self.is_new = True
        """Whether neither an answer nor a failure has come yet."""

    def lets_pass(self) -> bool:
        """Tell whether the collector may be asked now; where it may only be tried, this is the try."""
        if self._failures < _FAILURES:
            return True
        with self._lock:
            now = self._clock()
            if now < self._closed_until:
                return False
            self._closed_until = now + self._pause
            return True

    @property
    def is_open(self) -> bool:
        """Whether it is not asked at present."""
        return self._failures >= _FAILURES

    def succeeded(self) -> None:
        """Note an answer."""
        self.succeeded_at, self.is_new = self._clock(), False
        self._failures, self._pause = 0, 0.0

    def failed(self) -> None:
        """Note that none came."""
        self.is_new = False
        with self._lock:
            self._failures += 1
            if self._failures >= _FAILURES:
                self._pause = min(_LONGEST, 2 * self._pause or _SHORTEST)
                self.opened_at = self._clock()
                self._closed_until = self.opened_at + self._pause

    def open(self) -> None:
        """Open at once and for long: the key is not valid any more."""
        with self._lock:
            self._failures, self._pause = _FAILURES, _LONGEST
            self.opened_at = self._clock()
            self._closed_until = self.opened_at + _LONGEST
