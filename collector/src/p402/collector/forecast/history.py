"""What a node has spent until now, as a forecast needs it: complete days, the day under way, and the shape of a day (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from p402.collector.forecast.rhythm import Ahead, Past
from p402.collector.forecast.series import HOUR, Day, Hourly, hour_at_or_after, spent_between, start_of_day

__all__ = ["HISTORY", "History", "history_until"]

HISTORY = timedelta(days=182)
"""How far back a forecast looks: half a year, to have seen how the spend of a node moves."""

_SHAPE_DAYS = 56
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class History:
    """The past of a node up to a moment. Amounts are multiples of what its average day cost."""

    past: Past
    average_day: Fraction
    """In nano-USD; zero if nothing was ever spent."""
    today: date
    _zone: ZoneInfo
    _by_hour: tuple[int, ...]
    """Nano-USD by the hour of the day in which they were spent, over the last weeks; an hour more for the longest day."""

    @property
    def days(self) -> int:
        """Complete days since the first that had any spend."""
        return len(self.past.values)

    def ahead(self, part: Day) -> Ahead:
        """Place a day to come, or a part of one."""
        return Ahead((part.date - self.today).days, self._share(part))

    def _share(self, part: Day) -> float:
        begin, end = start_of_day(part.date, self._zone), start_of_day(part.date + _DAY, self._zone)
        whole = self._until(end - begin)
        if (part.begin, part.end) == (begin, end) or whole == 0:
            return (part.end - part.begin) / (end - begin)
        return float((self._until(part.end - begin) - self._until(part.begin - begin)) / whole)

    def _until(self, time: timedelta) -> Fraction:
        """Give what was spent until a time of the day; within an hour it is taken to come evenly."""
        hours, rest = divmod(time, HOUR)
        within = Fraction(rest // timedelta(microseconds=1), HOUR // timedelta(microseconds=1))
        return sum(self._by_hour[:hours]) + within * sum(self._by_hour[hours : hours + 1])


def history_until(hourly: Hourly, now: datetime, zone: ZoneInfo) -> History:
    """Read the history before a moment: from the first day with any spend on, at most `HISTORY`."""
    today = now.astimezone(zone).date()
    dates = [today - ago * _DAY for ago in range(HISTORY.days, -1, -1)]
    midnights = [start_of_day(day, zone) for day in dates]
    costs = [spent_between(hourly, begin, end) for begin, end in pairwise(midnights)]
    first = next((number for number, cost in enumerate(costs) if cost), len(costs))
    days = len(costs) - first
    average = Fraction(sum(costs), days) if days else Fraction(0)

    by_hour = [0] * 26
    for midnight, next_midnight in list(pairwise(midnights))[-_SHAPE_DAYS:]:
        hours = range(hour_at_or_after(midnight), hour_at_or_after(next_midnight))
        for number, hour in enumerate(hours):
            by_hour[number] += hourly.get(hour, 0)
    history = History(Past((), dates[first].weekday()), average, today, zone, tuple(by_hour))
    if not average:
        return history
    spent_today = spent_between(hourly, midnights[-1], now)
    so_far = history.ahead(Day(today, midnights[-1], now)).share
    values = [float(cost / average) for cost in costs[first:]]
    past = Past(values, dates[first].weekday(), float(spent_today / average), so_far)
    return History(past, average, today, zone, tuple(by_hour))
