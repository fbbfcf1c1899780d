"""What calls cost that were moved to another model, beside what the model that was asked for would have cost (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p402.collector.pricing import PriceBook, Priced
from p402.vocabulary import Charge, Money

__all__ = ["Moved", "moved"]


@dataclass(frozen=True, slots=True)
class Moved:
    """Calls that a decision moved from one model to another."""

    calls: int
    incomparable: int
    """Calls without a known price of either model; they are not in the costs."""
    cost: Money
    """As charged."""
    would_have_cost: Money
    """At the price that the model asked for had then, for the same numbers of tokens."""

    @property
    def saved(self) -> Money:
        """Negative if the other model was the dearer one."""
        return self.would_have_cost - self.cost


def moved(charges: Iterable[Charge], prices: PriceBook) -> Moved:
    """Price charges that say which model was asked for by that model too; others are passed over."""
    calls = incomparable = cost = would = 0
    for charge in charges:
        if charge.original_model is None:
            continue
        calls += 1
        asked = prices.price(
            charge.provider, charge.original_model, charge.usage, charge.started_at, charge.service_tier
        )
        if charge.cost is None or not isinstance(asked, Priced):
            incomparable += 1
        else:
            cost += charge.cost.nano_usd
            would += asked.cost.nano_usd
    return Moved(calls, incomparable, Money(cost), Money(would))
