"""A comparison with an invoice as people and programs read it (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from p402.collector.reconciliation.match import TOKEN_KINDS, Difference, Place, Reason
from p402.vocabulary import Money

__all__ = ["place_of", "row_of", "totals_of"]


def row_of(number: int, found: Difference) -> dict[str, Any]:
    """Show one day, model and key."""
    invoice, ledger = found.invoice, found.ledger
    return {
        "row": number,
        "day": found.place.day.isoformat(),
        "model": found.place.model or None,
        "key": found.place.part or None,
        "invoice": None
        if invoice is None
        else {
            "cost_usd": None if invoice.cost is None else str(invoice.cost),
            "credits_usd": str(invoice.credits),
            "other_usd": str(invoice.other),
            "requests": invoice.requests,
            "tokens": {kind.value: invoice.tokens[kind] for kind in TOKEN_KINDS if kind in invoice.tokens} or None,
        },
        "ledger": None
        if ledger is None
        else {
            "cost_usd": str(ledger.cost),
            "charges": ledger.charges,
            "unpriced_charges": ledger.unpriced_charges,
            "tokens": {kind.value: ledger.tokens[kind] for kind in TOKEN_KINDS},
        },
        "difference_usd": None if found.difference is None else str(found.difference),
        "reasons": _shown(found.reasons.items()),
    }


def totals_of(found: Sequence[Difference]) -> dict[str, Any]:
    """Sum the rows."""
    reasons = {reason: sum((item.reasons.get(reason, Money(0)) for item in found), Money(0)) for reason in Reason}
    differences = [item.difference for item in found if item.difference is not None]
    ledger = sum((item.ledger.cost for item in found if item.ledger is not None), Money(0))
    difference = sum(differences, Money(0)) if differences else None
    return {
        "invoice_usd": None if difference is None else str(ledger + difference),
        "ledger_usd": str(ledger),
        "difference_usd": None if difference is None else str(difference),
        "reasons": _shown(reasons.items()),
        "charges": sum(item.ledger.charges for item in found if item.ledger is not None),
        "unpriced_charges": sum(item.ledger.unpriced_charges for item in found if item.ledger is not None),
        "invoice_requests": _requests(found),
    }


def place_of(row: Mapping[str, Any]) -> Place:
    """Read back what a row is about."""
    return Place(date.fromisoformat(row["day"]), row["model"] or "", row["key"] or "")


def _requests(found: Iterable[Difference]) -> int | None:
    counts = [item.invoice.requests for item in found if item.invoice is not None and item.invoice.requests is not None]
    return sum(counts) if counts else None


def _shown(reasons: Iterable[tuple[Reason, Money]]) -> dict[str, str]:
    return {reason.value: str(amount) for reason, amount in reasons if amount.nano_usd}
