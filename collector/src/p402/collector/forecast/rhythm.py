"""The rhythm of a series of days: a weekday profile, a recent level, a damped trend; and how wrong they have been.

Dimensionless: a value is what a day cost as a multiple of the average day, so floats are in order here. Amounts of money are
made in `project`, of integers.

Four forecasters (the level of the last days remembered for a shorter and for a longer time, each with and without the trend
of the last weeks) are averaged, each with the weight that its errors on the series' own past earned it. The errors of the
average in those past forecasts are where the spread comes from. Calendar effects other than weekdays (holidays, month-ends)
are not modelled; they are in the errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["LEAST_DAYS", "Ahead", "Outlook", "Past", "look_ahead"]

LEAST_DAYS = 21
"""Complete days without which nothing is said: two weeks to learn from, and one to test that on."""

_WEEK = 7
_LEARN_DAYS = 14  # before the first forecast that is tested
_WEEKS = 8  # that profile, level and trend look back
_PROFILE_DECAY = 0.9  # weight of a week in the profile against the week after it
_TREND_DECAY = 0.85  # the same in the trend
_TREND_BELIEF = 0.3  # share of a trend that is carried forward, since most trends end
_TREND_DAMPING = 0.8  # growth of a week against the week before it
_STEEPEST = 0.35  # logarithm of a week's growth: 42 %
_DECAYS = (0.5 ** (1 / 5), 0.5 ** (1 / 14))  # the level forgets half in 5 and in 14 days
_FAINTEST = 0.1  # level under which errors are not measured by the level
_EXACT = 1e-6  # mean square error that counts as none
_REMEMBERED = 256  # series whose own past is not forecast again


@dataclass(frozen=True, slots=True)
class Past:
    """What is known: complete days, the oldest first, and the day under way."""

    values: Sequence[float]
    first_weekday: int
    """Of the first value; Monday is 0."""
    today: float = 0.0
    """What the day after the last has cost so far."""
    today_share: float = 0.0
    """The share of a day's cost that is usually spent by now."""

    def weekday(self, day: int) -> int:
        """Give the weekday of a day counted from the first value."""
        return (self.first_weekday + day) % _WEEK


@dataclass(frozen=True, slots=True)
class Ahead:
    """A day to come, or a part of it."""

    offset: int
    """Days after the day under way; 0 is the rest of that day."""
    share: float
    """The share of a day's cost that falls into the part."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected."""

    days: tuple[float, ...]
    """For each `Ahead`."""
    deviation: float
    """Standard deviation of the error of their sum, widened for how little is known about it."""


@dataclass(frozen=True, slots=True)
class _Forecaster:
    level: float
    """What an average day costs now."""
    growth: float
    """Logarithm of its growth in the next week."""

    def factor(self, offset: int) -> float:
        """Give the growth until a day to come, which lessens week by week."""
        if self.growth == 0:
            return 1.0
        weeks = offset / _WEEK
        return math.exp(self.growth * (1 - _TREND_DAMPING**weeks) / (1 - _TREND_DAMPING))


@dataclass(frozen=True, slots=True)
class _Test:
    """One forecast of the past: each forecaster's error in the cost of an average day, and its level."""

    errors: list[float]
    levels: list[float]


