"""Which HTTP attempts belong to one logical call.

The SDKs retry below the application, and most send nothing that ties the attempts together. But they repeat the same
request, in the same trace, soon after a failure. So a failed attempt leaves a fingerprint of its request for two
minutes; the next attempt that matches takes it and continues the logical call. Nothing is computed while nothing fails.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from opentelemetry.trace import SpanContext

__all__ = ["Attempt", "Attempts"]

_KEPT_SECONDS = 120.0  # SDKs wait up to 8 s between attempts, or as long as `Retry-After` says, up to 60 s
_KEPT_ATTEMPTS = 1024


class Attempt(NamedTuple):
    """One HTTP attempt at a logical call."""

    request: str
    """Id of the logical call."""
    number: int
    """0 for the first attempt."""
    after: SpanContext | None = None
    """The span of the failed attempt before it, as far as that is known."""


class _Failed(NamedTuple):
    """An attempt that may be repeated."""

    at: float
    fingerprint: bytes
    attempt: Attempt
    span: SpanContext


class Attempts:
    """Remembers failed attempts for a while, so that their retries can be told from new calls. Thread-safe."""

    def __init__(self, clock: Callable[[], float], new_request: Callable[[], str]) -> None:
        self._clock = clock
        self._new_request = new_request
        self._lock = threading.Lock()
        self._failed: deque[_Failed] = deque(maxlen=_KEPT_ATTEMPTS)
        """The oldest first."""

    def begin(self, trace_id: int, url: str, body: bytes, retry_count: int | None) -> Attempt:
        """Tell which logical call a request is an attempt at; ``retry_count`` is what the SDK's header says."""
        before = None
        if self._failed and retry_count != 0:
            before = self._take(_fingerprint(trace_id, url, body))
        if before is None:
            return Attempt(self._new_request(), retry_count or 0)
        number = before.attempt.number + 1 if retry_count is None else retry_count
        return Attempt(before.attempt.request, number, before.span)

    def failed(self, attempt: Attempt, span: SpanContext, trace_id: int, url: str, body: bytes) -> None:
        """Remember an attempt that may be repeated, and its span."""
        fingerprint = _fingerprint(trace_id, url, body)
        with self._lock:
            self._forget_old()
            self._failed.append(_Failed(self._clock(), fingerprint, attempt, span))

    def _take(self, fingerprint: bytes) -> _Failed | None:
        """Take out the latest attempt at a request."""
        with self._lock:
            self._forget_old()
            found = next((one for one in reversed(self._failed) if one.fingerprint == fingerprint), None)
            if found is not None:
                self._failed.remove(found)
            return found

    def _forget_old(self) -> None:
        oldest = self._clock() - _KEPT_SECONDS
        while self._failed and self._failed[0].at < oldest:
            self._failed.popleft()


def _fingerprint(trace_id: int, url: str, body: bytes) -> bytes:
    return hashlib.blake2b(b"%032x %s\n%s" % (trace_id, url.encode(), body), digest_size=16).digest()
