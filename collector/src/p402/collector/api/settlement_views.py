"""What the API shows beside settlements: payments elsewhere, and how chain and ledger differ; plain JSON values (pure)."""

from __future__ import annotations

from typing_extensions import TypedDict

from p402.collector.api.fields import Count, Hex32, Id, Node, Time, Usd, shape
from p402.collector.settlement.reconcile import DiscrepancyKind
from p402.collector.storage.chain_checks import KeptDiscrepancy
from p402.collector.storage.settlement_requests import NotedPayment
from p402.receipts import SettlementMode
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import rfc3339

__all__ = [
    "Asked",
    "DiscrepancyView",
    "PaymentPage",
    "PaymentView",
    "ReconciliationView",
    "discrepancy_view",
    "payment_view",
]


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
