"""Settlements and their transactions as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from p402.collector.settlement.ports import FailureKind, KeptTransaction, MppPayment, Settlement, SettlementState
from p402.collector.storage.charge_rows import from_millis
from p402.collector.storage.settlement_tables import mpp_payments, settlements
from p402.receipts import Anchor, SettlementStatement
from p402.receipts.settlement import SignedTransaction
from p402.receipts.settlement.mpp_http import MppChallenge

__all__ = ["settlement_by_id", "settlements_of", "signed_row", "stored_settlement", "transaction_of_row"]

_IDS_AT_ONCE = 500


def settlement_by_id(connection: Connection, settlement_id: str) -> Settlement:
    """Give one settlement."""
    return settlements_of(connection, select(settlements).where(settlements.c.id == settlement_id))[0]


def settlements_of(connection: Connection, query: Select[Any]) -> list[Settlement]:
    """Give the settlements that a query finds."""
    found = [stored_settlement(dict(row)) for row in connection.execute(query).mappings()]
    asked = _asked(connection, [it.settlement_id for it in found if it.mpp is not None])
    return [replace(it, mpp=_told(it.mpp, asked.get(it.settlement_id))) for it in found]


def _asked(connection: Connection, ids: Sequence[str]) -> dict[str, Row[*tuple[Any, ...]]]:
    """Give what payees that speak MPP asked and said, by settlement."""
    found: dict[str, Row[*tuple[Any, ...]]] = {}
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        query = select(mpp_payments).where(mpp_payments.c.settlement_id.in_(ids[begin : begin + _IDS_AT_ONCE]))
        found |= {row.settlement_id: row for row in connection.execute(query)}
    return found


def _payment(payee: str, amount_micro_usd: int) -> MppPayment:
    return MppPayment(payee=payee, amount_micro_usd=amount_micro_usd)


def _told(payment: MppPayment | None, row: Row[*tuple[Any, ...]] | None) -> MppPayment | None:
    if payment is None or row is None:
        return payment
    return replace(
        payment,
        url=row.url,
        challenge=None if row.challenge is None else MppChallenge.from_json(row.challenge),
        memo=row.memo,
        asked=row.asked,
        tries=row.tries,
        try_at=None if row.try_at is None else from_millis(row.try_at),
        confirmed_at=None if row.confirmed_at is None else from_millis(row.confirmed_at),
        receipt=row.receipt,
        refusal=row.refusal,
    )


def stored_settlement(row: Mapping[str, Any]) -> Settlement:
    """Read a settlement from its row."""
    statement = SettlementStatement.parse(row["statement"])
    anchor = None
    if row["block_number"] is not None:
        anchor = Anchor(
            chain_id=statement.chain_id,
            tx_hash=row["tx_hash"],
            block_number=row["block_number"],
            block_hash=row["block_hash"],
            block_timestamp=row["block_timestamp"],
            log_index=row["log_index"],
        )
    return Settlement(
        settlement_id=row["id"],
        organisation=row["organisation"],
        state=SettlementState(row["state"]),
        checkpoint_size=row["checkpoint_size"],
        statement=statement,
        planned_at=from_millis(row["planned_at"]),
        failure=None if row["failure"] is None else FailureKind(row["failure"]),
        problem=row["problem"],
        in_doubt=bool(row["in_doubt"]),
        alone=bool(row["alone"]),
        tx_hash=row["tx_hash"],
        anchor=anchor,
        ended_at=None if row["ended_at"] is None else from_millis(row["ended_at"]),
        fee_micro_usd=row["fee_micro_usd"],
        receipts=row["receipts"],
        first_issued_at=None if row["first_issued_at"] is None else from_millis(row["first_issued_at"]),
        mpp=None if statement.mpp_payment is None else _payment(*statement.mpp_payment),
    )


def transaction_of_row(connection: Connection, row: Row[*tuple[Any, ...]]) -> KeptTransaction:
    """Read a transaction with its settlements, in the order in which they were signed."""
    carried = select(settlements).where(settlements.c.transaction_id == row.id).order_by(settlements.c.id)
    return KeptTransaction(
        transaction_id=row.id,
        signed=SignedTransaction(
            row.raw, row.tx_hash, int(row.nonce_key), row.nonce, row.valid_before, row.max_fee_per_gas
        ),
        signed_at_block=row.signed_at_block,
        attempt=row.attempt,
        settlements=tuple(settlements_of(connection, carried)),
    )


def signed_row(signed: SignedTransaction) -> dict[str, Any]:
    """Write what a version of a transaction says."""
    return {
        "nonce_key": str(signed.nonce_key),
        "nonce": signed.nonce,
        "valid_before": signed.valid_before,
        "max_fee_per_gas": signed.max_fee_per_gas,
        "raw": signed.raw,
        "tx_hash": signed.tx_hash,
    }
