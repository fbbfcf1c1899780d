"""A log with an entry of every type, whose key is replaced on the way; the same on every run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from p402.receipts import (
    ClosedBy,
    Entry,
    EntryPlace,
    HoldAction,
    ReviewAction,
    RotationReason,
    SealedReceipt,
    access_log_digest,
    access_log_entry,
    erasure_entry,
    heartbeat_entry,
    hold_entry,
    key_rotation_entry,
    period_close_entry,
    review_entry,
    seal_receipt,
    settlement_entry,
    sign_checkpoint,
)
from p402.vocabulary import Attribution, Level, Money
from support.sample_log import NINE, SAMPLE_ANCHOR, SampleLog, fixed_signer, sample_charge

OLD, NEW = fixed_signer(), fixed_signer("successor")
ROTATION = 5
"""The seq of the rotation's entry."""
OVERLAP_UNTIL = NINE + timedelta(days=7)
ACCESS_ROWS = [
    {"number": 1, "at": "2026-11-23T09:00:00.000Z", "key_id": "key_1", "what": "receipt"},
    {"number": 2, "at": "2026-11-23T09:01:00.000Z", "key_id": "key_1", "what": "export"},
]


def log_of_every_type() -> SampleLog:
    """Eleven entries: one of each type, and a second receipt."""
    log = SampleLog()
    receipt = log.add_receipt()
    _append(
        log,
        review_entry,
        review_id="rev_1",
        receipt_id=receipt.receipt_id,
        receipt_leaf=receipt.leaf_hash,
        action=ReviewAction.APPROVED,
        self_review=False,
        reviewer="emp_9",
        comment="Appropriate use.",
        make_salt=_salts(log),
    )
    _append(
        log,
        hold_entry,
        hold_id="hold_1",
        action=HoldAction.PLACED,
        matter="case-17",
        scope=Attribution("acme", "engineering", employee="emp_7"),
        begin=NINE,
        end=None,
        by="key_1",
        reason="Litigation.",
        make_salt=_salts(log),
    )
    _append(
        log,
        erasure_entry,
        erasure_id="era_1",
        part=1,
        parts=1,
        legal_basis="GDPR Art. 17(1)(b)",
        digests=_digests(receipt),
        held_back=1,
        by="key_1",
        make_salt=_salts(log),
    )
    _append(
        log,
        access_log_entry,
        first=1,
        last=2,
        count=2,
        sha256=access_log_digest(ACCESS_ROWS),
        begin=NINE,
        end=NINE + timedelta(minutes=1),
    )
    _append(
        log,
        key_rotation_entry,
        old_key=OLD.verifier_key,
        new_key=NEW.verifier_key,
        reason=RotationReason.SCHEDULED,
        overlap_until=OVERLAP_UNTIL,
    )
    _append(
        log,
        period_close_entry,
        period="2026-10",
        charges=7,
        unpriced_charges=1,
        cost=Money.parse("1.849645"),
        through_seq=9,
    )
    _append(log, settlement_entry, settlement_id="stl_1", memo=b"\2" * 32, anchor=SAMPLE_ANCHOR)
    _append(log, heartbeat_entry)
    log.add_receipt()
    _append_correction(log, receipt)
    return log


def signed(log: SampleLog, size: int) -> str:
    """The checkpoint of a size, by the keys that sign it: the old one, both, and after the overlap the new one."""
    signers = [OLD] if size <= ROTATION else [OLD, NEW] if size < len(log.entries) else [NEW]
    return sign_checkpoint(log.checkpoint(size), signers)


def _append(log: SampleLog, make: Callable[..., Entry], **members: Any) -> None:
    seq = len(log.entries)
    issued_at = NINE + timedelta(hours=1, minutes=seq)
    log.append(make(EntryPlace(organisation="acme", seq=seq, prev=log.prev, issued_at=issued_at), **members))


def _append_correction(log: SampleLog, corrected: SealedReceipt) -> None:
    seq = len(log.entries)
    log.append(
        seal_receipt(
            [sample_charge(0)],
            EntryPlace(organisation="acme", seq=seq, prev=log.prev, issued_at=NINE + timedelta(hours=1, minutes=seq)),
            receipt_id=f"rcpt_{seq:026d}",
            closed_by=ClosedBy.API,
            content_mode="metadata",
            verified_through=Level.DEPARTMENT,
            part=2,
            supplements=corrected.receipt_id,
            correction=True,
            make_salt=_salts(log),
        )
    )


def _salts(log: SampleLog) -> Callable[[], str]:
    return lambda: f"salt-number-{next(log.salts):010d}"


def _digests(receipt: SealedReceipt) -> list[str]:
    digests: list[str] = json.loads(receipt.body)["_sd"]
    return digests
