"""What the sessions of an employee use to cost (pure, exact).

Sessions belong to the day (UTC) on which their first priced charge began. Each is counted with what it has cost so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["DAYS", "Baseline", "Baselines", "Employee", "Totals"]

DAYS = 30
"""A session is compared with those that began on its own day or on one of so many days before."""


class Employee(NamedTuple):
    """One person in one organisation."""

    organisation: str
    employee: str


class Totals(NamedTuple):
    """Sessions, and what they cost together in nano-USD."""

    sessions: int
    cost: int

    def plus(self, sessions: int, cost: int) -> Totals:
        """Add to both."""
        return Totals(self.sessions + sessions, self.cost + cost)


NOTHING = Totals(0, 0)

StoredTotals = Callable[[Employee, int, int], Totals]
"""Gives the totals of an employee's sessions that began from one day to another, both included."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The other sessions that one session is compared with."""

    sessions: int
    cost: int
    """Of all of them, in nano-USD; the mean is this by ``sessions``, and is not computed, so that nothing is rounded."""

    @property
    def mean(self) -> int:
        """The mean in whole nano-USD, to be shown."""
        return self.cost // self.sessions if self.sessions else 0


class Baselines:
    """The days of all employees: what is stored, and what is new since then."""

    def __init__(self, stored: StoredTotals) -> None:
        self._stored = stored
        self._asked: dict[tuple[Employee, int], Totals] = {}
        self._new: dict[Employee, dict[int, Totals]] = {}

    @property
    def new(self) -> Mapping[Employee, Mapping[int, Totals]]:
        """What is to be added to the stored totals, by employee and day."""
        return self._new

    def add(self, employee: Employee, day: int, sessions: int, cost: int) -> None:
        """Count a new session, or a further cost of one, on the day on which it began."""
        days = self._new.setdefault(employee, {})
        days[day] = days.get(day, NOTHING).plus(sessions, cost)

    def besides(self, employee: Employee, day: int, cost: int) -> Baseline:
        """Give what a session of an employee is compared with; the session itself is counted already and left out.

        Args:
            employee: whose session it is.
            day: on which it began.
            cost: what it has cost so far.
        """
        first = day - DAYS
        if (employee, day) not in self._asked:
            self._asked[employee, day] = self._stored(employee, first, day)
        sessions, total = self._asked[employee, day]
        for each, new in self._new[employee].items():
            if first <= each <= day:
                sessions, total = sessions + new.sessions, total + new.cost
        return Baseline(sessions - 1, total - cost)
