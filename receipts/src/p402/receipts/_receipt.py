"""A receipt: the sealed record of one session, or of a later part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from p402.receipts._charges import summarise
from p402.receipts._commitment import commit, new_salt
from p402.receipts._entry import CommittedEntry, EntryPlace, seal_entry
from p402.receipts.errors import NotSealable
from p402.vocabulary import Attribution, Charge, Level, is_valid_id, rfc3339

__all__ = ["CONTENT_MODES", "CORRECTION_TYPE", "RECEIPT_TYPE", "ClosedBy", "SealedReceipt", "seal_receipt"]

RECEIPT_TYPE = "session-receipt"
CORRECTION_TYPE = "correction"
"""A receipt for calls that a receipt before it should have had: they were only recorded too late."""
CONTENT_MODES = frozenset({"metadata", "fingerprint", "redacted", "full"})


class ClosedBy(StrEnum):
    """What ended a session."""

    API = "api"
    """Somebody said that it was over."""
    IDLE = "idle"
    """Nothing happened for a while."""


@dataclass(frozen=True, slots=True)
class SealedReceipt(CommittedEntry):
    """A receipt ready to be appended to the log; its disclosures open the employee and the session's id."""

    receipt_id: str


def seal_receipt(
    charges: Sequence[Charge],
    place: EntryPlace,
    *,
    receipt_id: str,
    closed_by: ClosedBy,
    content_mode: str,
    verified_through: Level | None,
    part: int = 1,
    supplements: str | None = None,
    correction: bool = False,
    make_salt: Callable[[], str] = new_salt,
) -> SealedReceipt:
    """Seal the charges of one session into a receipt.

    Args:
        charges: In the order in which they were recorded; all with the same attribution.
        place: Where in which log, and when.
        receipt_id: For example ``rcpt_01JDC2W0V8H3QK6M4T9ZRX5B7E``.
        closed_by: What ended the session.
        content_mode: What was captured of prompts and outputs: one of `CONTENT_MODES`.
        verified_through: The deepest level that the key or a trusted claim vouches for; below it the
            attribution is only asserted. None when nothing is verified.
        part: 1; or 2, 3, … when charges arrived after the session was closed.
        supplements: Id of the first part's receipt, for later parts; of the receipt that a correction corrects.
        correction: Whether this part only has calls that began before the part before it was sealed.
        make_salt: Where the salts of the commitments come from.

    Raises:
        NotSealable: if the arguments contradict each other or the receipt would be larger than 64 KiB.
    """
    attribution = _shared_attribution(charges, place.organisation)
    if part < 1 or (part == 1) != (supplements is None):
        raise NotSealable(
            f"Part {part} of a session {'supplements no' if part == 1 else 'names the first part as the'} receipt."
        )
    if correction and part == 1:
        raise NotSealable("Part 1 of a session corrects nothing.")
    if content_mode not in CONTENT_MODES or not is_valid_id(receipt_id):
        raise NotSealable(f"{content_mode!r} is no content mode, or {receipt_id!r} no id.")
    personal = {"employee": attribution.employee, "session_id": attribution.session}
    commitments = [commit(name, value, make_salt()) for name, value in personal.items() if value is not None]
    entry = seal_entry(
        {
            **place.header(CORRECTION_TYPE if correction else RECEIPT_TYPE),
            "receipt_id": receipt_id,
            "session": {
                "opened_at": rfc3339(min(charge.started_at for charge in charges)),
                "closed_at": rfc3339(max(charge.ended_at for charge in charges)),
                "closed_by": closed_by.value,
                "part": part,
                "supplements": supplements,
            },
            "department": attribution.department,
            "project": attribution.project,
            "client": attribution.client,
            "attribution": {"verified_through": None if verified_through is None else verified_through.value},
            **summarise(charges),
            "output_fingerprint": {"state": "not-captured"},
            "content_mode": content_mode,
            "_sd_alg": "sha-256",
            "_sd": sorted(commitment.digest for commitment in commitments),
        }
    )
    disclosures = tuple(commitment.disclosure for commitment in commitments)
    return SealedReceipt(entry.seq, entry.body, entry.leaf_hash, disclosures, receipt_id)


def _shared_attribution(charges: Sequence[Charge], organisation: str) -> Attribution:
    attributions = {charge.attribution for charge in charges}
    if len(attributions) != 1:
        raise NotSealable(f"A receipt is about one attribution; these {len(charges)} charges have {len(attributions)}.")
    attribution = attributions.pop()
    if attribution.organisation not in (None, organisation):
        raise NotSealable(f"These charges belong to {attribution.organisation!r}, not to {organisation!r}.")
    return attribution
