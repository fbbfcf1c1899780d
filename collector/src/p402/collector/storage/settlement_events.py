"""What is told of a settlement that has come to its end (pure)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from p402.collector.notifications.events import Event, EventType
from p402.collector.settlement.ports import Settlement, SettlementState
from p402.vocabulary import NANO_PER_MICRO, Money

__all__ = ["ended_event", "in_usd", "unconfirmed_event"]


def ended_event(settlement: Settlement, at: datetime) -> Event:
    """Say that a settlement is final, or why it failed."""
    is_final = settlement.state is SettlementState.FINAL
    statement = settlement.statement
    amount = in_usd(settlement.pays_micro_usd)
    what = f"paid {amount} USD to {settlement.payee}" if settlement.pays_micro_usd else "anchored the log"
    payload: dict[str, Any] = {
        "summary": f"{settlement.settlement_id} {what}."
        if is_final
        else f"{settlement.settlement_id} failed. {settlement.problem}",
        "settlement_id": settlement.settlement_id,
        "mode": statement.mode.value,
        "amount_usd": amount,
        "payee": settlement.payee,
        "chain_id": statement.chain_id,
        "tx_hash": settlement.tx_hash,
        "fee_usd": in_usd(settlement.fee_micro_usd or 0),
    }
    if is_final:
        latency = None if settlement.first_issued_at is None else (at - settlement.first_issued_at).total_seconds()
        payload |= {"receipts": settlement.receipts, "latency_seconds": latency}
    else:
        payload |= {"kind": settlement.failure, "problem": settlement.problem, "in_doubt": settlement.in_doubt}
    kind = EventType.SETTLEMENT_FINAL if is_final else EventType.SETTLEMENT_FAILED
    return Event(kind, settlement.organisation, payload, at, dedupe_key=settlement.settlement_id)


def unconfirmed_event(settlement: Settlement, refusal: str, at: datetime) -> Event:
    """Say that a payee was paid and does not say so; once for a settlement."""
    payload: dict[str, Any] = {
        "summary": f"{settlement.settlement_id} is paid, and its payee has not confirmed it. {refusal}",
        "settlement_id": settlement.settlement_id,
        "kind": "unconfirmed",
        "amount_usd": in_usd(settlement.pays_micro_usd),
        "payee": settlement.payee,
        "tx_hash": settlement.tx_hash,
        "problem": refusal,
    }
    key = f"unconfirmed {settlement.settlement_id}"
    return Event(EventType.SETTLEMENT_FAILED, settlement.organisation, payload, at, dedupe_key=key)


def in_usd(micro_usd: int) -> str:
    """Write micro-dollars as an amount."""
    return str(Money(micro_usd * NANO_PER_MICRO))
