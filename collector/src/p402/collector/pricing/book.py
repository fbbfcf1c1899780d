"""The price book: from provider, model, usage and time to the cost of a call, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, time
from functools import lru_cache
from typing import NamedTuple, Protocol

from p402.collector.pricing.audio import unpriced_audio
from p402.collector.pricing.changes import PriceChanges, Span
from p402.collector.pricing.tiers import context_of
from p402.decisions import RateCard, UnpriceableUsage, Unpriced
from p402.vocabulary import MAX_ID_LENGTH, Money, PriceReference, Usage

__all__ = ["Dated", "FindSchedule", "PriceBook", "Priced"]


class Dated(Protocol):
    """The prices of one model through time, such as a `Schedule`."""

    def card(self, at: datetime, context: Mapping[str, str] | None = None) -> RateCard | Unpriced:
        """Give the card that is in force at a time, under a context."""
        ...

    def has_prices_for(self, at: datetime, context: Mapping[str, str]) -> bool:
        """Tell whether a context has prices of its own at a time."""
        ...


FindSchedule = Callable[[str, str], Dated | Unpriced]
"""Finds the prices of a model by the names of provider and model."""


class Priced(NamedTuple):
    """What a call costs, and from which price list that was computed."""

    cost: Money
    reference: PriceReference


class PriceBook:
    """Prices calls from one price list. May be used from several threads."""

    def __init__(
        self, reference: PriceReference, find: FindSchedule, times_of_day: Iterable[time], *, remembered: int = 4096
    ) -> None:
        """Take the list's name and digest, the way to find a model in it, and when its prices change within a day (UTC).

        Names of models come from outside, so only ``remembered`` of them are kept, unknown ones included.
        """
        self.reference = reference
        self._changes = PriceChanges(times_of_day)
        self._find = lru_cache(maxsize=remembered)(find)

    def price(
        self, provider: str, model: str, usage: Usage, at: datetime, service_tier: str | None = None
    ) -> Priced | Unpriced:
        """Price one call.

        Args:
            provider: ``gen_ai.provider.name``.
            model: The model that answered, in the provider's spelling.
            usage: What the call consumed.
            at: When it was made (aware): prices are dated.
            service_tier: How it was served (`Charge.service_tier`); None counts as ``standard``.
        """
        card = self.card(provider, model, at, service_tier)
        if isinstance(card, Unpriced):
            return card
        if (usage.audio_input_tokens or usage.audio_output_tokens) and (gap := unpriced_audio(provider, card, usage)):
            return Unpriced(gap)
        try:
            return Priced(card.cost(usage), self.reference)
        except UnpriceableUsage as refusal:
            return Unpriced(str(refusal))

    def card(self, provider: str, model: str, at: datetime, service_tier: str | None = None) -> RateCard | Unpriced:
        """Give the rate card of a model at a time, for computing several costs such as upper bounds."""
        if len(model) > MAX_ID_LENGTH or len(provider) > MAX_ID_LENGTH:
            return Unpriced(f"the name of the model or of its provider is longer than {MAX_ID_LENGTH} characters")
        schedule = self._find(provider, model)
        if isinstance(schedule, Unpriced):
            return schedule
        context = context_of(provider, service_tier)
        if context is not None and not schedule.has_prices_for(at, context):
            return Unpriced(
                f"the price book has no price of model {model!r} of provider {provider!r} for service tier "
                f"{service_tier!r} at the time of the call"
            )
        return schedule.card(at, context)

    def span(self, at: datetime) -> Span:
        """Give the stretch of time around a moment in which no price changes: what is computed from cards holds as long."""
        return self._changes.span(at)
