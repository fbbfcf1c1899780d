"""The projection of spend to the end of a period, by two methods (pure).

* *Velocity*: what was spent so far, over the time that is over, times the time that remains.
* *Rhythm*: what was spent so far, and for each day to come what the last weeks say about it, see `rhythm`; with an interval. With
  less than `LEAST_DAYS` complete days of history it falls back to velocity, and says so.

Money stays whole: floats are factors of the average day, whose cost is an exact fraction. Each day to come is rounded
half-even to a nano-dollar once (by velocity: the sum up to its end), as is the width of the interval; everything else is a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from itertools import accumulate, pairwise
from statistics import NormalDist
from zoneinfo import ZoneInfo

from p402.collector.forecast.history import History, history_until
from p402.collector.forecast.rhythm import LEAST_DAYS, look_ahead
from p402.collector.forecast.series import Day, Hourly, days_between, spent_between
from p402.vocabulary import Money

__all__ = ["INTERVAL", "Forecast", "Method", "ProjectedDay", "Projection", "Velocity", "project"]

INTERVAL = 0.8
"""The share of outcomes that the interval is meant to hold."""

_DEVIATIONS = NormalDist().inv_cdf((1 + INTERVAL) / 2)  # half the interval's width, in standard deviations
_MICROSECOND = timedelta(microseconds=1)


class Method(StrEnum):
    """What a forecast stands on."""

    RHYTHM = "rhythm"
    VELOCITY = "velocity"
    """The fall-back: too little history."""
    FINAL = "final"
    """The period is over."""


@dataclass(frozen=True, slots=True)
class ProjectedDay:
    """One day of the period."""

    date: date
    spent: Money
    expected: Money
    """What is still to come on this day."""


@dataclass(frozen=True, slots=True)
class Velocity:
    """The end of the period if spend goes on at the speed that it has had in it."""

    per_day: Money
    """Spend in 24 hours; zero when the period has not begun."""
    projected: Money
    cap_reached_on: date | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The end of the period as history has it."""

    method: Method
    basis_days: int
    """Complete days of history, since the first with any spend."""
    projected: Money
    low: Money | None
    """Bounds of the interval; None where nothing is known about the error."""
    high: Money | None
    cap_reached_on: date | None
    """The day on which spend comes to the cap, or came; None if not in this period."""
    cap_passed_probability: float | None
    """Of spending more than the cap; None without a cap, or where nothing is known about the error."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Where the spend of a period is heading."""

    start: datetime
    end: datetime
    now: datetime
    spent: Money
    cap: Money | None
    velocity: Velocity
    forecast: Forecast
    days: tuple[ProjectedDay, ...]
    """The days of the period; spent and expected together are what ``forecast`` projects."""

    @property
    def elapsed(self) -> timedelta:
        """The part of the period that is over."""
        return min(max(self.now, self.start), self.end) - self.start


def project(
    hourly: Hourly, start: datetime, end: datetime, zone: ZoneInfo, now: datetime, cap: Money | None = None
) -> Projection:
    """Project the spend of a period to its end.

    Args:
        hourly: what was spent, from `history.HISTORY` before now (or from the period's start, if that is earlier) on.
        start: of the period.
        end: of the period, not included; after the start.
        zone: whose days and weekdays count.
        now: until when ``hourly`` is complete.
        cap: what may be spent in the period.
    """
    days = list(days_between(start, end, zone))
    spent = [spent_between(hourly, day.begin, day.end) for day in days]
    total = sum(spent)
    elapsed = (min(max(now, start), end) - start) // _MICROSECOND
    speed = Fraction(total, elapsed) if elapsed else Fraction(0)
    at_speed = _at_speed(speed, days, now)
    velocity = Velocity(
        per_day=Money(round(speed * (timedelta(days=1) // _MICROSECOND))),
        projected=Money(total + sum(at_speed)),
        cap_reached_on=_reached(cap, days, spent, at_speed),
    )
    history = history_until(hourly, now, zone)
    expected, error = at_speed, None
    if now >= end:
        method, error = Method.FINAL, 0
    elif history.days < LEAST_DAYS:
        method = Method.VELOCITY
    else:
        method = Method.RHYTHM
        expected, error = _in_rhythm(history, days, now)
    projected = total + sum(expected)
    width = None if error is None else round(Fraction(_DEVIATIONS) * error)
    forecast = Forecast(
        method=method,
        basis_days=history.days,
        projected=Money(projected),
        low=None if width is None else Money(max(projected - width, total)),
        high=None if width is None else Money(projected + width),
        cap_reached_on=_reached(cap, days, spent, expected),
        cap_passed_probability=None if cap is None or error is None else _passed(cap.nano_usd, total, projected, error),
    )
    walked = zip(days, spent, expected, strict=True)
    return Projection(
        start=start,
        end=end,
        now=now,
        spent=Money(total),
        cap=cap,
        velocity=velocity,
        forecast=forecast,
        days=tuple(ProjectedDay(day.date, Money(was), Money(will)) for day, was, will in walked),
    )


def _at_speed(speed: Fraction, days: Sequence[Day], now: datetime) -> list[int]:
    """Give what each day has to come at a speed in nano-USD a microsecond."""
    ahead = [(day.end - max(day.begin, min(now, day.end))) // _MICROSECOND for day in days]
    until = [round(speed * time) for time in accumulate(ahead, initial=0)]
    return [later - earlier for earlier, later in pairwise(until)]


def _in_rhythm(history: History, days: Sequence[Day], now: datetime) -> tuple[list[int], int]:
    """Give what each day has to come by the history, and the standard deviation of the sum."""
    to_come = [Day(day.date, max(day.begin, now), day.end) for day in days if day.end > now]
    outlook = look_ahead(history.past, [history.ahead(part) for part in to_come])
    expected = [0] * (len(days) - len(to_come))
    expected += [round(history.average_day * Fraction(factor)) for factor in outlook.days]
    return expected, round(history.average_day * Fraction(outlook.deviation))


def _reached(cap: Money | None, days: Sequence[Day], spent: Sequence[int], expected: Sequence[int]) -> date | None:
    if cap is None:
        return None
    until = accumulate(was + will for was, will in zip(spent, expected, strict=True))
    return next((day.date for day, amount in zip(days, until, strict=True) if amount >= cap.nano_usd), None)


def _passed(cap: int, spent: int, projected: int, error: int) -> float:
    if spent > cap or error == 0:
        return float(projected > cap)
    return 1 - NormalDist().cdf((cap - projected) / error)
