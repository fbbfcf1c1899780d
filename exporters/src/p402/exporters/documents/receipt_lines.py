"""Receipts for spreadsheets and for other systems: their sealed bodies, and beside them what came later or is personal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from p402.exporters.documents.csv_lines import Cell
from p402.receipts import Anchor, leaf_hash
from p402.vocabulary import Money

__all__ = ["RECEIPT_COLUMNS", "ExportedReceipt", "receipt_cells", "receipt_value"]

RECEIPT_COLUMNS = (
    "receipt_id",
    "seq",
    "type",
    "issued_at",
    "opened_at",
    "closed_at",
    "part",
    "supplements",
    "department",
    "project",
    "client",
    "employee",
    "session_id",
    "verified_through",
    "requests",
    "unpriced_requests",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "models",
    "routing_rationale",
    "charges",
    "charges_sha256",
    "price_books",
    "content_mode",
    "prev",
    "leaf_hash",
    "state",
    "chain_id",
    "tempo_tx_hash",
    "tempo_block",
    "tempo_block_timestamp",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedReceipt:
    """A receipt as it leaves."""

    receipt_id: str
    seq: int
    body: bytes
    """The bytes that are hashed."""
    disclosed: Mapping[str, Any]
    """What is disclosed of it, by field; empty unless somebody may see and asked for it."""
    anchor: Anchor | None


def receipt_cells(receipt: ExportedReceipt) -> tuple[Cell, ...]:
    """Give the cells of a receipt, in the order of `RECEIPT_COLUMNS`. A field that is not disclosed is empty."""
    body = json.loads(receipt.body)
    anchor = receipt.anchor
    session, charges = body["session"], body["charges"]
    return (
        receipt.receipt_id,
        receipt.seq,
        body["type"],
        body["issued_at"],
        session["opened_at"],
        session["closed_at"],
        session["part"],
        session["supplements"],
        body["department"],
        body["project"],
        body["client"],
        receipt.disclosed.get("employee"),
        receipt.disclosed.get("session_id"),
        body["attribution"]["verified_through"],
        body["requests"],
        body["unpriced_requests"],
        body["tokens"]["input"],
        body["tokens"]["output"],
        Money.parse(body["cost_usd"]),
        "; ".join(f"{model['provider']}/{model['model']}" for model in body["models"]),
        "; ".join(body["routing"]),
        charges["count"],
        charges["sha256"],
        "; ".join(book["id"] for book in body["price_books"]),
        body["content_mode"],
        body["prev"],
        leaf_hash(receipt.body).hex(),
        _state(receipt),
        anchor.chain_id if anchor else None,
        anchor.tx_hash if anchor else None,
        anchor.block_number if anchor else None,
        anchor.block_timestamp if anchor else None,
    )


def receipt_value(receipt: ExportedReceipt) -> dict[str, Any]:
    """Give a receipt as a JSON value: what is sealed under ``body``, all else beside it."""
    anchor = receipt.anchor
    return {
        "receipt_id": receipt.receipt_id,
        "seq": receipt.seq,
        "leaf_hash": leaf_hash(receipt.body).hex(),
        "state": _state(receipt),
        "disclosed": dict(receipt.disclosed),
        "anchor": anchor
        and {
            "chain_id": anchor.chain_id,
            "tx_hash": anchor.tx_hash,
            "block_number": anchor.block_number,
            "block_timestamp": anchor.block_timestamp,
        },
        "body": json.loads(receipt.body),
    }


def _state(receipt: ExportedReceipt) -> str:
    return "anchored" if receipt.anchor else "not yet anchored"
