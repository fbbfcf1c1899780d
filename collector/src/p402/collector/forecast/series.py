"""Hourly counters as days of a time zone.

Spend is counted by whole hours of UTC, and an hour belongs to the day, and to the period, in which it begins. In a zone that
is half an hour off, the hour around midnight therefore counts for the day that ends. A day has 23, 24 or 25 hours; one
that a zone left out altogether has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

__all__ = ["HOUR", "Day", "Hourly", "days_between", "hour_at_or_after", "spent_between", "start_of_day"]

HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Hourly = Mapping[int, int]
"""Nano-USD by hours since 1970; what is missing is nothing spent."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a time zone, or the part of it that lies in a span of time."""

    date: date
    begin: datetime
    """In UTC, as is the end, which is not included."""
    end: datetime


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Give the first moment of a day in UTC; where the clock skips midnight, the moment at which it does."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def days_between(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[Day]:
    """Walk through the days of a zone from one moment to another; the first and the last may be parts of days."""
    day = start.astimezone(zone).date()
    begin = start.astimezone(UTC)
    while begin < end:
        day += timedelta(days=1)
        midnight = min(start_of_day(day, zone), end.astimezone(UTC))
        if begin < midnight:
            yield Day(day - timedelta(days=1), begin, midnight)
        begin = midnight


def hour_at_or_after(moment: datetime) -> int:
    """Give the first hour since 1970 that begins at a moment or after it."""
    return -((_EPOCH - moment) // HOUR)


def spent_between(hourly: Hourly, start: datetime, end: datetime) -> int:
    """Sum the hours that begin from one moment to another (not included), in nano-USD."""
    return sum(hourly.get(hour, 0) for hour in range(hour_at_or_after(start), hour_at_or_after(end)))
