"""What the API shows of settlements, payments elsewhere, and how chain and ledger differ; plain JSON values (pure)."""

from __future__ import annotations

import json

from typing_extensions import TypedDict

from p402.collector.api.fields import Count, Hex32, Id, Json, Node, Time, Usd, shape
from p402.collector.api.views import seconds_between
from p402.collector.settlement.ports import FailureKind, MppPayment, Settlement, SettlementState
from p402.collector.settlement.reconcile import DiscrepancyKind
from p402.collector.storage.chain_checks import KeptDiscrepancy
from p402.collector.storage.settlement_events import in_usd
from p402.collector.storage.settlement_requests import NotedPayment
from p402.receipts import SettlementMode
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import rfc3339

__all__ = [
    "Asked",
    "DiscrepancyView",
    "MppPaymentView",
    "PaymentPage",
    "PaymentView",
    "ReconciliationView",
    "SettlementList",
    "SettlementView",
    "discrepancy_view",
    "payment_view",
    "settlement_view",
]


@shape
class SettlementView(TypedDict):
    """A settlement."""

    settlement_id: Id
    organisation: Node
    state: SettlementState
    problem: str | None
    checkpoint_size: Count
    memo: Hex32
    statement: Json
    failure: FailureKind | None
    in_doubt: bool
    """Whether a payment may have left and nobody has said what became of it."""
    mode: SettlementMode
    amount_usd: Usd
    """What it pays, in whichever way."""
    payee: str
    """Who is paid; the payer if nobody is."""
    mpp: MppPaymentView | None
    """How a payee that speaks MPP was paid, by the same transaction; null: nobody was."""
    tx_hash: str | None
    block: int | None
    block_timestamp: int | None
    """Seconds since 1970."""
    explorer_url: str | None
    fee_usd: Usd | None
    """Its part of the transaction's fee."""
    latency_seconds: float | None
    """From the issue of its oldest receipt until it was seen to be final."""
    receipts: Count | None
    """How many it anchors."""
    planned_at: Time
    ended_at: Time | None


@shape
class MppPaymentView(TypedDict):
    """A payment to a payee that speaks MPP: it asks, is paid, and is shown the transaction."""

    challenge_id: str | None
    """Null: it was not asked yet."""
    realm: str | None
    memo: Hex32 | None
    """Of the payment, which is bound to the challenge."""
    confirmed_at: Time | None
    """When the payee, or a person, said that it has the money."""
    receipt: str | None
    """Its `Payment-Receipt`, as it came."""
    refusal: str | None
    """Why it does not say so although it was paid; it is shown the transaction again."""


@shape
class SettlementList(TypedDict):
    """Settlements, the newest first."""

    settlements: list[SettlementView]
    next_after: str | None


@shape
class Asked(TypedDict):
    """That an organisation is settled as soon as its log has something new and nothing is under way."""

    organisation: Node
    mode: SettlementMode
    asked_at: Time


@shape
class PaymentView(TypedDict):
    """A payment elsewhere."""

    payment_id: Id
    kind: str
    id: str
    amount_usd: Usd
    settlement_id: Id | None
    """The settlement whose statement names it; null while it waits for the next."""
    noted_at: Time


@shape
class PaymentPage(TypedDict):
    """Payments in the order in which they were noted."""

    payments: list[PaymentView]
    next_after: str | None


@shape
class DiscrepancyView(TypedDict):
    """A difference between the chain and the ledger."""

    discrepancy_id: Id
    kind: DiscrepancyKind
    settlement_id: Id | None
    tx_hash: str | None
    explorer_url: str | None
    memo: Hex32
    problem: str
    found_at: Time


@shape
class ReconciliationView(TypedDict):
    """How far chain and ledger were compared, and what differs."""

    chain_id: int | None
    payer: str | None
    token: str | None
    last_block: Count | None
    checked_at: Time | None
    """Null: never yet."""
    discrepancies: list[DiscrepancyView]
    """The newest first; those without a settlement belong to nobody that is known, and the default organisation sees them."""


def settlement_view(settlement: Settlement, network: TempoNetwork | None) -> SettlementView:
    """Show a settlement."""
    anchor, statement = settlement.anchor, settlement.statement
    fee = settlement.fee_micro_usd
    return {
        "settlement_id": settlement.settlement_id,
        "organisation": settlement.organisation,
        "state": settlement.state,
        "problem": settlement.problem,
        "checkpoint_size": settlement.checkpoint_size,
        "failure": settlement.failure,
        "in_doubt": settlement.in_doubt,
        "mode": statement.mode,
        "amount_usd": in_usd(settlement.pays_micro_usd),
        "payee": settlement.payee,
        "mpp": None if settlement.mpp is None else _mpp_view(settlement.mpp),
        "memo": statement.memo().hex(),
        "statement": json.loads(statement.canonical()),
        "tx_hash": settlement.tx_hash,
        "block": anchor.block_number if anchor else None,
        "block_timestamp": anchor.block_timestamp if anchor else None,
        "explorer_url": network.explorer_tx_url(settlement.tx_hash) if settlement.tx_hash and network else None,
        "fee_usd": None if fee is None else in_usd(fee),
        "latency_seconds": seconds_between(settlement.first_issued_at, settlement.ended_at) if anchor else None,
        "receipts": settlement.receipts,
        "planned_at": rfc3339(settlement.planned_at),
        "ended_at": None if settlement.ended_at is None else rfc3339(settlement.ended_at),
    }


def _mpp_view(payment: MppPayment) -> MppPaymentView:
    challenge = payment.challenge
    return {
        "challenge_id": challenge.id if challenge else None,
        "realm": challenge.realm if challenge else None,
        "memo": payment.memo.hex() if payment.memo else None,
        "confirmed_at": None if payment.confirmed_at is None else rfc3339(payment.confirmed_at),
        "receipt": payment.receipt,
        "refusal": payment.refusal if payment.confirmed_at is None else None,
    }


def payment_view(payment: NotedPayment) -> PaymentView:
    """Show a payment elsewhere."""
    return {
        "payment_id": payment.payment_id,
        "kind": payment.paid.kind,
        "id": payment.paid.id,
        "amount_usd": str(payment.paid.amount),
        "settlement_id": payment.settlement_id,
        "noted_at": rfc3339(payment.noted_at),
    }


def discrepancy_view(found: KeptDiscrepancy, network: TempoNetwork | None) -> DiscrepancyView:
    """Show a difference."""
    return {
        "discrepancy_id": found.discrepancy_id,
        "kind": DiscrepancyKind(found.kind),
        "settlement_id": found.settlement_id,
        "tx_hash": found.tx_hash,
        "explorer_url": network.explorer_tx_url(found.tx_hash) if found.tx_hash and network else None,
        "memo": found.memo.hex(),
        "problem": found.problem,
        "found_at": rfc3339(found.found_at),
    }
