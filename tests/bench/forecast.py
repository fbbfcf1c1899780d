"""``make bench-forecast``: projections of synthetic months, both methods, beside what could have been known.

Each month is replayed day by day. Caps are what a careful owner would set: a tenth more than the average of the three months
before. An overrun is called *foreseeable* if on the day in question somebody who knows every rhythm of the
organisation (but no jump that has not begun, and no chance) would have put the month's end above the cap: more than that no
method can be asked for. Nothing here is tuned to the outcome; seeds are 1 to 5, and those used to choose the method were others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import fmean, median

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from p402.collector.forecast.backtest import Guess, Replay, accuracy, replay, sight_of
from p402.collector.forecast.project import Projection
from p402.collector.forecast.series import start_of_day
from p402.vocabulary import NANO_PER_USD, Money
from support.synthetic_spend import ZONE, SyntheticSpend, organisations

SEEDS = (1, 2, 3, 4, 5)
MONTHS = [date(2025, month, 1) for month in range(7, 13)] + [date(2026, month, 1) for month in range(1, 7)]
EARLY = 14
DAYS_LEFT = ((22, 30), (15, 21), (8, 14), (4, 7), (1, 3))
CLAIMS: dict[str, Callable[[Projection], bool]] = {
    "velocity > cap": lambda said: over(said.velocity.projected, said.cap, 100),
    "forecast > cap": lambda said: over(said.forecast.projected, said.cap, 100),
    "velocity > 90 % of cap": lambda said: over(said.velocity.projected, said.cap, 90),
    "forecast > 90 % of cap": lambda said: over(said.forecast.projected, said.cap, 90),
    "chance of passing the cap ≥ 30 %": lambda said: (said.forecast.cap_passed_probability or 0) >= 0.3,
}


@dataclass(frozen=True)
class Month:
    """A month of an organisation, replayed."""

    kind: str
    seed: int
    replayed: Replay
    foreseeable_early: bool
    """Whether 14 days before its end an overrun could have been known of."""

    @property
    def overran(self) -> bool:
        return self.replayed.passed_with_days_left is not None


def over(amount: Money, cap: Money | None, percent: int) -> bool:
    return cap is not None and amount.nano_usd * 100 > cap.nano_usd * percent


def bounds(month: date) -> tuple[datetime, datetime]:
    return start_of_day(month, ZONE), start_of_day(after(month), ZONE)


def after(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)


def before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def cap_of(spend: SyntheticSpend, month: date) -> Money:
    """A tenth more than the average of the three months before, in whole dollars."""
    first = before(before(before(month)))
    three = spend.spent(start_of_day(first, ZONE), start_of_day(month, ZONE))
    return Money((three * 11 // 30 // NANO_PER_USD + 1) * NANO_PER_USD)


def months_of(seed: int, months: Sequence[date] = MONTHS) -> list[Month]:
    """Replay all months of the organisations of a seed."""
    found = []
    for spend in organisations(seed):
        for month in months:
            start, end = bounds(month)
            cap = cap_of(spend, month)
            early = start_of_day(after(month) - timedelta(days=EARLY), ZONE)
            known = spend.foreseeable(start, early, end) > cap.nano_usd
            found.append(Month(spend.kind, spend.seed, replay(spend.hourly, start, end, ZONE, cap), known))
    return found


def errors(months: Sequence[Month]) -> Table:
    """Errors of the projected end of the month."""
    table = Table(
        "organisation",
        "days left",
        "velocity MAE $",
        "forecast MAE $",
        "velocity MAPE",
        "forecast MAPE",
        "80 % interval held",
        box=None,
    )
    for kind in [*dict.fromkeys(month.kind for month in months), None]:
        for least, most in DAYS_LEFT:
            guesses = [
                guess
                for month in months
                if kind in (None, month.kind)
                for guess in month.replayed.guesses
                if least <= guess.days_left <= most
            ]
            row(table, kind or "all", f"{least} to {most}", guesses)
    return table


def by_seed(months: Sequence[Month]) -> Table:
    """The same by seed, over all days."""
    table = Table(
        "seed",
        "guesses",
        "velocity MAE $",
        "forecast MAE $",
        "velocity MAPE",
        "forecast MAPE",
        "80 % interval held",
        box=None,
    )
    for seed in dict.fromkeys(month.seed for month in months):
        guesses = [guess for month in months if month.seed == seed for guess in month.replayed.guesses]
        row(table, str(seed), f"{len(guesses):,}", guesses)
    return table


def row(table: Table, first: str, second: str, guesses: Sequence[Guess]) -> None:
    found = accuracy(guesses)
    table.add_row(
        first,
        second,
        f"{found.velocity_error.nano_usd / NANO_PER_USD:,.0f}",
        f"{found.forecast_error.nano_usd / NANO_PER_USD:,.0f}",
        f"{found.velocity_relative:.1%}",
        f"{found.forecast_relative:.1%}",
        f"{found.covered:.0%}",
    )


def overruns(months: Sequence[Month]) -> Table:
    """How early overruns came in sight, and what was said about months that kept within their caps."""
    table = Table(
        "said", "foreseeable overruns: said ≥ 14 days early", "for good", "on the very 14th day", "other overruns: on the very 14th day",
        "foreseeable: days left, first, median (mean)", "for good", "days before the cap, first", "within the cap: on the very 14th day",
        "on any day ≥ 14 days early", box=None,
    )  # fmt: skip
    known = [month for month in months if month.overran and month.foreseeable_early]
    others = [month for month in months if month.overran and not month.foreseeable_early]
    kept = [month for month in months if not month.overran]
    for name, said in CLAIMS.items():
        sights = [sight_of(month.replayed, said) for month in known]
        ahead = [
            sight.first - month.replayed.passed_with_days_left
            for month, sight in zip(known, sights, strict=True)
            if sight.first is not None and month.replayed.passed_with_days_left is not None
        ]
        false = [
            said(guess.projection) for month in kept for guess in month.replayed.guesses if guess.days_left >= EARLY
        ]
        table.add_row(
            name,
            of(sum(early(sight.first) for sight in sights), len(known)),
            of(sum(early(sight.lasting) for sight in sights), len(known)),
            *(of(sum(on_the_day(month, said) for month in some), len(some)) for some in (known, others)),
            spread(sight.first for sight in sights),
            spread(sight.lasting for sight in sights),
            spread(ahead),
            of(sum(on_the_day(month, said) for month in kept), len(kept)),
            of(sum(false), len(false)),
        )
    return table


def on_the_day(month: Month, said: Callable[[Projection], bool]) -> bool:
    return any(said(guess.projection) for guess in month.replayed.guesses if guess.days_left == EARLY)


def missed(months: Sequence[Month]) -> list[str]:
    """The foreseeable overruns that the forecast did not put above 90 % of the cap 14 days early."""
    said = CLAIMS["forecast > 90 % of cap"]
    return [
        f"{month.kind}, seed {month.seed}, {month.replayed.end - timedelta(days=1):%B %Y}:"
        f" {month.replayed.actual.nano_usd / (month.replayed.cap or Money(1)).nano_usd:.0%} of the cap"
        for month in months
        if month.overran and month.foreseeable_early and not early(sight_of(month.replayed, said).first)
    ]


def early(days_left: int | None) -> bool:
    return days_left is not None and days_left >= EARLY


def of(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({part / whole:.0%})" if whole else "")


def spread(days: Iterable[int | None]) -> str:
    found = [number for number in days if number is not None]
    return f"{median(found):.0f} ({fmean(found):.1f})" if found else "never"


def late(months: Sequence[Month]) -> Table:
    """The overruns that nobody could have known of 14 days early, by kind of organisation."""
    table = Table("organisation", "months", "overran", "of which foreseeable 14 days before the end", box=None)
    for kind in dict.fromkeys(month.kind for month in months):
        of_kind = [month for month in months if month.kind == kind]
        overran = [month for month in of_kind if month.overran]
        table.add_row(
            kind, str(len(of_kind)), str(len(overran)), str(sum(month.foreseeable_early for month in overran))
        )
    return table


def main() -> None:
    """Print the tables."""
    console = Console(width=220)
    months: list[Month] = []
    with ProcessPoolExecutor(2) as pool:
        for found in track(pool.map(months_of, SEEDS), "Replaying …", len(SEEDS), console=console, transient=True):
            months += found
    console.print(
        f"{len(months)} months of {len(months) // len(MONTHS)} organisations; the month's end, forecast every midnight.\n"
    )
    for table in (errors(months), by_seed(months), late(months), overruns(months)):
        console.print(table)
        console.print()
    console.print(
        "Foreseeable, and never put above 90 % of the cap by the forecast 14 days early:", missed(months) or "none"
    )


if __name__ == "__main__":
    main()
