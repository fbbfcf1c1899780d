"""What the API shows of charges, spend, receipts and settlements: plain JSON values, and their shapes (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.fields import (
    Count,
    Hex32,
    Id,
    Json,
    Levels,
    Node,
    SpanId,
    Time,
    TraceId,
    Usd,
    levels_view,
    shape,
)
from p402.collector.settlement.ports import Settlement
from p402.collector.storage.charges import Spend
from p402.collector.storage.disclosures import Beside
from p402.collector.storage.receipt_reviews import ReviewStep
from p402.collector.storage.receipts import StoredReceipt
from p402.receipts import ReviewAction, leaf_hash
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import NANO_PER_MICRO, Charge, Level, Money, rfc3339

__all__ = [
    "ChargePage",
    "ChargeView",
    "PriceBookView",
    "ReceiptPage",
    "ReceiptView",
    "ReviewView",
    "SpendNode",
    "charge_view",
    "receipt_view",
    "review_view",
    "seconds_between",
    "spend_view",
]

Model = Annotated[str, Field(examples=["claude-opus-4-5"])]


@shape
class ChargeTokens(TypedDict):
    """Counts of tokens; an input includes what was read from or written to a cache."""

    input: Count
    cache_read: Count
    cache_write: Count
    output: Count
    reasoning: Count
    total: Count


@shape
class PriceBookView(TypedDict):
    """The prices that were used."""

    id: str
    sha256: str


class ChargeView(Levels):
    """What one call cost."""

    seq: int
    trace_id: TraceId
    span_id: SpanId
    request: str
    unattributed: list[Level]
    started_at: Time
    ended_at: Time
    provider: Annotated[str, Field(examples=["anthropic"])]
    operation: Annotated[str, Field(examples=["chat"])]
    request_model: Model | None
    response_model: Model | None
    tokens: ChargeTokens
    usage_source: str
    cost_usd: Usd | None
    unpriced_reason: str | None
    price_book: PriceBookView | None
    verdict: str | None
    routing_rationale: str | None
    task_type: str | None
    service_tier: str | None
    complexity: int | None
    data_class: str | None


@shape
class ChargePage(TypedDict):
    """Charges in the order of recording."""

    charges: list[ChargeView]
    next_after: int | None


@shape
class SpendTokens(TypedDict):
    """Counts of tokens."""

    input: Count
    output: Count


@shape
class SpendNode(TypedDict):
    """What a node spent. It is named by its level; null is the unattributed one."""

    organisation: NotRequired[Node | None]
    department: NotRequired[Node | None]
    project: NotRequired[Node | None]
    client: NotRequired[Node | None]
    employee: NotRequired[Node | None]
    session: NotRequired[Node | None]
    cost_usd: Usd
    charges: Count
    unpriced_charges: Count
    tokens: SpendTokens


@shape
class ReceiptTokens(TypedDict):
    """Counts of tokens of a session."""

    input: Count
    output: Count
    total: Count


@shape
class HumanReview(TypedDict):
    """Where a review is."""

    state: ReviewAction
    review_id: Annotated[str, Field(examples=["rev_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]
    at: Time
    self_review: bool
    """Whether the reviewer is the session's own employee."""


