"""What of a charge is for which kind of token: exact parts of a cost that was rounded once.

A charge's cost is ``sum(rate * count)``, rounded to a nano-dollar. Here the same sum is taken apart by *meters*, which,
unlike the counts of a `Usage`, do not overlap: cached tokens are not input tokens too. The parts are divided by largest
remainder (ties in the order of the meters), so that they add up to the charge again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from p402.decisions import KINDS, RateCard, UnpriceableUsage
from p402.exporters.documents.apportion import apportion, divide_half_even
from p402.vocabulary import Money, Usage

__all__ = ["REQUESTS", "TOKENS", "KindCost", "split_cost"]

TOKENS, REQUESTS = "Tokens", "Requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCost:
    """The part of a charge that is for one kind."""

    meter: str
    """``Input Tokens``, ``Cached Input Tokens``, …; ``Requests`` for what is not priced by tokens."""
    unit: str
    """`TOKENS` or `REQUESTS`."""
    quantity: int
    unit_price: Fraction
    """Exact, in nano-USD."""
    list_price: Fraction
    """The same by the provider's list."""
    cost: Money


@dataclass(frozen=True, slots=True)
class _Meter:
    name: str
    count: Mapping[str, int]
    """How its tokens are counted from a usage: factor by kind."""
    price: tuple[str, ...]
    """The kinds whose rates add up to its unit price."""


_METERS = (
    _Meter(
        "Input Tokens",
        {
            "input_tokens": 1,
            "cache_read_input_tokens": -1,
            "cache_write_input_tokens": -1,
            "audio_input_tokens": -1,
            "audio_cache_read_input_tokens": 1,
            "image_input_tokens": -1,
        },
        ("input_tokens",),
    ),
    _Meter(
        "Cached Input Tokens",
        {"cache_read_input_tokens": 1, "audio_cache_read_input_tokens": -1},
        ("input_tokens", "cache_read_input_tokens"),
    ),
    _Meter(
        "Cache Write Tokens",
        {"cache_write_input_tokens": 1, "cache_write_1h_input_tokens": -1},
        ("input_tokens", "cache_write_input_tokens"),
    ),
    _Meter(
        "1-Hour Cache Write Tokens",
        {"cache_write_1h_input_tokens": 1},
        ("input_tokens", "cache_write_input_tokens", "cache_write_1h_input_tokens"),
    ),
    _Meter(
        "Audio Input Tokens",
        {"audio_input_tokens": 1, "audio_cache_read_input_tokens": -1},
        ("input_tokens", "audio_input_tokens"),
    ),
    _Meter(
        "Cached Audio Input Tokens",
        {"audio_cache_read_input_tokens": 1},
        ("input_tokens", "cache_read_input_tokens", "audio_input_tokens", "audio_cache_read_input_tokens"),
    ),
    _Meter("Image Input Tokens", {"image_input_tokens": 1}, ("input_tokens", "image_input_tokens")),
    _Meter(
        "Output Tokens",
        {
            "output_tokens": 1,
            "reasoning_output_tokens": -1,
            "audio_output_tokens": -1,
            "image_output_tokens": -1,
        },
        ("output_tokens",),
    ),
    _Meter("Reasoning Output Tokens", {"reasoning_output_tokens": 1}, ("output_tokens", "reasoning_output_tokens")),
    _Meter("Audio Output Tokens", {"audio_output_tokens": 1}, ("output_tokens", "audio_output_tokens")),
    _Meter("Image Output Tokens", {"image_output_tokens": 1}, ("output_tokens", "image_output_tokens")),
)
_WHOLE = "Requests"


def split_cost(cost: Money, usage: Usage, card: RateCard | None, listed: RateCard | None = None) -> list[KindCost]:
    """Divide a charge's cost by kinds, in the order of the meters; kinds without tokens are left out.

    Without the card that the cost was computed from, or where counts overlap in a way that they do not tell (cached
    images), the charge stays whole: one request at its cost.

    Args:
        cost: what the charge came to.
        usage: what it was computed from.
        card: the prices it was computed from; None if they are not held any more.
        listed: those of the provider's list, if others were agreed. Where it has none for the usage, the agreed ones count as
            listed.
    """
    at_list = None if listed is None else _cost(listed, usage)
    if card is None:
        return [_whole(cost, at_list)]
    counts = [sum(factor * getattr(usage, kind) for kind, factor in meter.count.items()) for meter in _METERS]
    prices = _prices(card, usage)
    exact = [count * price for count, price in zip(counts, prices, strict=True)] + [card.per_call]
    unit = 10**card.decimals
    if min(counts) < 0 or min(exact) < 0 or divide_half_even(sum(exact), unit) != cost.nano_usd:
        return [_whole(cost, at_list)]
    of_list = card if listed is None or at_list is None else listed
    list_prices = [Fraction(price, 10**of_list.decimals) for price in (*_prices(of_list, usage), of_list.per_call)]
    kinds = [(meter.name, TOKENS, count, price) for meter, count, price in zip(_METERS, counts, prices, strict=True)]
    kinds.append((_WHOLE, REQUESTS, 1 if card.per_call else 0, card.per_call))
    parts = apportion(cost.nano_usd, exact, unit)
    return [
        KindCost(
            meter=name,
            unit=counted,
            quantity=count,
            unit_price=Fraction(price, unit),
            list_price=list_price,
            cost=Money(part),
        )
        for (name, counted, count, price), list_price, part in zip(kinds, list_prices, parts, strict=True)
        if count
    ]


def _prices(card: RateCard, usage: Usage) -> list[int]:
    """Give the unit price of each meter, in the card's scale."""
    rates = next((band.rates for band in card.long_prompts if usage.input_tokens > band.above), card.rates)
    rate = dict(zip(KINDS, rates, strict=True))
    return [sum(rate[kind] for kind in meter.price) for meter in _METERS]


def _cost(card: RateCard, usage: Usage) -> Money | None:
    try:
        return card.cost(usage)
    except UnpriceableUsage:
        return None


def _whole(cost: Money, at_list: Money | None) -> KindCost:
    return KindCost(
        meter=_WHOLE,
        unit=REQUESTS,
        quantity=1,
        unit_price=Fraction(cost.nano_usd),
        list_price=Fraction((cost if at_list is None else at_list).nano_usd),
        cost=cost,
    )
