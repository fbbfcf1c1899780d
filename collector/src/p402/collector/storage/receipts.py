"""Reading receipts: what was sealed, and where it is anchored. See `storage.disclosures` for what is personal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, or_, select

from p402.collector.settlement.ports import Settlement
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.charges import within_scope
from p402.collector.storage.log import checkpoint_of_size, consistency_hashes, entry_body, log_size, proof_hashes
from p402.collector.storage.privacy_tables import receipt_reviews
from p402.collector.storage.settlements import settlement_by_id
from p402.collector.storage.tables import charges, log_entries, models, receipts, scopes
from p402.receipts import BundledConsistency, format_proof
from p402.vocabulary import Attribution

__all__ = [
    "ReceiptFilter",
    "StoredReceipt",
    "anchor_tie",
    "receipt_by_id",
    "receipt_proof",
    "receipts_page",
    "stored_receipt",
]


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A receipt as it is kept: the immutable body, and where it is anchored. What is personal is in the vault."""

    receipt_id: str
    organisation: str
    seq: int
    body: bytes
    settlement: Settlement | None
    """The final settlement that anchors it; None while it is not yet anchored."""


_ANYBODY = Attribution()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptFilter:
    """Which receipts are asked for; what is None does not matter."""

    of: Attribution = _ANYBODY
    model: str | None = None
    """Asked for or answered by, in one of the calls."""
    begin: datetime | None = None
    """Issued then or later."""
    end: datetime | None = None
    """Issued before."""
    anchored: bool | None = None
    reviewed: bool | None = None
    """Whether a step of a review is recorded."""
    kind: str | None = None
    """Of the entry in the log."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Give the conditions on ``receipts`` and ``scopes``; that on models is of the session, of which this may be a part."""
        wanted = [*within_scope(self.of), *self.besides()]
        if self.begin is not None:
            wanted.append(receipts.c.issued_at >= to_millis(self.begin))
        if self.end is not None:
            wanted.append(receipts.c.issued_at < to_millis(self.end))
        return wanted

    def besides(self) -> list[ColumnElement[bool]]:
        """Give those of the conditions that say neither whose they are nor when they were issued."""
        wanted: list[ColumnElement[bool]] = []
        if self.model is not None:
            named = or_(models.c.request_model == self.model, models.c.response_model == self.model)
            calls = select(charges.c.seq).join(models, charges.c.model_id == models.c.id)
            wanted.append(exists(calls.where(charges.c.scope_id == receipts.c.scope_id, named)))
        if self.anchored is not None:
            wanted.append(
                receipts.c.settlement_id.is_not(None) if self.anchored else receipts.c.settlement_id.is_(None)
            )
        if self.reviewed is not None:
            step = exists(select(receipt_reviews.c.id).where(receipt_reviews.c.receipt_id == receipts.c.id))
            wanted.append(step if self.reviewed else ~step)
        if self.kind is not None:
            entry = select(log_entries.c.seq).where(
                log_entries.c.organisation == receipts.c.organisation,
                log_entries.c.seq == receipts.c.seq,
                log_entries.c.type == self.kind,
            )
            wanted.append(exists(entry))
        return wanted


def receipts_page(
    connection: Connection,
    organisation: str,
    bound_to: Attribution,
    after: int,
    limit: int,
    asked: ReceiptFilter = ReceiptFilter(),
) -> list[StoredReceipt]:
    """Give the receipts of an organisation after a place in its log, as far as a key may see them."""
    query = _visible(bound_to).where(receipts.c.organisation == organisation, *asked.conditions())
    found: list[StoredReceipt] = []
    while True:
        left = limit - len(found)
        rows = connection.execute(query.where(receipts.c.seq > after).order_by(receipts.c.seq).limit(left)).all()
        read = [stored_receipt(connection, row) for row in rows]
        found += [receipt for receipt in read if asked.model is None or _names_model(receipt, asked.model)]
        if len(rows) < left or len(found) == limit:
            return found
        after = rows[-1].seq


def receipt_by_id(connection: Connection, receipt_id: str, bound_to: Attribution) -> StoredReceipt | None:
    """Give one receipt, None if there is none that the key may see."""
    row = connection.execute(_visible(bound_to).where(receipts.c.id == receipt_id)).one_or_none()
    return None if row is None else stored_receipt(connection, row)


def receipt_proof(connection: Connection, receipt: StoredReceipt, size: int | None = None) -> str:
    """Prove that a receipt is in the log: to a signed checkpoint, by default the one that was anchored, else the newest one."""
    anchored = receipt.settlement
    if size is None:
        size = anchored.checkpoint_size if anchored else log_size(connection, receipt.organisation)
    hashes = proof_hashes(connection, receipt.organisation, receipt.seq, size)
    return format_proof(receipt.seq, hashes, checkpoint_of_size(connection, receipt.organisation, size))


def anchor_tie(connection: Connection, receipt: StoredReceipt, size: int) -> tuple[BundledConsistency, ...]:
    """Tie the checkpoint of a size to the one that was anchored, if that is another."""
    anchored = receipt.settlement.checkpoint_size if receipt.settlement else size
    if anchored == size:
        return ()
    old, new = sorted((anchored, size))
    return (BundledConsistency.of(old, new, consistency_hashes(connection, receipt.organisation, old, new)),)


def _names_model(receipt: StoredReceipt, model: str) -> bool:
    """Tell whether the sealed body itself names a model: another part of the session may have called it."""
    called: list[dict[str, Any]] = json.loads(receipt.body)["models"]
    return any(one.get("model") == model for one in called)


def _visible(bound_to: Attribution) -> Select[Any]:
    return select(receipts).join(scopes, receipts.c.scope_id == scopes.c.id).where(*within_scope(bound_to))


def stored_receipt(connection: Connection, row: Row[*tuple[Any, ...]]) -> StoredReceipt:
    """Read a receipt from its row."""
    return StoredReceipt(
        receipt_id=row.id,
        organisation=row.organisation,
        seq=row.seq,
        body=entry_body(connection, row.organisation, row.seq),
        settlement=None if row.settlement_id is None else settlement_by_id(connection, row.settlement_id),
    )
