"""Prices that an organisation has agreed with a provider, laid over the list.

A discount is taken off every list price; prices of their own replace those of the list that they name, and suffice for
a model that the list does not know. Outside of its dates an agreement changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from hashlib import sha256

from genai_prices.types import Tier, TieredPrices

from p402.collector.price_settings import NegotiatedPriceSettings
from p402.collector.pricing.book import Dated, FindSchedule, PriceBook
from p402.collector.pricing.compile import Prices
from p402.collector.pricing.providers import PRICED_AS
from p402.collector.pricing.schedule import Period, Schedule
from p402.decisions import RateCard, Unpriced
from p402.vocabulary import PriceReference

__all__ = ["with_negotiated"]


def with_negotiated(
    reference: PriceReference,
    find: FindSchedule,
    times_of_day: Iterable[time],
    agreed: Sequence[NegotiatedPriceSettings],
) -> PriceBook:
    """Make the price book of a list and of what was agreed beside it.

    Its digest covers both, so that a charge names exactly the prices that it was computed from: SHA-256 of the list's digest
    in hex and of the agreements as JSON with sorted keys.

    Args:
        reference: the list.
        find: finds a model in it.
        times_of_day: when its prices change within a day; what was agreed begins and ends at midnight (UTC).
        agreed: of those that fit a model, the first that is in force at the time of a call applies.
    """
    if not agreed:
        return PriceBook(reference, find, times_of_day)
    text = json.dumps([item.model_dump(mode="json", exclude_none=True) for item in agreed], sort_keys=True)
    digest = sha256(f"{reference.sha256}{text}".encode()).hexdigest()

    def find_agreed(provider: str, model: str) -> Dated | Unpriced:
        listed = find(provider, model)
        fitting = [item for item in agreed if _fits(item, provider, model)]
        if not fitting:
            return listed
        return _Agreed(listed, tuple((item, _laid_over(listed, item)) for item in fitting))

    return PriceBook(PriceReference(f"{reference.book}+negotiated", digest), find_agreed, times_of_day)


@dataclass(frozen=True, slots=True)
class _Agreed:
    """The prices of a model, listed and agreed, through time."""

    listed: Dated | Unpriced
    agreed: tuple[tuple[NegotiatedPriceSettings, Dated | Unpriced], ...]

    def card(self, at: datetime, context: Mapping[str, str] | None = None) -> RateCard | Unpriced:
        found = self._at(at)
        return found if isinstance(found, Unpriced) else found.card(at, context)

    def has_prices_for(self, at: datetime, context: Mapping[str, str]) -> bool:
        found = self._at(at)
        return not isinstance(found, Unpriced) and found.has_prices_for(at, context)

    def _at(self, at: datetime) -> Dated | Unpriced:
        day = at.astimezone(UTC).date()
        for item, prices in self.agreed:
            if (item.since is None or item.since <= day) and (item.until is None or day < item.until):
                return prices
        return self.listed


def _fits(item: NegotiatedPriceSettings, provider: str, model: str) -> bool:
    same = PRICED_AS.get(item.provider, item.provider) == PRICED_AS.get(provider, provider)
    return same and fnmatchcase(model.strip().lower(), item.model.lower())


def _laid_over(listed: Dated | Unpriced, item: NegotiatedPriceSettings) -> Dated | Unpriced:
    if not isinstance(listed, Schedule):
        return listed if item.discount_percent is not None else Schedule((Period(item.prices),))
    return Schedule(
        tuple(replace(period, prices=_changed(period.prices, item)) for period in listed.periods),
        tuple(replace(variant, prices=_changed(variant.prices, item)) for variant in listed.variants)
        if item.discount_percent is not None
        else (),  # prices of their own are not those of a batch or of another tier
    )


def _changed(prices: Prices, item: NegotiatedPriceSettings) -> Prices:
    if item.discount_percent is None:
        return {**prices, **item.prices}
    factor = (100 - item.discount_percent) / 100
    return {key: _times(price, factor) for key, price in prices.items()}


def _times(price: Decimal | TieredPrices, factor: Decimal) -> Decimal | TieredPrices:
    if isinstance(price, TieredPrices):
        return TieredPrices(
            base=price.base * factor, tiers=[Tier(start=tier.start, price=tier.price * factor) for tier in price.tiers]
        )
    return price * factor
