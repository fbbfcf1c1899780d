"""Reading all that a document about a receipt tells: what came later, and of what is not shown, why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, select

from p402.collector.storage.disclosures import Beside, beside_receipts
from p402.collector.storage.log import entry_body
from p402.collector.storage.privacy_tables import vault
from p402.collector.storage.receipts import StoredReceipt, anchor_tie, receipt_by_id, receipt_proof
from p402.collector.storage.tables import receipts
from p402.collector.storage.vault import Vault
from p402.receipts import BundledConsistency
from p402.vocabulary import Attribution

__all__ = ["Fate", "OtherReceipt", "ReceiptFile", "receipt_file"]

_MOST_OTHERS = 100


class Fate(StrEnum):
    """What became of a personal value that an entry of the log may commit to."""

    KEPT = "kept"
    ERASED = "erased"
    ABSENT = "absent"
    """The entry does not commit to it."""
    UNCLEAR = "unclear"
    """Erased or absent: the entry commits to something that is gone, and does not tell what it was."""


@dataclass(frozen=True, slots=True)
class OtherReceipt:
    """Another receipt of the same session."""

    receipt_id: str
    seq: int
    body: bytes


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """A receipt with all that belongs to it."""

    receipt: StoredReceipt
    proof: str
    beside: Beside
    fates: Mapping[int, Mapping[str, Fate]]
    """By entry of the log, that of the receipt and those of its reviews, then by field."""
    others: Sequence[OtherReceipt]
    """In the order of the log; the first hundred."""
    ties: tuple[BundledConsistency, ...] = ()
    """What ties the checkpoint of its proof to the anchored one, if that is another."""


def receipt_file(
    connection: Connection,
    opens: Vault,
    receipt_id: str,
    bound_to: Attribution,
    fields: frozenset[str],
    size: int | None = None,
) -> ReceiptFile | None:
    """Give a receipt with all that belongs to it, None if there is none that the key may see.

    Args:
        connection: where to read.
        opens: what is personal; `Disclosures.note_receipts` must follow for what is disclosed.
        receipt_id: which one.
        bound_to: the part of the tree that the key may see.
        fields: the personal fields that are disclosed.
        size: of the signed checkpoint that its proof leads to; None: the anchored one, else the newest.
    """
    receipt = receipt_by_id(connection, receipt_id, bound_to)
    if receipt is None:
        return None
    beside = beside_receipts(connection, opens, [receipt], fields)
    steps = [step.seq for step in beside.reviews.get(receipt_id, ())]
    return ReceiptFile(
        receipt=receipt,
        proof=receipt_proof(connection, receipt, size),
        beside=beside,
        fates=_fates(connection, receipt, steps),
        others=_others(connection, receipt),
        ties=() if size is None else anchor_tie(connection, receipt, size),
    )


def _fates(connection: Connection, receipt: StoredReceipt, steps: Sequence[int]) -> dict[int, dict[str, Fate]]:
    organisation = receipt.organisation
    query = select(vault.c.seq, vault.c.name).where(vault.c.organisation == organisation)
    kept: dict[int, set[str]] = {}
    for seq, name in connection.execute(query.where(vault.c.seq.in_([receipt.seq, *steps]))):
        kept.setdefault(seq, set()).add(name)
    bodies = {receipt.seq: receipt.body, **{seq: entry_body(connection, organisation, seq) for seq in steps}}
    asked = {seq: ("employee", "session_id") if seq == receipt.seq else ("reviewer", "comment") for seq in bodies}
    return {seq: _fates_of(body, asked[seq], kept.get(seq, set())) for seq, body in bodies.items()}


def _fates_of(body: bytes, names: Sequence[str], kept: set[str]) -> dict[str, Fate]:
    """Compare what an entry commits to with what is left of it."""
    gone = len(json.loads(body)["_sd"]) - len(kept)
    missing = [name for name in names if name not in kept]
    lost = Fate.ABSENT if not gone else Fate.ERASED if gone == len(missing) else Fate.UNCLEAR
    return {name: Fate.KEPT if name in kept else lost for name in names}


def _others(connection: Connection, receipt: StoredReceipt) -> list[OtherReceipt]:
    scope = select(receipts.c.scope_id).where(receipts.c.id == receipt.receipt_id).scalar_subquery()
    query = select(receipts.c.id, receipts.c.seq).where(receipts.c.scope_id == scope, receipts.c.seq != receipt.seq)
    return [
        OtherReceipt(row.id, row.seq, entry_body(connection, receipt.organisation, row.seq))
        for row in connection.execute(query.order_by(receipts.c.seq).limit(_MOST_OTHERS))
    ]
