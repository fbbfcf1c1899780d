"""A charge as a row, and back. The one place that knows the order of the columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from p402.collector.pipeline.records import Recordable
from p402.vocabulary import Attribution, Charge, Money, PriceReference, Usage, UsageSource

__all__ = ["CHARGE_COLUMNS", "USAGE_COLUMNS", "charge_of", "from_millis", "row_of", "to_millis"]

USAGE_COLUMNS = tuple(field.name for field in fields(Usage))

CHARGE_COLUMNS = (
    "span_key",
    "call_key",
    "parent_span_id",
    "scope_id",
    "model_id",
    "price_book_id",
    "key_id",
    "verified_through",
    "request",
    "response_id",
    "recorded_at",
    "started_at",
    "ended_at",
    *USAGE_COLUMNS,
    "usage_source",
    "cost_nano_usd",
    "unpriced_reason",
    "rationale",
    "task_type",
    "service_tier",
    "lease_id",
    "verdict",
    "complexity",
    "data_class",
    "original_model",
    "first_chunk_ms",
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_millis(moment: datetime) -> int:
    """Write a time as milliseconds since 1970 (floor)."""
    return (moment - _EPOCH) // _MILLISECOND


def from_millis(millis: int) -> datetime:
    """Read a time, aware, in UTC."""
    return _EPOCH + timedelta(milliseconds=millis)


def row_of(call: Recordable, at: datetime, scope_id: int, model_id: int, price_book_id: int | None) -> tuple[Any, ...]:
    """Lay a charge out in the order of CHARGE_COLUMNS."""
    charge = call.charge
    return (
        call.span.key,
        call.call_key,
        call.span.parent_span_id,
        scope_id,
        model_id,
        price_book_id,
        call.key_id,
        call.verified_through,
        charge.request,
        charge.response_id,
        to_millis(at),
        to_millis(charge.started_at),
        to_millis(charge.ended_at),
        *(getattr(charge.usage, name) for name in USAGE_COLUMNS),
        charge.usage_source,
        None if charge.cost is None else charge.cost.nano_usd,
        charge.unpriced_reason,
        charge.rationale,
        charge.task_type,
        charge.service_tier,
        call.lease_id,
        charge.verdict,
        charge.complexity,
        charge.data_class,
        charge.original_model,
        charge.first_chunk_ms,
    )


def charge_of(row: Mapping[str, Any]) -> Charge:
    """Read a charge from a row of charges joined with its scope, its model and its price book."""
    cost = row["cost_nano_usd"]
    return Charge(
        trace_id=row["span_key"][:16].hex(),
        span_id=row["span_key"][16:].hex(),
        request=row["request"],
        attribution=Attribution(*(row[level] or None for level, _ in Attribution())),
        started_at=from_millis(row["started_at"]),
        ended_at=from_millis(row["ended_at"]),
        provider=row["provider"],
        operation=row["operation"],
        request_model=row["request_model"] or None,
        response_model=row["response_model"] or None,
        response_id=row["response_id"],
        usage=Usage(**{name: row[name] for name in USAGE_COLUMNS}),
        usage_source=UsageSource(row["usage_source"]),
        cost=None if cost is None else Money(cost),
        unpriced_reason=row["unpriced_reason"],
        price=None if row["book"] is None else PriceReference(row["book"], row["sha256"]),
        rationale=row["rationale"],
        task_type=row["task_type"],
        service_tier=row["service_tier"],
        verdict=row["verdict"],
        complexity=row["complexity"],
        data_class=row["data_class"],
        original_model=row["original_model"],
        first_chunk_ms=row["first_chunk_ms"],
    )
