"""Replaying the past: what each method said about a period on each of its days, and how it turned out (pure).

A period is projected at every midnight inside it with nothing but what had been spent by then. Besides the two methods'
errors it is told whether the interval held, and how long before its end an overrun was first in sight, and in sight for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from p402.collector.forecast.project import Projection, project
from p402.collector.forecast.series import Hourly, days_between, hour_at_or_after, spent_between
from p402.vocabulary import Money

__all__ = ["Accuracy", "Guess", "Replay", "Sight", "accuracy", "replay", "sight_of"]


@dataclass(frozen=True, slots=True)
class Guess:
    """What was said at a midnight."""

    days_left: int
    projection: Projection
    actual: Money
    """What the period came to."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A period as it went by."""

    start: datetime
    end: datetime
    cap: Money | None
    actual: Money
    guesses: tuple[Guess, ...]
    """The first after one day, the last with one day left."""
    passed_with_days_left: int | None
    """Days left when the cap had been passed, at the end of that day; None if it was kept, or there is none."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How wrong guesses were, on average. Relative errors are shares of what the period came to."""

    guesses: int
    velocity_error: Money
    velocity_relative: float
    forecast_error: Money
    forecast_relative: float
    covered: float
    """The share of intervals that held what the period came to."""


@dataclass(frozen=True, slots=True)
class Sight:
    """How early something was seen, in days left of the period; None if it never was."""

    first: int | None
    lasting: int | None
    """From then on it was said every day, until the cap was passed or the period over."""


def replay(hourly: Hourly, start: datetime, end: datetime, zone: ZoneInfo, cap: Money | None = None) -> Replay:
    """Let a period go by."""
    actual = Money(spent_between(hourly, start, end))
    days = list(days_between(start, end, zone))
    guesses = []
    for number, day in enumerate(days[1:], 1):
        now_hour = hour_at_or_after(day.begin)
        known = {hour: cost for hour, cost in hourly.items() if hour < now_hour}
        guesses.append(Guess(len(days) - number, project(known, start, end, zone, day.begin, cap), actual))
    passed = None
    if cap is not None:
        over = (
            len(days) - number
            for number, day in enumerate(days, 1)
            if spent_between(hourly, start, day.end) > cap.nano_usd
        )
        passed = next(over, None)
    return Replay(start, end, cap, actual, tuple(guesses), passed)


def accuracy(guesses: Sequence[Guess]) -> Accuracy:
    """Average the errors of some guesses about periods that came to more than nothing; at least one."""
    velocity = [abs(guess.projection.velocity.projected.nano_usd - guess.actual.nano_usd) for guess in guesses]
    forecast = [abs(guess.projection.forecast.projected.nano_usd - guess.actual.nano_usd) for guess in guesses]
    bounds = [(guess.projection.forecast.low, guess.projection.forecast.high, guess.actual) for guess in guesses]
    held = [low <= actual <= high for low, high, actual in bounds if low is not None and high is not None]
    return Accuracy(
        guesses=len(guesses),
        velocity_error=_mean(velocity),
        velocity_relative=_mean_share(velocity, guesses),
        forecast_error=_mean(forecast),
        forecast_relative=_mean_share(forecast, guesses),
        covered=sum(held) / len(held) if held else 0.0,
    )


def sight_of(replayed: Replay, said: Callable[[Projection], bool]) -> Sight:
    """Tell how early something was said while the cap had not been passed yet."""
    passed = replayed.passed_with_days_left
    before = [guess for guess in replayed.guesses if passed is None or guess.days_left > passed]
    times = [guess.days_left for guess in before if said(guess.projection)]
    denials = [guess.days_left for guess in before if not said(guess.projection)]
    lasting = [days_left for days_left in times if days_left < min(denials, default=days_left + 1)]
    return Sight(max(times, default=None), max(lasting, default=None))


def _mean(errors: Sequence[int]) -> Money:
    return Money(round(Fraction(sum(errors), len(errors))))


def _mean_share(errors: Iterable[int], guesses: Sequence[Guess]) -> float:
    shares = [error / guess.actual.nano_usd for error, guess in zip(errors, guesses, strict=True)]
    return sum(shares) / len(shares)
