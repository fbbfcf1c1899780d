"""The charges under a receipt: a digest over all of them, and their sums by model.

A receipt says what a session came to; the digest ties it to the charges themselves, without holding them. The lines
leave out who the calls were for (the receipt says that, with personal levels as commitments), so that the digest can
still be recomputed after an erasure.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from p402.receipts._canonical import canonical
from p402.vocabulary import Charge, Money, Usage, UsageSource, rfc3339

__all__ = ["charge_line", "charges_digest", "summarise"]

_USAGE_KINDS = tuple(field.name for field in fields(Usage))


def charge_line(charge: Charge) -> bytes:
    """Write a charge as the line of canonical JSON that `charges_digest` hashes, without the line feed."""
    return canonical(
        {
            "trace_id": charge.trace_id,
            "span_id": charge.span_id,
            "request": charge.request,
            "started_at": rfc3339(charge.started_at),
            "ended_at": rfc3339(charge.ended_at),
            "provider": charge.provider,
            "operation": charge.operation,
            "request_model": charge.request_model,
            "response_model": charge.response_model,
            "response_id": charge.response_id,
            "usage": {kind: getattr(charge.usage, kind) for kind in _USAGE_KINDS},
            "usage_source": charge.usage_source.value,
            "cost_usd": None if charge.cost is None else str(charge.cost),
            "unpriced_reason": charge.unpriced_reason,
            "price_book": None if charge.price is None else {"id": charge.price.book, "sha256": charge.price.sha256},
            "rationale": charge.rationale,
            "task_type": charge.task_type,
            # Left out where unknown, so that the lines of older charges stay what they were.
            **({} if charge.service_tier is None else {"service_tier": charge.service_tier}),
        }
    )


def charges_digest(charges: Iterable[Charge]) -> str:
    """Hash the lines of all charges, each ended by a line feed, in the order in which they were recorded."""
    digest = hashlib.sha256()
    for charge in charges:
        digest.update(charge_line(charge) + b"\n")
    return digest.hexdigest()


def summarise(charges: Sequence[Charge]) -> dict[str, Any]:
    """Give the parts of a receipt that follow from its charges alone."""
    models: dict[tuple[str, str], list[Charge]] = {}
    for charge in charges:
        models.setdefault((charge.provider, charge.model), []).append(charge)
    totals = _sums(charges)
    tokens = totals["tokens"]
    sources = Counter(charge.usage_source for charge in charges)
    books = {(charge.price.book, charge.price.sha256) for charge in charges if charge.price is not None}
    return {
        **totals,
        "tokens": {kind: tokens[kind] for kind in ("input", "output", "total")},
        "models": [
            {"provider": provider, "model": model, **_sums(models[provider, model])}
            for provider, model in sorted(models)
        ],
        "usage_sources": {source.value: sources[source] for source in UsageSource},
        "price_books": [{"id": book, "sha256": sha256} for book, sha256 in sorted(books)],
        "routing": sorted({charge.rationale for charge in charges if charge.rationale is not None}),
        "charges": {"count": len(charges), "sha256": charges_digest(charges)},
    }


def _sums(charges: Sequence[Charge]) -> dict[str, Any]:
    """Add up charges; several charges of one logical call (its retries) count as one request."""
    usage = sum((charge.usage for charge in charges), Usage())
    return {
        "requests": len({charge.request for charge in charges}),
        "unpriced_requests": len({charge.request for charge in charges if charge.cost is None}),
        "tokens": {
            "input": usage.input_tokens,
            "cache_read": usage.cache_read_input_tokens,
            "cache_write": usage.cache_write_input_tokens,
            "output": usage.output_tokens,
            "reasoning": usage.reasoning_output_tokens,
            "total": usage.total_tokens,
        },
        "cost_usd": str(sum((charge.cost for charge in charges if charge.cost is not None), Money(0))),
    }
