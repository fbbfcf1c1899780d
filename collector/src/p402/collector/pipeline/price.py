"""Model call → charge (pure): the one place where a call gets its price."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from p402.collector.pipeline.ports import Prices
from p402.collector.pipeline.records import DECISION_PREFIX, MAX_TOKENS, Attributed, ModelCall, Recordable
from p402.collector.pricing import Priced, Unpriced
from p402.collector.pricing.providers import named_at_gateway
from p402.vocabulary import Charge, attributes

__all__ = ["call_key", "charge"]

_OWN_SCOPE = "p402.instrumentation"
_UNIQUE_ID_LENGTH = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def charge(call: ModelCall, owner: Attributed, prices: Prices, key_id: str | None, received_at: datetime) -> Recordable:
    """Price a call at the price in force when it began; an unknown price makes it *unpriced*, never free."""
    span = call.span
    started_at = _time(span.started_ns) if span.started_ns else received_at
    outcome = _price(call, prices, started_at)
    return Recordable(
        charge=Charge(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            request=call.request,
            attribution=owner.attribution,
            started_at=started_at,
            ended_at=_time(span.ended_ns) if span.ended_ns else started_at,
            provider=call.provider,
            operation=call.operation,
            request_model=call.request_model,
            response_model=call.response_model,
            response_id=call.response_id,
            usage=call.usage,
            usage_source=call.usage_source,
            cost=outcome.cost if isinstance(outcome, Priced) else None,
            unpriced_reason=outcome.reason if isinstance(outcome, Unpriced) else None,
            price=outcome.reference if isinstance(outcome, Priced) else None,
            rationale=call.rationale,
            task_type=call.task_type,
            complexity=call.complexity,
            data_class=call.data_class,
            verdict=call.verdict,
            service_tier=call.service_tier,
            original_model=call.original_model,
            first_chunk_ms=call.first_chunk_ms,
        ),
        span=span,
        verified_through=owner.verified_through,
        key_id=key_id,
        call_key=call_key(call, owner, key_id),
        lease_id=call.lease_id,
        may_nest=span.scope != _OWN_SCOPE
        or attributes.P402_OUTER_SPAN_SCOPE in span.attributes
        or (call.lease_id or "").startswith(DECISION_PREFIX),
        ours=span.scope == _OWN_SCOPE,
    )


def _price(call: ModelCall, prices: Prices, at: datetime) -> Priced | Unpriced:
    contradiction = call.usage.contradiction()
    if contradiction is not None:
        return Unpriced(f"the usage contradicts itself: {contradiction}")
    if max(call.usage.input_tokens, call.usage.output_tokens) >= MAX_TOKENS:
        return Unpriced(f"the usage is absurd: no call has {MAX_TOKENS:,} tokens")
    model = call.response_model or call.request_model
    if model is None:
        return Unpriced("the span names no model")
    model = named_at_gateway(call.provider, call.request_model, model)
    return prices.price(call.provider, model, call.usage, at, call.service_tier)


def call_key(call: ModelCall, owner: Attributed, key_id: str | None) -> bytes | None:
    """Identify a provider's answer, so that two spans about it are charged once.

    The organisation and the key are part of it: nobody else's span can take the place of a real one. A short id is
    good within its trace only: some servers choose them from a few hundred. Elsewhere ids are long and unique, and some
    instrumentations put their span of a streamed call into a trace of its own.
    """
    if call.response_id is None:
        return None
    organisation = owner.attribution.organisation or ""
    trace = call.span.trace_id.hex() if len(call.response_id) < _UNIQUE_ID_LENGTH else ""
    parts = (organisation, key_id or "", trace, call.provider, call.response_id)
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


def _time(nanoseconds: int) -> datetime:
    """Read a time; the ledger keeps milliseconds."""
    return _EPOCH + timedelta(milliseconds=nanoseconds // 1_000_000)
