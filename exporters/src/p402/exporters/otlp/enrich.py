"""Writes onto a span what the ledger knows of its call (pure). Ids and times are never touched."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.vocabulary import NANO_PER_USD, Attribution, Charge, Money, attributes

__all__ = ["Facts", "cost_bucket", "enrich", "link"]

_BUCKETS = ("0.0001", "0.001", "0.01", "0.1", "1", "10", "100")  # USD
_BUCKET = "p402.cost.bucket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a span."""

    charge: Charge | None = None
    """Of the call that the span reports, if it is the span that is charged."""
    attribution: Attribution | None = None
    """Of the charge, or of a call that was refused."""
    refused: bool = False
    """Whether the span is of a call that was never made."""
    duplicate_of: bytes | None = None
    """Trace id and span id of the charged span of the same call."""
    below: Money | None = None
    """What the charged calls below the span cost so far, if it is around some and is none itself."""
    trace_total: Money | None = None
    """What all charged calls of the trace cost so far; for the span at its root."""


def enrich(span: Span, facts: Facts) -> None:
    """Add attributes and links, in place. What a span has already, under the same name, is replaced.

    Costs are doubles, since TraceQL sums numbers, and a bucket as text, since Jaeger searches for exact values only; the
    exact amount is the ledger's.
    """
    if facts.attribution is not None:
        for level, value in facts.attribution:
            if value is not None:
                _text(span, level.attribute, value)
    if facts.charge is not None:
        _charge(span, facts.charge)
    if facts.refused:
        _text(span, _BUCKET, "refused")
    if facts.below is not None:
        _double(span, "p402.cost.below_usd", facts.below)
    if facts.trace_total is not None:
        _double(span, "p402.cost.trace_total_usd", facts.trace_total)
    if facts.duplicate_of is not None:
        _text(span, "p402.duplicate_of", facts.duplicate_of[16:].hex())
        link(span, facts.duplicate_of, "duplicate_of")


def cost_bucket(cost: Money) -> str:
    """Name the range that a cost is in, such as ``0.01-0.1``: more than the first, at most the second, in USD."""
    below = "0"
    for limit in _BUCKETS:
        if cost.nano_usd <= Money.parse(limit).nano_usd:
            return f"{below}-{limit}"
        below = limit
    return f"{below}-"


def link(span: Span, other: bytes, kind: str) -> None:
    """Link a span to another one, by its trace id and span id, unless it is linked already: collectors may be chained."""
    if any(known.trace_id + known.span_id == other for known in span.links):
        return
    made = span.links.add(trace_id=other[:16], span_id=other[16:])
    made.attributes.add(key=attributes.P402_LINK).value.string_value = kind


def _charge(span: Span, charge: Charge) -> None:
    _text(span, attributes.P402_REQUEST, charge.request)
    _text(span, attributes.P402_USAGE_SOURCE, charge.usage_source.value)
    if charge.cost is None:
        _text(span, "p402.unpriced_reason", charge.unpriced_reason or "")
        _text(span, _BUCKET, "unpriced")
    else:
        _double(span, "p402.cost.total_usd", charge.cost)
        _double(span, "llm.cost.total", charge.cost)
        _text(span, "p402.cost.currency", "USD")
        _text(span, _BUCKET, cost_bucket(charge.cost))
    if charge.price is not None:
        _text(span, "p402.price.version", charge.price.book)


def _text(span: Span, key: str, value: str) -> None:
    _without(span, key)
    span.attributes.add(key=key).value.string_value = value


def _double(span: Span, key: str, amount: Money) -> None:
    _without(span, key)
    span.attributes.add(key=key).value.double_value = float(Fraction(amount.nano_usd, NANO_PER_USD))


def _without(span: Span, key: str) -> None:
    for place in reversed(range(len(span.attributes))):
        if span.attributes[place].key == key:
            del span.attributes[place]
