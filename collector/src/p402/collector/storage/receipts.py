"""Reading receipts: what was sealed, and where it is anchored. See `storage.disclosures` for what is personal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from p402.collector.settlement.ports import Settlement
from p402.collector.storage.charges import within_scope
from p402.collector.storage.log import checkpoint_of_size, entry_body, log_size, proof_hashes
from p402.collector.storage.settlements import settlement_by_id
from p402.collector.storage.tables import receipts, scopes
from p402.receipts import format_proof
from p402.vocabulary import Attribution

__all__ = ["StoredReceipt", "newest_receipts", "receipt_by_id", "receipt_proof", "receipts_page"]


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A receipt as it is kept: the immutable body, and where it is anchored. What is personal is in the vault."""

    receipt_id: str
    organisation: str
    seq: int
    body: bytes
    settlement: Settlement | None
    """The final settlement that anchors it; None while it is not yet anchored."""


def receipts_page(
    connection: Connection, organisation: str, bound_to: Attribution, after: int, limit: int
) -> list[StoredReceipt]:
    """Give the receipts of an organisation after a place in its log, as far as a key may see them."""
    query = _visible(bound_to).where(receipts.c.organisation == organisation, receipts.c.seq > after)
    return [_stored(connection, row) for row in connection.execute(query.order_by(receipts.c.seq).limit(limit)).all()]


def newest_receipts(
    connection: Connection, organisation: str, bound_to: Attribution, limit: int
) -> list[StoredReceipt]:
    """Give the receipts of an organisation that were sealed last, the newest first."""
    query = _visible(bound_to).where(receipts.c.organisation == organisation).order_by(receipts.c.seq.desc())
    return [_stored(connection, row) for row in connection.execute(query.limit(limit)).all()]


def receipt_by_id(connection: Connection, receipt_id: str, bound_to: Attribution) -> StoredReceipt | None:
    """Give one receipt, None if there is none that the key may see."""
    row = connection.execute(_visible(bound_to).where(receipts.c.id == receipt_id)).one_or_none()
    return None if row is None else _stored(connection, row)


def receipt_proof(connection: Connection, receipt: StoredReceipt) -> str:
    """Prove that a receipt is in the log: to the checkpoint that was anchored, else to the newest one."""
    anchored = receipt.settlement
    size = anchored.checkpoint_size if anchored else log_size(connection, receipt.organisation)
    hashes = proof_hashes(connection, receipt.organisation, receipt.seq, size)
    return format_proof(receipt.seq, hashes, checkpoint_of_size(connection, receipt.organisation, size))


def _visible(bound_to: Attribution) -> Select[Any]:
    return select(receipts).join(scopes, receipts.c.scope_id == scopes.c.id).where(*within_scope(bound_to))


def _stored(connection: Connection, row: Row[*tuple[Any, ...]]) -> StoredReceipt:
    return StoredReceipt(
        receipt_id=row.id,
        organisation=row.organisation,
        seq=row.seq,
        body=entry_body(connection, row.organisation, row.seq),
        settlement=None if row.settlement_id is None else settlement_by_id(connection, row.settlement_id),
    )
