"""When prices of a list change by the calendar, so that what was computed from them can be kept until then."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple

__all__ = ["PriceChanges", "Span"]

_MIDNIGHT = time()
_NEVER = datetime.min.replace(tzinfo=UTC)


class Span(NamedTuple):
    """A stretch of time in which no price changes."""

    since: datetime
    until: datetime
    """The first moment after it."""


class PriceChanges:
    """The moments at which any price of a list may change: midnight (UTC), since prices are dated by days, and times of the day."""

    def __init__(self, times_of_day: Iterable[time]) -> None:
        """Take the times at which some price of a part of the day begins or ends; without a zone they are UTC."""
        self._times = sorted({_MIDNIGHT, *map(_in_utc, times_of_day)})
        self._last = Span(_NEVER, _NEVER)

    def span(self, at: datetime) -> Span:
        """Give the stretch that a time (aware) is in; asked about the same one again, it has it at hand."""
        last = self._last
        if not last.since <= at < last.until:
            last = self._last = self._find(at.astimezone(UTC))
        return last

    def _find(self, at: datetime) -> Span:
        today = [datetime.combine(at, one, UTC) for one in self._times]
        tomorrow = today[0] + timedelta(days=1)
        return next(Span(*span) for span in pairwise([*today, tomorrow]) if at < span[1])


def _in_utc(one: time) -> time:
    """A zone that is not UTC is one with a fixed offset, as that of a time without a date must be."""
    return one if one.tzinfo is None else datetime.combine(datetime(2000, 1, 2, tzinfo=UTC), one).astimezone(UTC).time()
