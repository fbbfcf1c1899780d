"""When and under which context which prices of a model apply: the rate cards of one model, through time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

from p402.collector.pricing.compile import Prices, compile_card
from p402.decisions import RateCard, Unpriced

__all__ = ["Period", "Schedule", "Variant"]

_Constraint = StartDateConstraint | TimeOfDateConstraint


@dataclass(frozen=True, slots=True)
class Period:
    """Prices that apply from a date on, or between two times of the day (UTC); always, without a constraint."""

    prices: Prices
    constraint: _Constraint | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """Prices that replace those of the period for calls with a context such as ``{"processing": "batch"}``."""

    when: Mapping[str, str]
    prices: Prices
    constraint: _Constraint | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """All prices of one model. Cards are compiled when first needed; there are no more of them than price lists."""

    periods: tuple[Period, ...]
    """Of those that apply the last one counts; if none applies, the first."""
    variants: tuple[Variant, ...] = ()
    """For each kind of price the first variant that applies counts."""
    _cards: dict[tuple[int, tuple[int, ...]], RateCard | Unpriced] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def card(self, at: datetime, context: Mapping[str, str] | None = None) -> RateCard | Unpriced:
        """Give the card that is in force at a time (aware); a context that no variant names changes nothing.

        Raises:
            ValueError: if the time has no time zone.
        """
        if at.tzinfo is None:
            raise ValueError(f"Prices are dated in UTC, so the time of a call needs its zone; got {at.isoformat()}.")
        period = len(self.periods) - 1
        while period > 0 and not _applies(self.periods[period].constraint, at):
            period -= 1
        chosen = self._chosen(at, context) if context and self.variants else ()
        card = self._cards.get((period, chosen))
        if card is None:
            card = self._cards[period, chosen] = compile_card(self._merged(period, chosen))
        return card

    def has_prices_for(self, at: datetime, context: Mapping[str, str]) -> bool:
        """Tell whether there are prices of their own for a context at a time."""
        return bool(self._chosen(at, context))

    def _chosen(self, at: datetime, context: Mapping[str, str]) -> tuple[int, ...]:
        return tuple(
            number
            for number, variant in enumerate(self.variants)
            if _applies(variant.constraint, at)
            and all(context.get(key) == value for key, value in variant.when.items())
        )

    def _merged(self, period: int, chosen: tuple[int, ...]) -> Prices:
        prices = dict(self.periods[period].prices)
        for number in reversed(chosen):  # the first to apply is laid on last
            prices |= self.variants[number].prices
        return prices


def _applies(constraint: _Constraint | None, at: datetime) -> bool:
    return constraint is None or constraint.active(at)
