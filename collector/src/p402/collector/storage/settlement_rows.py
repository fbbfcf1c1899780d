"""Settlements and their transactions as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from p402.collector.settlement.ports import FailureKind, KeptTransaction, Settlement, SettlementState
from p402.collector.storage.charge_rows import from_millis
from p402.collector.storage.settlement_tables import settlements
from p402.receipts import Anchor, SettlementStatement
from p402.receipts.settlement import SignedTransaction

__all__ = ["settlement_by_id", "settlements_of", "signed_row", "stored_settlement", "transaction_of_row"]


def settlement_by_id(connection: Connection, settlement_id: str) -> Settlement:
    """Give one settlement."""
    return settlements_of(connection, select(settlements).where(settlements.c.id == settlement_id))[0]


def settlements_of(connection: Connection, query: Select[Any]) -> list[Settlement]:
    """Give the settlements that a query finds."""
    return [stored_settlement(dict(row)) for row in connection.execute(query).mappings()]


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
