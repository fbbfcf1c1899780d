"""Lays invoice and ledger side by side, and splits each difference into its reasons (pure).

Both are summed by day, model and *part*: the charges that one of the provider's keys pays for. A difference is invoice minus
ledger, and its reasons add up to it exactly:

- *volume*: tokens that only one side has, at our price. More on the invoice: calls that nobody metered. Less: calls
  that were metered and not billed (or estimated too high).
- *rounding*: what the last digits of the provider's amounts, and our own rounding of each charge, can make up.
- *price*: the rest, where both sides count tokens: another unit price than that of our book.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from fractions import Fraction

from p402.collector.reconciliation.lines import InvoiceLine, LineKind, ProviderExport
from p402.vocabulary import Money

__all__ = ["TOKEN_KINDS", "Difference", "LedgerSum", "Place", "Reason", "Side", "UnitPrice", "reconcile"]

_NOTHING = Money(0)
TOKEN_KINDS = (
    LineKind.INPUT,
    LineKind.CACHE_READ,
    LineKind.CACHE_WRITE,
    LineKind.CACHE_WRITE_1H,
    LineKind.OUTPUT,
)

UnitPrice = Callable[[date, str, LineKind], Fraction | None]
"""Gives our price of a token of a kind in nano-USD; None if the model has none in our book."""


class Reason(StrEnum):
    """Why invoice and ledger differ."""

    UNMETERED = "unmetered"
    """Billed, and not in the ledger: calls that went past the instrumentation."""
    NOT_BILLED = "not_billed"
    """In the ledger, and not billed: a failed or free call, or an estimate that was too high."""
    PRICE = "price"
    """The same tokens at another price: a negotiated rate, a tier that we do not know of, a price that changed."""
    UNPRICED = "unpriced"
    """Calls that are in the ledger without a price."""
    CREDITS = "credits"
    """Credits and discounts of the provider."""
    OTHER_SERVICES = "other_services"
    """Billed, but not by the token: searches, storage."""
    ROUNDING = "rounding"
    """No more than the last digits can make up."""
    UNEXPLAINED = "unexplained"
    """The export has costs without tokens, so price and volume cannot be told apart: add the usage export."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What a sum is about."""

    day: date
    model: str
    """``""`` stands for all models, when an export names none."""
    part: str = ""
    """The provider's key whose charges these are; ``""`` for what no named key pays for."""


@dataclass(slots=True)
class Side:
    """What one side says of a place."""

    tokens: dict[LineKind, int] = field(default_factory=dict)
    requests: int | None = None
    cost: Money | None = None
    credits: Money = _NOTHING
    other: Money = _NOTHING
    lines: int = 0
    """Of those that have an amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSum:
    """What the ledger has for a place."""

    place: Place
    tokens: Mapping[LineKind, int]
    charges: int
    unpriced_charges: int
    cost: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A place, what both sides say of it, and why they differ."""

    place: Place
    invoice: Side | None
    ledger: LedgerSum | None
    difference: Money | None
    """Invoice minus ledger; None if no export states costs."""
    reasons: Mapping[Reason, Money]
    """They add up to the difference, or to the value of the tokens that differ if there are no costs."""


def reconcile(
    exports: Sequence[ProviderExport],
    ledger: Iterable[LedgerSum],
    parts: frozenset[str],
    unit_price: UnitPrice,
) -> list[Difference]:
    """Compare exports of one provider with the ledger of the same days.

    Args:
        exports: of one provider and one period; one of usage and one of costs tell the most.
        ledger: sums by the same days, with the part of the same keys.
        parts: keys of the provider that pay for a part of the ledger of their own; lines of others belong to ``""``.
        unit_price: our prices.
    """
    with_models = all(export.names_models for export in exports)
    quantum = max((export.quantum_nano_usd for export in exports if export.has_costs), default=1)
    invoiced = _sides(exports, parts, with_models=with_models)
    metered = _merged(ledger, with_models=with_models)
    has_costs = any(export.has_costs for export in exports)
    has_tokens = any(export.has_tokens for export in exports)
    found = []
    for place in sorted({*invoiced, *metered}):
        invoice, ours = invoiced.get(place), metered.get(place)
        volume = _volume(place, invoice, ours, unit_price) if has_tokens and with_models else None
        if has_costs:
            difference = _cost(invoice) - (ours.cost if ours else _NOTHING)
            reasons = _reasons(invoice, ours, difference, volume, quantum)
        else:
            difference, reasons = None, volume or {}
        found.append(
            Difference(
                place=place, invoice=invoice, ledger=ours, difference=difference, reasons=_without_zeros(reasons)
            )
        )
    return found


