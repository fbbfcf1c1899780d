"""Organisations that never were: a year and a half of hourly spend each, with the rhythms that real spend has.

A day costs: base × growth × weekday × month's end × holiday × regime × wander × noise. The first six are the *rhythm*, which
is known here, so that it can be told what anybody could have known on a day: `SyntheticSpend.foreseeable`. Wander (a slow
autoregressive drift) and noise are chance. Numbers come from a generator with a seed and from nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from p402.collector.forecast.series import days_between, hour_at_or_after, spent_between, start_of_day

ZONE = ZoneInfo("Europe/Berlin")
FIRST, LAST = date(2025, 1, 1), date(2026, 6, 30)
OFFICE_WEEK = (1.0, 1.06, 1.05, 1.02, 0.86, 0.12, 0.08)
EVERY_DAY = (1.02, 1.0, 1.0, 1.0, 1.02, 0.97, 0.95)
OFFICE_HOURS = tuple(1.0 if 9 <= hour < 18 else 0.3 if 7 <= hour < 21 else 0.01 for hour in range(25))
ROUND_THE_CLOCK = tuple(1.0 + 0.4 * math.sin((hour - 8) * math.pi / 12) for hour in range(25))
HOLIDAYS = {
    date(2025, 1, 1), date(2025, 4, 18), date(2025, 4, 21), date(2025, 5, 1), date(2025, 5, 29), date(2025, 6, 9),
    date(2025, 10, 3), date(2025, 12, 25), date(2025, 12, 26), date(2026, 1, 1), date(2026, 4, 3), date(2026, 4, 6),
    date(2026, 5, 1), date(2026, 5, 14), date(2026, 5, 25),
}  # fmt: skip


@dataclass(frozen=True)
class Regime:
    """From a day on (to another) everything costs so many times as much: a new product, a loop, a price."""

    first: date
    factor: float
    last: date = date.max


@dataclass(frozen=True)
class SyntheticSpend:
    """A node of the tree and what it spends."""

    kind: str
    seed: int
    base_usd: float
    growth_per_month: float = 0.0
    week: tuple[float, ...] = OFFICE_WEEK
    hours: tuple[float, ...] = OFFICE_HOURS
    holiday: float = 0.1
    month_end: float = 1.0
    """Factor on the last three working days of a month."""
    noise: float = 0.22
    wander: float = 0.03
    sessions_per_day: float | None = None
    """Spend comes in so few sessions that a day may have none; None: in so many that they even out."""
    regimes: tuple[Regime, ...] = ()
    hourly: dict[int, int] = field(default_factory=dict, repr=False)

    def rhythm(self, day: date, known_on: date) -> float:
        """Give what a day costs on average, in USD, as far as regimes had begun on another day."""
        factor = self.base_usd * math.exp(self.growth_per_month * (day - FIRST).days / 30.4)
        factor *= self.week[day.weekday()]
        if day in HOLIDAYS and day.weekday() < 5:
            factor *= self.holiday
        if day.weekday() < 5 and working_days_left(day) < 3:
            factor *= self.month_end
        if self.week is OFFICE_WEEK and (day.month, day.day) >= (12, 22):
            factor *= 0.35
        for regime in self.regimes:
            if regime.first <= min(day, known_on) and day <= regime.last:
                factor *= regime.factor
        return factor

    def spend(self) -> SyntheticSpend:
        """Let the time pass."""
        random = Random(f"{self.kind} {self.seed}")
        drift = 0.0
        for day in days_between(start_of_day(FIRST, ZONE), start_of_day(LAST + timedelta(days=1), ZONE), ZONE):
            drift = 0.97 * drift + random.gauss(0, self.wander)
            usd = self.rhythm(day.date, day.date) * math.exp(drift) * self._chance(random)
            first, last = hour_at_or_after(day.begin), hour_at_or_after(day.end)
            weights = [self.hours[number] * random.lognormvariate(0, 0.5) for number in range(last - first)]
            for hour, weight in zip(range(first, last), weights, strict=True):
                if nano := round(usd * 1e9 * weight / sum(weights)):
                    self.hourly[hour] = nano
        return self

    def _chance(self, random: Random) -> float:
        if self.sessions_per_day is None:
            return random.lognormvariate(-(self.noise**2) / 2, self.noise)
        sessions, passed = 0, random.expovariate(self.sessions_per_day)
        while passed < 1:
            sessions, passed = sessions + 1, passed + random.expovariate(self.sessions_per_day)
        return sum(random.lognormvariate(-0.5, 1.0) for _ in range(sessions)) / self.sessions_per_day

    def spent(self, start: datetime, end: datetime) -> int:
        """Nano-USD from one moment to another."""
        return spent_between(self.hourly, start, end)

    def foreseeable(self, start: datetime, now: datetime, end: datetime) -> int:
        """Give the end of a period, in nano-USD, as somebody would put it at a midnight who knows every rhythm until then."""
        yesterday = now.astimezone(ZONE).date() - timedelta(days=1)
        rest = sum(self.rhythm(day.date, yesterday) for day in days_between(now, end, ZONE))
        return self.spent(start, now) + round(rest * 1e9)


def working_days_left(day: date) -> int:
    """Working days of the month after a day."""
    left, day = 0, day + timedelta(days=1)
    while day.day != 1:
        left += day.weekday() < 5
        day += timedelta(days=1)
    return left


def organisations(seed: int) -> list[SyntheticSpend]:
    """One of each kind; the seed decides their numbers and their days."""
    random = Random(seed)

    def some_day(first: date, last: date) -> date:
        return first + timedelta(days=random.randrange((last - first).days))

    def last_week(month: date) -> Regime:
        end = (month.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        return Regime(end - timedelta(days=random.randrange(3, 7)), random.uniform(3, 6), end)

    made: list[Callable[[], SyntheticSpend]] = [
        lambda: SyntheticSpend("office", seed, random.uniform(20, 200), random.uniform(0.0, 0.03)),
        lambda: SyntheticSpend("growing", seed, random.uniform(20, 200), random.uniform(0.08, 0.16)),
        lambda: SyntheticSpend(
            "service", seed, random.uniform(50, 500), random.uniform(-0.02, 0.05), EVERY_DAY, ROUND_THE_CLOCK, 1.0,
            noise=0.1, wander=0.05,
        ),
        lambda: SyntheticSpend(
            "month-end", seed, random.uniform(20, 100), 0.02, month_end=random.uniform(1.8, 3.0)
        ),
        lambda: SyntheticSpend(
            "new regimes", seed, random.uniform(20, 200), 0.01,
            regimes=(
                Regime(some_day(date(2025, 7, 1), date(2025, 12, 1)), random.uniform(1.5, 2.5)),
                Regime(some_day(date(2026, 1, 1), date(2026, 6, 1)), random.uniform(0.5, 2.0)),
            ),
        ),
        lambda: SyntheticSpend(
            "late jumps", seed, random.uniform(20, 200), 0.01,
            regimes=tuple(last_week(month) for month in (date(2025, 9, 1), date(2026, 1, 1), date(2026, 5, 1))),
        ),
        lambda: SyntheticSpend(
            "small team", seed, random.uniform(3, 10), 0.02, sessions_per_day=random.uniform(1, 3)
        ),
    ]  # fmt: skip
    return [make().spend() for make in made]
