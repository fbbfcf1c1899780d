"""The periods that budgets count: calendar days, weeks and months in a time zone, all time, and rolling spans (pure).

What is spent is kept in accounts, one for each *account start*: the beginning of the calendar period, or for a rolling
span the beginning of a slice of it. A rolling span is the sum of its slices, so a little more than it is counted, never
less. What is held is kept apart in the account `HELD` for rolling spans, since it does not grow old.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

__all__ = ["HELD", "Period", "PeriodKind", "Window"]

HELD = -1
"""The account start under which a rolling budget keeps what is held."""

_SLICES = 60
_HOUR = timedelta(hours=1)
_QUARTER = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PeriodKind(StrEnum):
    """How a budget begins anew."""

    DAY = "day"
    WEEK = "week"
    """From Monday (ISO 8601)."""
    MONTH = "month"
    TOTAL = "total"
    """Never: for sessions, projects with a fixed sum."""
    ROLLING = "rolling"


@dataclass(frozen=True, slots=True)
class Window:
    """One period; aware, UTC."""

    start: datetime
    end: datetime | None
    """Not included; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A kind of period, with its zone or its length."""

    kind: PeriodKind
    time_zone: str = "UTC"
    length: timedelta | None = None
    """Of a rolling span."""

    def window(self, at: datetime) -> Window:
        """Give the period that a moment lies in; for a rolling span the one that ends then."""
        if self.kind is PeriodKind.TOTAL:
            return Window(_EPOCH, None)
        if self.kind is PeriodKind.ROLLING:
            return Window(_EPOCH + self._first_slice(at) * self._slice(), None)
        return _calendar_window(self.kind, self.time_zone, (at - _EPOCH) // _QUARTER)

    @property
    def rolls(self) -> bool:
        """Whether spent money grows old bit by bit."""
        return self.kind is PeriodKind.ROLLING

    @property
    def slice_millis(self) -> int | None:
        """How long the slices of a rolling span are, in milliseconds; None for other periods."""
        return _millis(self._slice()) if self.rolls else None

    def account(self, at: datetime) -> int:
        """Give the start of the account that something spent at a moment belongs to, in milliseconds since 1970."""
        if self.rolls:
            return (at - _EPOCH) // self._slice() * _millis(self._slice())
        if self.kind is PeriodKind.TOTAL:
            return 0
        return _calendar_account(self.kind, self.time_zone, (at - _EPOCH) // _QUARTER)

    def held_in(self, at: datetime) -> int:
        """Give the start of the account in which something is held at a moment."""
        return HELD if self.rolls else self.account(at)

    def accounts_since(self, at: datetime) -> int:
        """Give the start of the oldest account that still counts at a moment."""
        if self.rolls:
            return self._first_slice(at) * _millis(self._slice())
        return self.account(at)

    @property
    def length_millis(self) -> int | None:
        """How long something counts that has happened, in milliseconds; None if it is for its account to say."""
        return None if self.length is None else _millis(self.length)

    def _slice(self) -> timedelta:
        assert self.length is not None, "a rolling period has a length"
        slice_ = max(self.length / _SLICES, timedelta(seconds=1))
        if slice_ >= timedelta(minutes=12):
            return _HOUR
        return timedelta(seconds=slice_ // timedelta(seconds=1))

    def _first_slice(self, at: datetime) -> int:
        assert self.length is not None, "a rolling period has a length"
        return (at - self.length - _EPOCH) // self._slice()


@lru_cache(maxsize=4096)
def _calendar_window(kind: PeriodKind, time_zone: str, quarter: int) -> Window:
    """Give the window that a quarter of an hour since 1970 lies in: no zone has begun its days between two since then."""
    zone = ZoneInfo(time_zone)
    at = (_EPOCH + quarter * _QUARTER).astimezone(zone)
    local = at.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    if kind is PeriodKind.DAY:
        start, end = local, local + timedelta(days=1)
    elif kind is PeriodKind.WEEK:
        start = local - timedelta(days=local.weekday())
        end = start + timedelta(days=7)
    else:
        start = local.replace(day=1)
        end = (start + timedelta(days=32)).replace(day=1)
    return Window(_first_instant(start, zone), _first_instant(end, zone))


@lru_cache(maxsize=4096)
def _calendar_account(kind: PeriodKind, time_zone: str, quarter: int) -> int:
    return _millis(_calendar_window(kind, time_zone, quarter).start - _EPOCH)


def _first_instant(midnight: datetime, zone: ZoneInfo) -> datetime:
    """Give the first instant of a local day; where midnight is skipped or comes twice, the earlier one."""
    return midnight.replace(tzinfo=zone).astimezone(UTC)


def _millis(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