def _sides(exports: Sequence[ProviderExport], parts: frozenset[str], *, with_models: bool) -> dict[Place, Side]:
    """Sum the lines. A cost export may count tokens too; beside one of usage they would be counted twice."""
    found: dict[Place, Side] = {}
    of_usage = any(not export.has_costs for export in exports)
    for export in exports:
        counts = not (of_usage and export.has_costs)
        for line in export.lines:
            part = line.key if line.key is not None and line.key in parts else ""
            model = (line.model or "") if with_models else ""
            side = found.setdefault(Place(line.day, model, part), Side())
            _add(side, line, counts=counts)
    return found


def _add(side: Side, line: InvoiceLine, *, counts: bool) -> None:
    if counts and line.tokens is not None:
        side.tokens[line.kind] = side.tokens.get(line.kind, 0) + line.tokens
    if counts and line.requests is not None:
        side.requests = (side.requests or 0) + line.requests
    if line.amount is None:
        return
    side.lines += 1
    if line.kind is LineKind.CREDIT:
        side.credits += line.amount
    elif line.kind is LineKind.OTHER:
        side.other += line.amount
    else:
        side.cost = (side.cost or _NOTHING) + line.amount


def _merged(ledger: Iterable[LedgerSum], *, with_models: bool) -> dict[Place, LedgerSum]:
    found: dict[Place, LedgerSum] = {}
    for item in ledger:
        place = item.place if with_models else Place(item.place.day, "", item.place.part)
        known = found.get(place)
        if known is None:
            found[place] = LedgerSum(
                place=place,
                tokens=item.tokens,
                charges=item.charges,
                unpriced_charges=item.unpriced_charges,
                cost=item.cost,
            )
        else:
            found[place] = LedgerSum(
                place=place,
                tokens={kind: known.tokens.get(kind, 0) + item.tokens.get(kind, 0) for kind in TOKEN_KINDS},
                charges=known.charges + item.charges,
                unpriced_charges=known.unpriced_charges + item.unpriced_charges,
                cost=known.cost + item.cost,
            )
    return found


def _volume(
    place: Place, invoice: Side | None, ours: LedgerSum | None, unit_price: UnitPrice
) -> dict[Reason, Money] | None:
    """Value the tokens that only one side has; None if a price is missing."""
    more = less = Fraction(0)
    for kind in TOKEN_KINDS:
        theirs = invoice.tokens.get(kind, 0) if invoice else 0
        difference = theirs - (ours.tokens.get(kind, 0) if ours else 0)
        if not difference:
            continue
        price = unit_price(place.day, place.model, kind)
        if price is None:
            return None
        if difference > 0:
            more += difference * price
        else:
            less += difference * price
    return {Reason.UNMETERED: Money(round(more)), Reason.NOT_BILLED: Money(round(less))}


def _reasons(
    invoice: Side | None,
    ours: LedgerSum | None,
    difference: Money,
    volume: Mapping[Reason, Money] | None,
    quantum: int,
) -> dict[Reason, Money]:
    reasons: dict[Reason, Money] = {}
    if invoice is not None:
        reasons = {Reason.CREDITS: invoice.credits, Reason.OTHER_SERVICES: invoice.other}
    rest = difference - sum(reasons.values(), _NOTHING)
    if ours is None:
        return {**reasons, Reason.UNMETERED: rest}
    if invoice is None or (invoice.cost is None and not invoice.tokens):
        return {**reasons, Reason.NOT_BILLED: rest}
    if volume is not None:
        reasons |= volume
        rest -= sum(volume.values(), _NOTHING)
    if 2 * abs(rest.nano_usd) <= quantum * invoice.lines + ours.charges:
        return {**reasons, Reason.ROUNDING: rest}
    if ours.unpriced_charges:
        return {**reasons, Reason.UNPRICED: rest}
    return {**reasons, (Reason.UNEXPLAINED if volume is None else Reason.PRICE): rest}


def _cost(invoice: Side | None) -> Money:
    if invoice is None:
        return Money(0)
    return (invoice.cost or _NOTHING) + invoice.credits + invoice.other


def _without_zeros(reasons: Mapping[Reason, Money]) -> dict[Reason, Money]:
    return {reason: amount for reason, amount in reasons.items() if amount.nano_usd}
