"""Charges as lines of a CSV file: everything that the ledger knows of a call, and where it was posted and sealed."""

from __future__ import annotations

from dataclasses import fields

from p402.exporters.documents.csv_lines import Cell
from p402.exporters.documents.posted import PostedCharge, month_of
from p402.vocabulary import Usage

__all__ = ["CHARGE_COLUMNS", "UNPRICED_COLUMNS", "charge_cells", "unpriced_cells"]

_COUNTS = tuple(field.name for field in fields(Usage))
_LEVELS = ("organisation", "department", "project", "client", "employee", "session")

CHARGE_COLUMNS = (
    "seq",
    "trace_id",
    "span_id",
    "request",
    *_LEVELS,
    "recorded_at",
    "started_at",
    "ended_at",
    "period",
    "adjustment",
    "provider",
    "operation",
    "request_model",
    "response_model",
    "response_id",
    "service_tier",
    *_COUNTS,
    "usage_source",
    "cost_usd",
    "unpriced_reason",
    "price_book",
    "price_book_sha256",
    "markup_basis_points",
    "verdict",
    "routing_rationale",
    "task_type",
    "complexity",
    "data_class",
    "receipt_id",
    "leaf_hash",
    "tempo_tx_hash",
)

UNPRICED_COLUMNS = (
    "seq",
    "started_at",
    *_LEVELS[:4],
    "provider",
    "model",
    "service_tier",
    "input_tokens",
    "output_tokens",
    "unpriced_reason",
    "receipt_id",
)


def charge_cells(posted: PostedCharge) -> tuple[Cell, ...]:
    """Give the cells of a charge, in the order of `CHARGE_COLUMNS`."""
    charge, receipt = posted.charge, posted.receipt
    return (
        posted.seq,
        charge.trace_id,
        charge.span_id,
        charge.request,
        *(value for _, value in charge.attribution),
        posted.recorded_at,
        charge.started_at,
        charge.ended_at,
        f"{month_of(posted.posted_at):%Y-%m}",
        "true" if posted.correction else "false",
        charge.provider,
        charge.operation,
        charge.request_model,
        charge.response_model,
        charge.response_id,
        charge.service_tier,
        *(getattr(charge.usage, kind) for kind in _COUNTS),
        charge.usage_source.value,
        charge.cost,
        charge.unpriced_reason,
        charge.price.book if charge.price else None,
        charge.price.sha256 if charge.price else None,
        posted.markup_basis_points,
        charge.verdict,
        charge.rationale,
        charge.task_type,
        charge.complexity,
        charge.data_class,
        receipt.receipt_id if receipt else None,
        receipt.leaf_hash if receipt else None,
        receipt.tx_hash if receipt else None,
    )


def unpriced_cells(posted: PostedCharge) -> tuple[Cell, ...]:
    """Give the cells of a charge that has no price, in the order of `UNPRICED_COLUMNS`."""
    charge = posted.charge
    return (
        posted.seq,
        charge.started_at,
        *[value for _, value in charge.attribution][:4],
        charge.provider,
        charge.model,
        charge.service_tier,
        charge.usage.input_tokens,
        charge.usage.output_tokens,
        charge.unpriced_reason,
        posted.receipt.receipt_id if posted.receipt else None,
    )
