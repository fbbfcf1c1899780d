"""What charts show, as tables: a script draws them, and whoever has no script reads them (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate

from p402.collector.forecast.project import Projection
from p402.collector.storage.usage import day_of
from p402.collector.usage.slices import Period, UsageSum
from p402.vocabulary import Money

__all__ = ["MOST_NAMES", "OTHERS", "Column", "Lines", "Stack", "burn_down", "stack_by_day"]

MOST_NAMES = 7
"""That a chart tells apart."""
OTHERS = "\0others"
"""The name of what somebody has summed already, since it is no name of the seven; no node is called so."""
_NOTHING = Money(0)


@dataclass(frozen=True, slots=True)
class Stack:
    """Amounts by day and name, to be drawn as columns on each other."""

    id: str
    title: str
    names: Sequence[str]
    days: Sequence[tuple[int, Sequence[Money]]]
    """Days since 1970, each with an amount for every name."""


@dataclass(frozen=True, slots=True)
class Column:
    """A line: its name, and how it is drawn: ``actual``, ``expected``, ``cap``."""

    name: str
    style: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Amounts by day, to be drawn as lines; None where a line is not there yet, or no more."""

    id: str
    title: str
    columns: Sequence[Column]
    days: Sequence[tuple[int, Sequence[Money | None]]]


def stack_by_day(
    id_: str,
    title: str,
    sums: Iterable[UsageSum],
    period: Period,
    until: date,
    called: Callable[[str], str] = str,
) -> Stack:
    """Make a chart of sums by day and one other dimension: the dearest names, and the others together.

    Args:
        id_: of its element.
        title: what it shows.
        sums: by day and the other dimension.
        period: the days.
        until: days after this one have not come yet, and are left out.
        called: gives what a value is called.
    """
    by_name: defaultdict[str, defaultdict[int, Money]] = defaultdict(lambda: defaultdict(lambda: _NOTHING))
    for one in sums:
        number, value = one.by
        by_name[str(value)][int(number)] += one.cost
    totals = {value: _sum(days.values()) for value, days in by_name.items()}
    dearest = sorted(totals, key=lambda value: (value == OTHERS, -totals[value].nano_usd, value))
    shown, rest = dearest[:MOST_NAMES], dearest[MOST_NAMES:]
    names = [called(value) if value else "unattributed" for value in shown] + (["others"] if rest else [])
    days = []
    for number in range(day_of(period.first), day_of(min(period.last, until)) + 1):
        amounts = [by_name[value][number] for value in shown]
        days.append((number, [*amounts, _sum(by_name[value][number] for value in rest)] if rest else amounts))
    return Stack(id_, title, names, days)


def burn_down(id_: str, title: str, projection: Projection) -> Lines:
    """Make a chart of what was spent by the end of each day of a period, what is expected, and the cap."""
    today = day_of(projection.now)
    spent = list(accumulate((one.spent for one in projection.days), initial=_NOTHING))[1:]
    both = list(accumulate((one.spent + one.expected for one in projection.days), initial=_NOTHING))[1:]
    columns = [Column("spent", "actual"), Column("expected", "expected")]
    days: list[tuple[int, Sequence[Money | None]]] = []
    for one, actual, expected in zip(projection.days, spent, both, strict=True):
        number = day_of(one.date)
        amounts: list[Money | None] = [actual if number <= today else None, expected if number >= today else None]
        days.append((number, [*amounts, projection.cap] if projection.cap is not None else amounts))
    if projection.cap is not None:
        columns.append(Column("budget", "cap"))
    return Lines(id_, title, columns, days)


def _sum(amounts: Iterable[Money]) -> Money:
    return Money(sum(amount.nano_usd for amount in amounts))
