"""Questions to the roll-up: which part of the usage, summed by what (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from p402.vocabulary import Attribution, Level, Money

__all__ = ["Dimension", "Period", "Slice", "UsageSum", "fold"]


class Dimension(StrEnum):
    """What usage can be told apart by. The levels are called as everywhere; nothing is deeper than an employee's day."""

    DAY = "day"
    DEPARTMENT = "department"
    PROJECT = "project"
    CLIENT = "client"
    EMPLOYEE = "employee"
    PROVIDER = "provider"
    MODEL = "model"
    TASK_TYPE = "task_type"
    VERDICT = "verdict"
    """What was decided about a call that went ahead; ``""``: nobody was asked."""


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days in UTC, the last one included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many."""
        return (self.last - self.first).days + 1

    @property
    def begin(self) -> datetime:
        """The moment at which it begins."""
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The moment at which it is over."""
        return datetime(self.last.year, self.last.month, self.last.day, tzinfo=UTC) + timedelta(days=1)

    def before(self, today: date) -> Period:
        """Give what it is compared with: as many days before it as are over of it; for a month, the first of the month before.

        Args:
            today: this day counts as over.
        """
        over = (min(self.last, today) - self.first).days + 1
        is_month = self.first.day == 1 and (self.last + timedelta(days=1)).day == 1
        first = (self.first - timedelta(days=1)).replace(day=1) if is_month else self.first - timedelta(days=self.days)
        return Period(first, min(first + timedelta(days=over - 1), self.first - timedelta(days=1)))


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of what an organisation used."""

    organisation: str
    period: Period
    only: Mapping[Dimension, str] = field(default_factory=dict)
    """What a dimension must be; ``""`` is the unattributed or unknown one."""

    def narrowed(self, dimension: Dimension, value: str) -> Slice:
        """Give the part of it where a dimension has a value."""
        return replace(self, only={**self.only, dimension: value})

    def within(self, part: Attribution) -> Slice:
        """Give what of it lies in a part of the tree."""
        bound = {Dimension(level.value): value for level, value in part if value is not None and level in _LEVELS}
        if any(self.only.get(dimension, value) != value for dimension, value in bound.items()):
            return replace(self, period=Period(self.period.first, self.period.first - timedelta(days=1)))
        return replace(self, only={**self.only, **bound})


@dataclass(frozen=True, slots=True)
class UsageSum:
    """What was used where some dimensions have certain values."""

    by: tuple[str | int, ...]
    """The values, in the order in which they were asked for; a day as days since 1970."""
    cost: Money
    charges: int
    unpriced_charges: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    """Those of the input that came from a cache."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """All that can be added."""
        return (
            self.cost.nano_usd,
            self.charges,
            self.unpriced_charges,
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
        )

    @property
    def tokens(self) -> int:
        """Of input and output."""
        return self.input_tokens + self.output_tokens


def fold(sums: Iterable[UsageSum], keep: Sequence[int] = ()) -> list[UsageSum]:
    """Sum further: by some of the dimensions only, given by their places; the dearest first. Of none there is none."""
    found: dict[tuple[str | int, ...], list[int]] = {}
    for one in sums:
        total = found.setdefault(tuple(one.by[place] for place in keep), [0] * 6)
        for place, number in enumerate(one.numbers):
            total[place] += number
    folded = [UsageSum(by, Money(cost), *counts) for by, (cost, *counts) in found.items()]
    return sorted(folded, key=lambda one: (-one.cost.nano_usd, one.by))


_LEVELS = (Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE)
