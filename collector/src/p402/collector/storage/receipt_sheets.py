"""A receipt as a document shows it: its bundle, what came later, and why something is not shown (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from p402.collector.storage.receipt_documents import Fate, OtherReceipt, ReceiptFile
from p402.collector.storage.receipts import StoredReceipt
from p402.exporters.documents.pdf import Hidden, Receipt, RelatedReceipt, ReviewStep
from p402.receipts import CORRECTION_TYPE, BundledAnchor, BundledConsistency, BundledReceipt, make_bundle
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import rfc3339

__all__ = ["receipt_bundle", "related_receipt", "sheet_of"]

_HIDDEN = {
    Fate.KEPT: Hidden.WITHHELD,
    Fate.ERASED: Hidden.ERASED,
    Fate.ABSENT: Hidden.NOT_RECORDED,
    Fate.UNCLEAR: Hidden.GONE,
}


def receipt_bundle(
    receipt: StoredReceipt, proof: str, disclosures: Sequence[str], ties: Sequence[BundledConsistency] = ()
) -> bytes:
    """Write the bundle of one receipt."""
    settlement = receipt.settlement
    anchors = [BundledAnchor.of(settlement.statement, settlement.anchor)] if settlement and settlement.anchor else []
    item = BundledReceipt(body=receipt.body, disclosures=tuple(disclosures), proof=proof, anchor=0 if anchors else None)
    return json.dumps(make_bundle([item], anchors, consistency=ties), indent=1).encode()


def sheet_of(found: ReceiptFile, network: TempoNetwork | None, *, certified: bool = False) -> Receipt:
    """Say what a document about a receipt shows.

    Args:
        found: the receipt with all that belongs to it.
        network: whose explorer it links to; None: it links to none.
        certified: whether it has a form for a certification under US FRE 902(13) and (14).
    """
    receipt, beside = found.receipt, found.beside
    anchor = receipt.settlement.anchor if receipt.settlement else None
    return Receipt(
        bundle=receipt_bundle(receipt, found.proof, beside.disclosures.get(receipt.seq, ()), found.ties),
        hidden={name: _HIDDEN[fate] for name, fate in found.fates[receipt.seq].items()},
        reviews=tuple(_reviews(found)),
        related=tuple(related_receipt(receipt.receipt_id, json.loads(receipt.body), other) for other in found.others),
        explorer_url=network.explorer_tx_url(anchor.tx_hash) if anchor and network else None,
        certified=certified,
    )


def _reviews(found: ReceiptFile) -> list[ReviewStep]:
    steps = []
    for step in found.beside.reviews.get(found.receipt.receipt_id, ()):
        hidden = {name: _HIDDEN[fate] for name, fate in found.fates[step.seq].items()}
        said: dict[str, str | Hidden] = {**hidden, **found.beside.opened(step.seq)}
        steps.append(
            ReviewStep(
                seq=step.seq,
                at=rfc3339(step.at),
                action=step.action.value,
                reviewer=said["reviewer"],
                comment=said["comment"],
                self_review=step.self_review,
            )
        )
    return steps


def related_receipt(receipt_id: str, body: Mapping[str, Any], other: OtherReceipt) -> RelatedReceipt:
    """Say how another receipt of a session belongs to one, of which the body is given too."""
    its = json.loads(other.body)
    if its["session"]["supplements"] == receipt_id:
        kind = "corrects this one" if its["type"] == CORRECTION_TYPE else "adds later calls to this one"
    elif body["session"]["supplements"] == other.receipt_id:
        kind = "is corrected by this one" if body["type"] == CORRECTION_TYPE else "this one adds later calls to it"
    else:
        kind = f"part {its['session']['part']} of the same session"
    return RelatedReceipt(
        receipt_id=other.receipt_id, seq=other.seq, kind=kind, issued_at=its["issued_at"], cost_usd=its["cost_usd"]
    )