def look_ahead(past: Past, ahead: Sequence[Ahead]) -> Outlook:
    """Forecast days to come from at least `LEAST_DAYS` complete ones."""
    days = sum(piece.share for piece in ahead)
    horizon = min(max(math.ceil(days), 1), (len(past.values) - _LEARN_DAYS) // 2)
    tests = _tests(tuple(past.values), past.first_weekday, horizon)
    weights = _weights(tests)

    profile = _profile(past, len(past.values))
    forecasters = _forecasters(past, len(past.values), profile, past.today, past.today_share)
    expected = []
    for piece in ahead:
        weekday = profile[past.weekday(len(past.values) + piece.offset)]
        average = _mean([each.level * each.factor(piece.offset) for each in forecasters], weights)
        expected.append(average * weekday * piece.share)

    level = _mean([each.level for each in forecasters], weights)
    relative = [_mean(test.errors, weights) / max(_mean(test.levels, weights), _FAINTEST) for test in tests]
    error = math.sqrt(sum(value * value for value in relative) / len(relative))
    side_by_side = (len(past.values) - _LEARN_DAYS) / horizon  # forecasts that overlap err together
    widened = error * math.sqrt(1 + 2 / side_by_side)
    return Outlook(tuple(expected), widened * max(level, _FAINTEST) * (days if days > 1 else math.sqrt(days)))


@lru_cache(maxsize=_REMEMBERED)
def _tests(values: tuple[float, ...], first_weekday: int, horizon: int) -> tuple[_Test, ...]:
    """Forecast the past from each of its days. That costs most of a forecast, and stays the same until the day is over."""
    past = Past(values, first_weekday)
    return tuple(_test(past, origin, horizon) for origin in range(_LEARN_DAYS, len(values) - horizon + 1))


def _test(past: Past, origin: int, horizon: int) -> _Test:
    """Forecast some days of the past with what was known before them."""
    profile = _profile(past, origin)
    forecasters = _forecasters(past, origin, profile)
    weekdays = [profile[past.weekday(origin + offset)] for offset in range(horizon)]
    cost = sum(past.values[origin : origin + horizon])
    sums: dict[float, float] = {}
    for each in forecasters:
        if each.growth not in sums:
            sums[each.growth] = sum(weekday * each.factor(offset) for offset, weekday in enumerate(weekdays))
    errors = [(cost - each.level * sums[each.growth]) / horizon for each in forecasters]
    return _Test(errors, [each.level for each in forecasters])


def _weights(tests: Sequence[_Test]) -> list[float]:
    squares = [sum(error * error for error in errors) for errors in zip(*(test.errors for test in tests), strict=True)]
    earned = [1 / (square / len(tests) + _EXACT) for square in squares]
    return [weight / sum(earned) for weight in earned]


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True))


def _weeks(past: Past, end: int) -> list[Sequence[float]]:
    """Give the weeks before a day, the latest first. Each has every weekday once, so its sum knows no weekday."""
    ends = range(end, end - _WEEK * min(_WEEKS, end // _WEEK), -_WEEK)
    return [past.values[last - _WEEK : last] for last in ends]


def _profile(past: Past, end: int) -> list[float]:
    """Give what each weekday costs against the average day: its share of its own week, averaged over the weeks."""
    profile = [0.0] * _WEEK
    weight = 1.0
    for week in _weeks(past, end):
        if (cost := sum(week)) > 0:
            for day, value in enumerate(week):
                profile[past.weekday(end + day)] += weight * value / cost
        weight *= _PROFILE_DECAY
    total = sum(profile)
    return [_WEEK * value / total for value in profile] if total > 0 else [1.0] * _WEEK


def _forecasters(
    past: Past, end: int, profile: Sequence[float], today: float = 0.0, today_share: float = 0.0
) -> list[_Forecaster]:
    """Make the forecasters of a day: the level is cost over profile, both weighted by how recent they are."""
    growth = _growth(past, end)
    days = [
        (past.values[day], profile[past.weekday(day)]) for day in range(end - 1, max(end - _WEEK * _WEEKS, 0) - 1, -1)
    ]
    made = []
    for decay in _DECAYS:
        cost, expected, age = today, today_share * profile[past.weekday(end)], 0.0
        weight = 1.0
        for days_ago, (value, weekday) in enumerate(days, 1):
            weight *= decay
            cost += weight * value
            expected += weight * weekday
            age += weight * weekday * days_ago
        level = cost / expected if expected > 0 else 0.0
        made.append(_Forecaster(level, 0.0))
        if growth:  # the level is that of some days ago, on average
            made.append(_Forecaster(level * math.exp(growth * age / expected / _WEEK), growth))
        else:
            made.append(made[-1])
    return made


def _growth(past: Past, end: int) -> float:
    """Give the logarithm of a week's growth: the slope through the weeks, believed as far as it stands out of their noise."""
    points = [
        (-float(ago), math.log(cost), _TREND_DECAY**ago)
        for ago, cost in enumerate(map(sum, _weeks(past, end)))
        if cost > 0
    ]
    if len(points) < 3:  # noqa: PLR2004 - two points always lie on a line
        return 0.0
    total = sum(weight for _, _, weight in points)
    centre = sum(weight * week for week, _, weight in points) / total
    mean = sum(weight * value for _, value, weight in points) / total
    width = sum(weight * (week - centre) ** 2 for week, _, weight in points)
    slope = sum(weight * (week - centre) * (value - mean) for week, value, weight in points) / width
    residual = sum(weight * (value - mean - slope * (week - centre)) ** 2 for week, value, weight in points)
    noise = residual / (len(points) - 2) / width
    believed = slope * _TREND_BELIEF * (slope * slope / (slope * slope + noise) if slope else 0.0)
    return max(-_STEEPEST, min(believed, _STEEPEST))
