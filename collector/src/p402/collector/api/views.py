"""What the API shows of charges, spend, receipts and settlements: plain JSON values (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from p402.collector.settlement.ports import Settlement
from p402.collector.storage.charges import Spend
from p402.collector.storage.receipts import StoredReceipt
from p402.receipts import leaf_hash, open_disclosure
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Charge, rfc3339

__all__ = ["charge_view", "disclosed", "receipt_view", "settlement_view", "spend_view"]


def charge_view(seq: int, charge: Charge) -> dict[str, Any]:
    """Show a charge; ``after=seq`` asks for what was recorded later."""
    usage = charge.usage
    return {
        "seq": seq,
        "trace_id": charge.trace_id,
        "span_id": charge.span_id,
        **{level.value: value for level, value in charge.attribution},
        "request": charge.request,
        "unattributed": [level.value for level in charge.attribution.missing],
        "started_at": rfc3339(charge.started_at),
        "ended_at": rfc3339(charge.ended_at),
        "provider": charge.provider,
        "operation": charge.operation,
        "request_model": charge.request_model,
        "response_model": charge.response_model,
        "tokens": {
            "input": usage.input_tokens,
            "cache_read": usage.cache_read_input_tokens,
            "cache_write": usage.cache_write_input_tokens,
            "output": usage.output_tokens,
            "reasoning": usage.reasoning_output_tokens,
            "total": usage.total_tokens,
        },
        "usage_source": charge.usage_source.value,
        "cost_usd": None if charge.cost is None else str(charge.cost),
        "unpriced_reason": charge.unpriced_reason,
        "price_book": None if charge.price is None else {"id": charge.price.book, "sha256": charge.price.sha256},
        "verdict": charge.verdict,
        "routing_rationale": charge.rationale,
        "task_type": charge.task_type,
        "service_tier": charge.service_tier,
        "complexity": charge.complexity,
        "data_class": charge.data_class,
    }


def spend_view(level: str, spends: Sequence[Spend]) -> list[dict[str, Any]]:
    """Show what each node of a level spent; the node null is the unattributed one."""
    return [
        {
            level: spend.node,
            "cost_usd": str(spend.cost),
            "charges": spend.charges,
            "unpriced_charges": spend.unpriced_charges,
            "tokens": {"input": spend.input_tokens, "output": spend.output_tokens},
        }
        for spend in spends
    ]


def disclosed(receipt: StoredReceipt) -> dict[str, str]:
    """Open the commitments of a receipt with the disclosures that are kept beside it."""
    digests = json.loads(receipt.body)["_sd"]
    return dict(open_disclosure(digests, disclosure) for disclosure in receipt.disclosures)


def receipt_view(receipt: StoredReceipt, network: TempoNetwork | None, *, personal: bool) -> dict[str, Any]:
    """Show a receipt: the sealed body, and beside it what came later or is personal.

    The body and its hash never change; the rest does, as reviews and anchors arrive.
    """
    body: Mapping[str, Any] = json.loads(receipt.body)
    opened = disclosed(receipt) if personal else {}
    settlement = receipt.settlement
    anchor = settlement.anchor if settlement else None
    return {
        "receipt_id": receipt.receipt_id,
        "organisation": receipt.organisation,
        "seq": receipt.seq,
        "state": "anchored" if anchor else "not yet anchored",
        "session_id": opened.get("session_id"),
        "employee": opened.get("employee"),
        "department": body["department"],
        "project": body["project"],
        "client": body["client"],
        "timestamp": body["issued_at"],
        "models": [model["model"] for model in body["models"]],
        "tokens": body["tokens"],
        "cost_usd": body["cost_usd"],
        "unpriced_requests": body["unpriced_requests"],
        "routing_rationale": body["routing"],
        "output_fingerprint": body["output_fingerprint"],
        "human_review": None,
        "tempo_tx_hash": anchor.tx_hash if anchor else None,
        "tempo_block": anchor.block_number if anchor else None,
        "tempo_explorer_url": network.explorer_tx_url(anchor.tx_hash) if anchor and network else None,
        "leaf_hash": leaf_hash(receipt.body).hex(),
        "settlement_id": settlement.settlement_id if settlement else None,
        "body": body,
    }


def settlement_view(settlement: Settlement, network: TempoNetwork | None) -> dict[str, Any]:
    """Show a settlement."""
    anchor, signed = settlement.anchor, settlement.signed
    return {
        "settlement_id": settlement.settlement_id,
        "organisation": settlement.organisation,
        "state": settlement.state.value,
        "problem": settlement.problem,
        "checkpoint_size": settlement.checkpoint_size,
        "memo": settlement.statement.memo().hex(),
        "statement": json.loads(settlement.statement.canonical()),
        "tx_hash": signed.tx_hash if signed else None,
        "block": anchor.block_number if anchor else None,
        "block_timestamp": anchor.block_timestamp if anchor else None,
        "explorer_url": network.explorer_tx_url(signed.tx_hash) if signed and network else None,
        "planned_at": rfc3339(settlement.planned_at),
    }
