"""Compiles a price list of genai-prices to a `RateCard`, with the same unit decomposition as genai-prices itself.

genai-prices names what can be priced *units* (``cache_read_tokens``) with dimensions (direction, modality, token type,
time to live). A unit with more dimensions is a detail of one with fewer, and its tokens are taken off the general one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import combinations

from genai_prices.data_units import unit_data
from genai_prices.types import TieredPrices
from genai_prices.units import UnitRegistry
from genai_prices.validation import validate_priced_units

from p402.decisions import KINDS, LongPrompt, Part, RateCard, Unpriced, Weights
from p402.vocabulary import NANO_PER_USD

__all__ = ["Prices", "compile_card"]

Prices = Mapping[str, Decimal | TieredPrices]
"""USD by price key of genai-prices (``input_mtok``), each for as many units as its `UnitDef.per` says."""

_Sum = Mapping[str, int]
"""A sum of counts of a `Usage`: factor by kind."""

_COUNTED: Mapping[str, _Sum] = {
    "input_tokens": {"input_tokens": 1},
    "output_tokens": {"output_tokens": 1},
    "cache_read_tokens": {"cache_read_input_tokens": 1},
    "cache_write_tokens": {"cache_write_input_tokens": 1},
    "cache_write_5m_tokens": {"cache_write_input_tokens": 1, "cache_write_1h_input_tokens": -1},
    "cache_write_1h_tokens": {"cache_write_1h_input_tokens": 1},
    "output_reasoning_tokens": {"reasoning_output_tokens": 1},
    "input_audio_tokens": {"audio_input_tokens": 1},
    "output_audio_tokens": {"audio_output_tokens": 1},
    "cache_audio_read_tokens": {"audio_cache_read_input_tokens": 1},
    "input_image_tokens": {"image_input_tokens": 1},
    "output_image_tokens": {"image_output_tokens": 1},
}
"""How a `Usage` counts the units of genai-prices. Token units that are missing here count as their general unit."""

_TOKENS, _REQUESTS, _TOOL_CALLS = "tokens", "requests", "tool_calls"
_UNITS = UnitRegistry(unit_data)
_BASE = -1  # where the first band of prompt lengths begins: every prompt is longer


def compile_card(prices: Prices) -> RateCard | Unpriced:
    """Compile one price list, or say why calls under it cannot be priced.

    Fees for tools that run at the provider (web search) are left out, since spans do not count their calls.
    """
    if not prices:
        return Unpriced("the price book lists no price for the model: it is free of charge, or not known")
    try:
        units = [_UNITS.unit_for_price_key(price_key) for price_key in prices]
        validate_priced_units(units, _UNITS)
    except (KeyError, ValueError) as error:
        return Unpriced(f"the price book's entry for the model is incomplete: {error}")
    for unit in units:
        if unit.dimensions["family"] not in {_TOKENS, _REQUESTS, _TOOL_CALLS}:
            return Unpriced(f"the model is priced by {unit.usage_key}, which calls do not report")
    priced = {unit.usage_key: unit.price_key for unit in units}
    if "input_tokens" not in priced:
        return Unpriced("the model is not priced by tokens")

    rates = {key: _rates(prices[price_key], key) for key, price_key in priced.items() if key in _COUNTED}
    fee = _rates(prices[priced[_REQUESTS]], _REQUESTS) if _REQUESTS in priced else {_BASE: Fraction(0)}
    if len(fee) > 1:
        return Unpriced("the model's fee for a call depends on the length of its prompt")
    every_rate = {rate for bands in (*rates.values(), fee) for rate in bands.values()}
    decimals = next(n for n in range(64) if all(10**n % rate.denominator == 0 for rate in every_rate))
    own = _own_counts(rates)

    def rates_above(start: int) -> Weights:
        total: Counter[str] = Counter()
        for key, bands in rates.items():
            rate = bands[max(band for band in bands if band <= start)]
            for kind, factor in own[key].items():
                total[kind] += int(rate * 10**decimals) * factor
        return _weights(total)

    starts = {start for bands in rates.values() for start in bands if start != _BASE}
    return RateCard(
        decimals=decimals,
        rates=rates_above(_BASE),
        per_call=int(fee[_BASE] * 10**decimals),
        long_prompts=tuple(LongPrompt(start, rates_above(start)) for start in sorted(starts, reverse=True)),
        prices_output="output_tokens" in rates,
        parts=tuple(Part(key, _weights(own[key])) for key in rates if len(own[key]) > 1),
        unknown_overlaps=tuple(pair for key in priced if key not in _COUNTED for pair in _overlaps(key)),
    )


def _rates(price: Decimal | TieredPrices, usage_key: str) -> dict[int, Fraction]:
    """Give the exact nano-USD for one unit, by the prompt length above which it applies."""
    nano = Fraction(NANO_PER_USD, _UNITS.units[usage_key].per)
    if isinstance(price, TieredPrices):
        return {_BASE: Fraction(price.base) * nano} | {tier.start: Fraction(tier.price) * nano for tier in price.tiers}
    return {_BASE: Fraction(price) * nano}


def _own_counts(priced: Iterable[str]) -> dict[str, _Sum]:
    """Say for each priced unit how many of its tokens no priced detail claims; the most detailed units come first."""
    own: dict[str, _Sum] = {}
    for key in sorted(priced, key=lambda key: -len(_UNITS.units[key].dimensions)):
        count = Counter(_COUNTED[key])
        for detail, claimed in own.items():
            if key in _UNITS.ancestor_usage_keys(detail):
                count.subtract(claimed)
        own[key] = {kind: factor for kind, factor in count.items() if factor}
    return own


def _overlaps(usage_key: str) -> list[tuple[str, str]]:
    """List the pairs of kinds that a unit without a count is the overlap of, such as cached image tokens."""
    dimensions = dict(_UNITS.units[usage_key].dimensions)
    return [
        (next(iter(_COUNTED[one])), next(iter(_COUNTED[other])))
        for one, other in combinations(_COUNTED, 2)
        if {**_UNITS.units[one].dimensions, **_UNITS.units[other].dimensions} == dimensions
    ]


def _weights(total: _Sum) -> Weights:
    return tuple(total.get(kind, 0) for kind in KINDS)
