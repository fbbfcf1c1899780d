"""A rate card: the prices of one model as integers, ready to be multiplied with token counts.

``cost = per_call + sum of rates[kind] * count[kind]``, in 10^-``decimals`` nano-USD; rounded half-even, once, to nano-USD.

The totals of a `Usage` include the details (cached tokens are input tokens too), so the rate of a detail is what it adds
to the price of its total: with input at $3 and cached reads at $0.30 per million, a cached read has the rate -$2.70.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, mul
from typing import Any

from p402.vocabulary import Money, Permanent, Usage

__all__ = ["KINDS", "LongPrompt", "Part", "RateCard", "UnpriceableUsage", "Unpriced", "Weights"]

KINDS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "cache_write_1h_input_tokens",
    "reasoning_output_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "audio_cache_read_input_tokens",
    "image_input_tokens",
    "image_output_tokens",
)
"""The counts of a `Usage` in the order in which rates are kept."""

Weights = tuple[int, ...]
"""One integer for each of `KINDS`."""

_counts = attrgetter(*KINDS)


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A call has no cost that could be stated; it is counted and shown as unpriced, never as zero."""

    reason: str


class UnpriceableUsage(Permanent):
    """This card cannot price this usage; the message is the reason."""


@dataclass(frozen=True, slots=True)
class LongPrompt:
    """Rates for all tokens of a call whose prompt is longer than a threshold."""

    above: int
    """Input tokens, cached ones included; a prompt of exactly this length has the lower rates."""
    rates: Weights


