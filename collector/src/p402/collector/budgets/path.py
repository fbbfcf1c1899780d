"""The budgets on the path of a call, and the accounts that a hold of it touches at a moment (pure).

Calls of one owner come by the thousand, and which accounts theirs are changes with the calendar only: so it is looked up
once in a quarter of an hour, within which no zone begins a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from p402.decisions import Measure, Mode
from p402.vocabulary import Level

if TYPE_CHECKING:
    from p402.collector.budgets.budget import OnPath

__all__ = ["AccountKey", "BudgetPath", "Held", "Places"]

AccountKey = tuple[int, str, int]
"""Budget, node, and start of the period (or of the slice of a rolling one)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUARTER = timedelta(minutes=15)


class Held(NamedTuple):
    """The account in which a budget keeps what is held for a call."""

    account: AccountKey
    measure: Measure
    counts_for: int | None
    """How long after its end a call still counts, in milliseconds; None if that is for its account to say."""


@dataclass(frozen=True, slots=True)
class Places:
    """The accounts of a path at a moment."""

    keys: tuple[AccountKey | None, ...]
    """One for each budget of the path; None for a ceiling for single calls, which has no account."""
    held: tuple[Held, ...]
    ends_at: datetime | None
    """When the first of their periods ends; None if none does."""


class BudgetPath(tuple["OnPath", ...]):  # noqa: SLOT001 - it remembers, which a tuple with slots cannot
    """The budgets on the path of a call, from the organisation down; ceilings for single calls come last."""

    _known: tuple[int, Places] | None = None
    measures: frozenset[Measure]
    """What its accounts count."""
    observes: bool
    """Whether a budget only observes."""
    hard: bool
    """Whether a budget that is enforced must hold for every call."""

    def __init__(self, _: object = ()) -> None:
        self.measures = frozenset(on.budget.measure for on in self if on.budget.level is not Level.REQUEST)
        self.observes = any(on.budget.mode is Mode.OBSERVE for on in self)
        self.hard = any(on.budget.hard and on.budget.mode is Mode.ENFORCE for on in self)
        self._overridden_until = sorted({one.expires_at for on in self for one in on.budget.overrides})

    def overridden_until(self, at: datetime) -> datetime | None:
        """Give when the next override of a budget of the path ends; None if none is in force."""
        return next((end for end in self._overridden_until if end > at), None)

    def places(self, at: datetime) -> Places:
        """Give the accounts in which something is held at a moment."""
        quarter = (at - _EPOCH) // _QUARTER
        known = self._known
        if known is None or known[0] != quarter:
            known = self._known = quarter, self._find(at)
        return known[1]

    def _find(self, at: datetime) -> Places:
        keys = [
            None if on.budget.level is Level.REQUEST else (on.budget.id, on.node, on.budget.period.held_in(at))
            for on in self
        ]
        having = [(on, key) for on, key in zip(self, keys, strict=True) if key is not None]
        held = tuple(Held(key, on.budget.measure, _counts_for(on)) for on, key in having)
        ends = [end for on, _ in having if (end := on.budget.period.window(at).end) is not None]
        return Places(tuple(keys), held, min(ends, default=None))


def _counts_for(on: OnPath) -> int | None:
    return 0 if on.budget.measure is Measure.CONCURRENCY else on.budget.period.length_millis
