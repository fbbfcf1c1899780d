"""Time and ids that a test decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count


class FakeClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, **amount: float) -> None:
        self._now += timedelta(**amount)


class CountingIds:
    """Ids that count: rcpt_1, rcpt_2, …"""

    def __init__(self) -> None:
        self._numbers = count(1)

    def __call__(self, prefix: str, _: datetime) -> str:
        return f"{prefix}_{next(self._numbers)}"