@dataclass(frozen=True, slots=True)
class Part:
    """How many tokens are priced as one kind and not as a detail of it; negative when the details cannot be right."""

    name: str
    weights: Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """The prices of one model at one time, under one context."""

    decimals: int
    """Rates count 10^-decimals nano-USD: the smallest scale in which every unit price is a whole number."""
    rates: Weights
    per_call: int = 0
    """A fee for the call itself, in the same scale."""
    long_prompts: tuple[LongPrompt, ...] = ()
    """Longest first: the first one that applies is used."""
    prices_output: bool = True
    """False for models that publish no price for output, such as embeddings."""
    parts: tuple[Part, ...] = ()
    """What must not be negative, apart from what `Usage.contradiction` checks."""
    unknown_overlaps: tuple[tuple[str, str], ...] = ()
    """Pairs of kinds whose overlap has a price of its own while usage does not count it."""
    _dearest: dict[tuple[int, bool, bool], tuple[int, int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The dearest rates of input and of output, remembered by what they depend on."""

    def cost(self, usage: Usage) -> Money:
        """Compute the exact cost and round it half-even to a nano-dollar.

        Raises:
            UnpriceableUsage: if the counts contradict each other, or the card has no price for some of them.
        """
        counts = _counts(usage)
        inputs, outputs, read, written, written_1h, reasoning, audio_in, audio_out, audio_read, image_in, image_out = (
            counts
        )
        if (
            (audio_in or audio_out or audio_read or image_in or image_out)
            or (read < 0 or not 0 <= written_1h <= written or read + written > inputs)
            or not 0 <= reasoning <= outputs
        ):
            self._check(usage, counts)  # dearer than all the rest; the plain cases need not go there
        if outputs and not self.prices_output:
            raise UnpriceableUsage("the model has no price for output tokens")
        rates = self.rates
        for long_prompt in self.long_prompts:
            if inputs > long_prompt.above:
                rates = long_prompt.rates
                break
        total = sum(map(mul, rates, counts), self.per_call)
        return Money(_divide_half_even(total, 10**self.decimals) if self.decimals else total)

    def ceiling(self, input_tokens: int, output_tokens: int, *, writes_cache: bool, media: bool) -> Money:
        """Give an amount that no call with at most these tokens can exceed, however they divide into kinds.

        Args:
            input_tokens: an upper bound of all input.
            output_tokens: an upper bound of all output.
            writes_cache: whether the request may write to a cache that has a price of its own.
            media: whether there may be audio or images, in or out.
        """
        return Money(self.most_nano_usd(input_tokens, output_tokens, writes_cache=writes_cache, media=media))

    def most_nano_usd(self, input_tokens: int, output_tokens: int, *, writes_cache: bool, media: bool) -> int:
        """Give the same as `ceiling`, for those who compute with many."""
        bands = sum(1 for band in self.long_prompts if input_tokens > band.above) if self.long_prompts else 0
        known = self._dearest.get((bands, writes_cache, media))
        dearest_in, dearest_out = known or self._find_dearest(bands, writes_cache, media)
        total = self.per_call + dearest_in * input_tokens + dearest_out * output_tokens
        return -(-total // 10**self.decimals) if self.decimals else total

    def to_wire(self) -> dict[str, Any]:
        """Write the card as JSON values, for those who decide elsewhere by the same prices."""
        return {
            "decimals": self.decimals,
            "rates": list(self.rates),
            "per_call": self.per_call,
            "long_prompts": [[band.above, list(band.rates)] for band in self.long_prompts],
            "prices_output": self.prices_output,
        }

    @classmethod
    def from_wire(cls, card: Mapping[str, Any]) -> RateCard:
        """Read what `to_wire` wrote.

        Raises:
            ValueError, KeyError, TypeError: if that is something else.
        """
        return cls(
            decimals=int(card["decimals"]),
            rates=_weights(card["rates"]),
            per_call=int(card["per_call"]),
            long_prompts=tuple(LongPrompt(int(above), _weights(rates)) for above, rates in card["long_prompts"]),
            prices_output=bool(card["prices_output"]),
        )

    def _find_dearest(self, bands: int, writes_cache: bool, media: bool) -> tuple[int, int]:  # noqa: FBT001 - a key
        dearest_in = dearest_out = 0
        for rates in (self.rates, *(band.rates for band in self.long_prompts[len(self.long_prompts) - bands :])):
            by_kind = dict(zip(KINDS, rates, strict=True))
            written = by_kind["cache_write_input_tokens"]
            more_in = [max(written, written + by_kind["cache_write_1h_input_tokens"])] if writes_cache else []
            more_out = [by_kind["reasoning_output_tokens"]]
            if media:
                more_in += [by_kind["audio_input_tokens"], by_kind["image_input_tokens"]]
                more_out += [by_kind["audio_output_tokens"], by_kind["image_output_tokens"]]
            # What a detail adds to the price of its total can add up with what another one adds.
            dearest_in = max(dearest_in, by_kind["input_tokens"] + sum(more for more in more_in if more > 0))
            dearest_out = max(dearest_out, by_kind["output_tokens"] + sum(more for more in more_out if more > 0))
        self._dearest[bands, writes_cache, media] = dearest_in, dearest_out
        return dearest_in, dearest_out

    def _check(self, usage: Usage, counts: tuple[int, ...]) -> None:
        """Refuse counts that cannot be true or do not suffice."""
        contradiction = usage.contradiction()
        if contradiction is not None:
            raise UnpriceableUsage(f"the usage contradicts itself: {contradiction}")
        for part in self.parts:
            if sum(map(mul, part.weights, counts)) < 0:
                raise UnpriceableUsage(f"the usage contradicts itself: details of {part.name} exceed it")
        for one, other in self.unknown_overlaps:
            if getattr(usage, one) and getattr(usage, other):
                raise UnpriceableUsage(f"tokens that are both {one} and {other} have their own price, but no count")


def _weights(rates: Sequence[Any]) -> Weights:
    if len(rates) != len(KINDS):
        raise ValueError(f"A rate card has {len(KINDS)} rates; this one has {len(rates)}.")
    return tuple(map(int, rates))


def _divide_half_even(amount: int, unit: int) -> int:
    quotient, rest = divmod(amount, unit)
    twice = 2 * rest
    return quotient + (twice > unit or (twice == unit and quotient % 2 == 1))