@shape
class ReviewView(TypedDict):
    """A step of a human review."""

    review_id: Annotated[str, Field(examples=["rev_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]
    action: ReviewAction
    at: Time
    self_review: bool
    """Whether the reviewer is the session's own employee."""
    reviewer: Node | None
    """Null unless the key has the scope `receipts:personal`, or when it was erased."""
    comment: str | None
    """Likewise."""
    seq: Count
    """Place of its entry in the log."""


@shape
class ReceiptSettlement(TypedDict):
    """What anchoring a receipt took."""

    fee_usd: Usd | None
    """The settlement's fee divided by its receipts, down to the nano-dollar."""
    latency_seconds: float | None
    """From the receipt's issue until its anchor was seen to be final."""


@shape
class ReceiptView(TypedDict):
    """A receipt: the sealed body, and beside it what came later or is personal."""

    receipt_id: Id
    organisation: Node
    seq: Count
    """Its place in the log."""
    state: Annotated[str, Field(examples=["anchored"])]
    session_id: str | None
    """Null unless the key has the scope `receipts:personal`."""
    employee: Node | None
    """Null unless the key has the scope `receipts:personal`."""
    department: Node | None
    project: Node | None
    client: Node | None
    timestamp: Time
    models: list[Model]
    tokens: ReceiptTokens
    cost_usd: Usd
    unpriced_requests: Count
    routing_rationale: list[str]
    output_fingerprint: Json
    human_review: HumanReview | None
    """Where the last review is; null: nobody has reviewed the session or asked for it."""
    reviews: list[ReviewView]
    """Every step of every review, in order."""
    tempo_tx_hash: str | None
    tempo_block: int | None
    tempo_explorer_url: str | None
    leaf_hash: Hex32
    settlement_id: Id | None
    settlement: ReceiptSettlement | None
    body: Json
    """The sealed entry, as FORMAT.md says."""


@shape
class ReceiptPage(TypedDict):
    """Receipts in the order of the log."""

    receipts: list[ReceiptView]
    next_after: int | None


def charge_view(seq: int, charge: Charge) -> ChargeView:
    """Show a charge; ``after=seq`` asks for what was recorded later."""
    usage = charge.usage
    return {
        "seq": seq,
        "trace_id": charge.trace_id,
        "span_id": charge.span_id,
        **levels_view(charge.attribution),
        "request": charge.request,
        "unattributed": list(charge.attribution.missing),
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


def spend_view(level: Level, spends: Sequence[Spend]) -> list[SpendNode]:
    """Show what each node of a level spent; the node null is the unattributed one."""
    views: list[SpendNode] = []
    for spend in spends:
        named = cast(SpendNode, {level.value: spend.node})
        views.append(
            {
                **named,
                "cost_usd": str(spend.cost),
                "charges": spend.charges,
                "unpriced_charges": spend.unpriced_charges,
                "tokens": {"input": spend.input_tokens, "output": spend.output_tokens},
            }
        )
    return views


def review_view(step: ReviewStep, opened: Mapping[str, str]) -> ReviewView:
    """Show a step of a review; who made it, and what they wrote, if that was opened."""
    return {
        "review_id": step.review_id,
        "action": step.action,
        "at": rfc3339(step.at),
        "self_review": step.self_review,
        "reviewer": opened.get("reviewer"),
        "comment": opened.get("comment"),
        "seq": step.seq,
    }


def _reviewed(steps: Sequence[ReviewStep]) -> HumanReview | None:
    """Sum up the last review of a receipt: its last step that says more than a comment."""
    telling = [step for step in steps if step.action is not ReviewAction.COMMENTED]
    if not telling:
        return None
    last = telling[-1]
    return {"state": last.action, "review_id": last.review_id, "at": rfc3339(last.at), "self_review": last.self_review}


def receipt_view(receipt: StoredReceipt, network: TempoNetwork | None, beside: Beside) -> ReceiptView:
    """Show a receipt: the sealed body, and beside it what came later or is personal.

    The body and its hash never change; the rest does, as reviews and anchors arrive.
    """
    body: Json = json.loads(receipt.body)
    opened = beside.opened(receipt.seq)
    steps = beside.reviews.get(receipt.receipt_id, ())
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
        "human_review": _reviewed(steps),
        "reviews": [review_view(step, beside.opened(step.seq)) for step in steps],
        "tempo_tx_hash": anchor.tx_hash if anchor else None,
        "tempo_block": anchor.block_number if anchor else None,
        "tempo_explorer_url": network.explorer_tx_url(anchor.tx_hash) if anchor and network else None,
        "leaf_hash": leaf_hash(receipt.body).hex(),
        "settlement_id": settlement.settlement_id if settlement else None,
        "settlement": _share(settlement, body["issued_at"]) if settlement else None,
        "body": body,
    }


def _share(settlement: Settlement, issued_at: str) -> ReceiptSettlement:
    fee, count = settlement.fee_micro_usd, settlement.receipts
    return {
        "fee_usd": str(Money(fee * NANO_PER_MICRO // count)) if fee is not None and count else None,
        "latency_seconds": seconds_between(datetime.fromisoformat(issued_at), settlement.ended_at),
    }


def seconds_between(begin: datetime | None, end: datetime | None) -> float | None:
    """Count the seconds between two times, if both are known."""
    return None if begin is None or end is None else round((end - begin).total_seconds(), 3)
