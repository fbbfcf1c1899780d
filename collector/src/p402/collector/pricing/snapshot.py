"""The prices that ship with the pinned genai-prices package: found by provider and model, and named by their digest.

Nothing here reaches for the network, and nothing of genai-prices is changed: not its snapshot, nor its caches, which
would grow with every model name that a span carries.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal
from hashlib import sha256
from typing import Any

from genai_prices import __version__, data
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.data_units import unit_data
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, TimeOfDateConstraint

from p402.collector.price_settings import NegotiatedPriceSettings
from p402.collector.pricing.book import PriceBook
from p402.collector.pricing.negotiated import with_negotiated
from p402.collector.pricing.providers import seller_of
from p402.collector.pricing.schedule import Period, Schedule, Variant
from p402.decisions import Unpriced
from p402.vocabulary import PriceReference

__all__ = ["Snapshot", "load_price_book"]


def load_price_book(agreed: Sequence[NegotiatedPriceSettings] = ()) -> PriceBook:
    """Load the bundled prices of the installed genai-prices, and lay what was agreed over them.

    Takes well under a tenth of a second.
    """
    snapshot = Snapshot(DataSnapshot(providers=data.providers, from_auto_update=False))
    reference = PriceReference(f"genai-prices/{__version__}", snapshot.sha256())
    return with_negotiated(reference, snapshot.schedule, snapshot.times_of_day(), agreed)


class Snapshot:
    """One state of genai-prices' data."""

    def __init__(self, content: DataSnapshot) -> None:
        self._all = content.providers
        self._by_id = {provider.id: provider for provider in content.providers}

    def sha256(self) -> str:
        """Digest everything in the snapshot: providers, models, prices, how names match, and the units.

        SHA-256 of JSON with sorted keys and no spaces, in ASCII; prices as the decimal strings they are.
        """
        content = {"providers": self._all, "units": unit_data}
        text = json.dumps(content, default=_plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return sha256(text.encode("ascii")).hexdigest()

    def times_of_day(self) -> frozenset[time]:
        """Give the times (UTC) at which some price that holds for a part of the day begins or ends."""
        models = (model for provider in self._all for model in provider.models)
        priced = (one for model in models for one in (*_dated(model), *(model.price_variants or ())))
        limits = (one.constraint for one in priced if isinstance(one.constraint, TimeOfDateConstraint))
        return frozenset(edge for limit in limits for edge in (limit.start_time, limit.end_time))

    def schedule(self, provider: str, model: str) -> Schedule | Unpriced:
        """Find the prices of a model by the names that a span gives to it and to its provider."""
        seller_id, name = seller_of(provider, model.strip())
        seller = self._by_id.get(seller_id)
        if seller is None:
            return Unpriced(f"the price book has no provider {provider!r}")
        found = seller.find_model(name, all_providers=self._all)
        if found is None:
            return Unpriced(f"the price book has no model {model!r} of provider {provider!r}")
        return _schedule(seller, found)


def _schedule(seller: Provider, model: ModelInfo) -> Schedule:
    periods = tuple(Period(vars(price.prices), price.constraint) for price in _dated(model)) or (Period({}),)
    if all(model is not own for own in seller.models):
        # Another provider's model, such as GPT at Azure: the variants (batch, priority) are those of the other's contract.
        return Schedule(periods)
    variants = model.price_variants or ()
    return Schedule(periods, tuple(Variant(v.when, vars(v.prices), v.constraint) for v in variants))


def _dated(model: ModelInfo) -> Sequence[ConditionalPrice]:
    return [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else model.prices


def _plain(value: object) -> Any:
    """Give JSON a plain form of what genai-prices' data is made of."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, ModelPrice):
        return vars(value)
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if not f.name.startswith("_")}
    raise TypeError(f"The price data contains a {type(value).__name__}, which has no canonical form yet.")
