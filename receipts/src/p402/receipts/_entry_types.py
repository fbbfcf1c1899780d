"""Entries beside receipts and settlements: what people and the collector do with the log, recorded in it (FORMAT.md §3).

Each function seals one entry; it raises NotSealable when an id, a number or a text is not what the format allows. Who
did something, and what they wrote about it, are commitments: their disclosures are given beside the entry, to be kept
apart, because entries are never erased.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from p402.receipts._canonical import canonical
from p402.receipts._commitment import commit, new_salt
from p402.receipts._entry import NO_PREVIOUS, CommittedEntry, Entry, entry_header, seal_entry
from p402.receipts._note import VerifierKey
from p402.receipts.errors import NotSealable
from p402.vocabulary import Attribution, Money, is_valid_id, rfc3339

__all__ = [
    "MAX_COMMITTED_TEXT",
    "MAX_ERASED_DIGESTS",
    "HoldAction",
    "ReviewAction",
    "RotationReason",
    "access_log_digest",
    "access_log_entry",
    "erasure_entry",
    "heartbeat_entry",
    "hold_entry",
    "key_rotation_entry",
    "period_close_entry",
    "review_entry",
]

MAX_COMMITTED_TEXT = 8_192
"""Characters of a comment or a reason."""
MAX_ERASED_DIGESTS = 1_000
"""Digests in one erasure entry; an erasure of more has several parts."""

_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")
_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


class ReviewAction(StrEnum):
    """What happened in the human review of a session."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    COMMENTED = "commented"


class HoldAction(StrEnum):
    """What happened to a legal hold."""

    PLACED = "placed"
    RELEASED = "released"


class RotationReason(StrEnum):
    """Why a log changes its key."""

    SCHEDULED = "scheduled"
    """As planned: the old key goes on signing beside the new one for a while."""
    COMPROMISED = "compromised"
    """Somebody else may have the old key: it signs nothing any more."""


def review_entry(
    *,
    organisation: str,
    seq: int,
    prev: bytes,
    issued_at: datetime,
    review_id: str,
    receipt_id: str,
    receipt_leaf: bytes,
    action: ReviewAction,
    self_review: bool,
    reviewer: str,
    comment: str | None = None,
    make_salt: Callable[[], str] = new_salt,
) -> CommittedEntry:
    """Record a step of the human review of a session.

    Args:
        organisation: whose log this is for; like the next three, see `entry_header`.
        seq: the entry's place.
        prev: leaf hash of the entry before it.
        issued_at: now.
        review_id: the review that this step belongs to.
        receipt_id: the session's receipt.
        receipt_leaf: its leaf hash, 32 bytes: what exactly was reviewed.
        action: what happened.
        self_review: whether the reviewer is the session's own employee.
        reviewer: who did it; committed to.
        comment: what they wrote; committed to.
        make_salt: where the salts of the commitments come from.
    """
    _require_ids(review_id=review_id, receipt_id=receipt_id, reviewer=reviewer)
    _require_text("comment", comment)
    if len(receipt_leaf) != len(NO_PREVIOUS):
        raise NotSealable(f"The leaf hash of the reviewed receipt has 32 bytes; got {len(receipt_leaf)}.")
    return _seal_committed(
        {
            **entry_header("review", organisation=organisation, seq=seq, prev=prev, issued_at=issued_at),
            "review_id": review_id,
            "receipt_id": receipt_id,
            "receipt_leaf": receipt_leaf.hex(),
            "action": ReviewAction(action).value,
            "self_review": bool(self_review),
        },
        {"reviewer": reviewer, "comment": comment},
        make_salt,
    )


def hold_entry(
    *,
    organisation: str,
    seq: int,
    prev: bytes,
    issued_at: datetime,
    hold_id: str,
    action: HoldAction,
    matter: str,
    scope: Attribution,
    begin: datetime | None,
    end: datetime | None,
    by: str,
    reason: str | None = None,
    make_salt: Callable[[], str] = new_salt,
) -> CommittedEntry:
    """Record that a legal hold was placed or released.

    Args:
        organisation: whose log this is for; like the next three, see `entry_header`.
        seq: the entry's place.
        prev: leaf hash of the entry before it.
        issued_at: now.
        hold_id: the hold; its release says everything of it again.
        action: what happened.
        matter: id of the legal matter.
        scope: the part of the tree that is held; None is any. Employee and session are committed to.
        begin: first time that is held; None: from the beginning.
        end: first time that is not held any more; None: without end.
        by: who did it; committed to.
        reason: what they wrote; committed to.
        make_salt: where the salts of the commitments come from.
    """
    _require_ids(hold_id=hold_id, matter=matter, by=by)
    _require_text("reason", reason)
    if scope.organisation != organisation:
        raise NotSealable(f"A hold in the log of {organisation!r} holds what is of {organisation!r}.")
    for level, value in scope:
        if value is not None:
            _require_ids(**{level.value: value})
    if begin is not None and end is not None and end <= begin:
        raise NotSealable("The time that a hold covers ends before it begins.")
    return _seal_committed(
        {
            **entry_header("hold", organisation=organisation, seq=seq, prev=prev, issued_at=issued_at),
            "hold_id": hold_id,
            "action": HoldAction(action).value,
            "matter": matter,
            "scope": {
                "organisation": scope.organisation,
                "department": scope.department,
                "project": scope.project,
                "client": scope.client,
                "from": None if begin is None else rfc3339(begin),
                "to": None if end is None else rfc3339(end),
            },
        },
        {"employee": scope.employee, "session_id": scope.session, "by": by, "reason": reason},
        make_salt,
    )


def erasure_entry(
    *,
    organisation: str,
    seq: int,
    prev: bytes,
    issued_at: datetime,
    erasure_id: str,
    part: int,
    parts: int,
    legal_basis: str,
    digests: Collection[str],
    held_back: int,
    by: str | None,
    make_salt: Callable[[], str] = new_salt,
) -> CommittedEntry:
    """Record that disclosures were deleted, so that their commitments can never be opened again.

    Args:
        organisation: whose log this is for; like the next three, see `entry_header`.
        seq: the entry's place.
        prev: leaf hash of the entry before it.
        issued_at: now.
        erasure_id: the erasure; its parts share it.
        part: 1, 2, … `parts`.
        parts: how many entries the erasure needs, with at most `MAX_ERASED_DIGESTS` digests each.
        legal_basis: for example ``GDPR Art. 17(1)(b)``, or the rule of retention.
        digests: those of the deleted disclosures, as they stand in `_sd`.
        held_back: how many disclosures a hold kept, in the whole erasure.
        by: who asked for it; committed to. None when a rule of retention did it.
        make_salt: where the salts of the commitments come from.
    """
    _require_ids(erasure_id=erasure_id, legal_basis=legal_basis, **({} if by is None else {"by": by}))
    _require_counts(part=part, parts=parts, held_back=held_back)
    if not 1 <= part <= parts:
        raise NotSealable(f"The parts of an erasure are numbered from 1; got part {part} of {parts}.")
    if len(digests) > MAX_ERASED_DIGESTS or len(set(digests)) != len(digests):
        raise NotSealable(
            f"An erasure entry holds at most {MAX_ERASED_DIGESTS} digests, each once; got {len(digests)}, "
            f"{len(set(digests))} of them different."
        )
    for digest in digests:
        if not _DIGEST.fullmatch(digest):
            raise NotSealable(f"{digest[:80]!r} is not the digest of a disclosure.")
    return _seal_committed(
        {
            **entry_header("erasure", organisation=organisation, seq=seq, prev=prev, issued_at=issued_at),
            "erasure_id": erasure_id,
            "part": part,
            "parts": parts,
            "legal_basis": legal_basis,
            "digests": sorted(digests),
            "held_back": held_back,
        },
        {"by": by},
        make_salt,
    )


def access_log_entry(
    *,
    organisation: str,
    seq: int,
    prev: bytes,
    issued_at: datetime,
    first: int,
    last: int,
    count: int,
    sha256: str,
    begin: datetime,
    end: datetime,
) -> Entry:
    """Record a run of rows of the access log: who read personal data, kept apart and hashed here.

    Args:
        organisation: whose log this is for; like the next three, see `entry_header`.
        seq: the entry's place.
        prev: leaf hash of the entry before it.
        issued_at: now.
        first: number of the first row.
        last: number of the last row.
        count: how many rows of the organisation lie between them, both included.
        sha256: `access_log_digest` of those rows.
        begin: time of the first row.
        end: time of the last row.
    """
    _require_counts(first=first, last=last, count=count)
    if not 1 <= count <= last - first + 1 or end < begin:
        raise NotSealable(f"{count} rows of the access log do not lie between {first} and {last}, or end before.")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise NotSealable("The digest of the access log's rows is 64 lower-case hex digits.")
    return seal_entry(
        {
            **entry_header("access-log", organisation=organisation, seq=seq, prev=prev, issued_at=issued_at),
            "first": first,
            "last": last,
            "count": count,
            "sha256": sha256,
            "from": rfc3339(begin),
            "to": rfc3339(end),
        }
    )


def access_log_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash rows of the access log: the canonical bytes of each and a line feed, in the order of their numbers."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(canonical(dict(row)) + b"\n")
    return digest.hexdigest()


def key_rotation_entry(
    *,
    organisation: str,
    seq: int,
    prev: bytes,
    issued_at: datetime,
    old_key: str,
    new_key: str,
    reason: RotationReason,
    overlap_until: datetime,
) -> Entry:
    """Record that the log has a new key.

    Args:
        organisation: whose log this is for; like the next three, see `entry_header`.
        seq: the entry's place.
        prev: leaf hash of the entry before it.
        issued_at: now.
        old_key: vkey of the key so far.
        new_key: vkey of the key that signs this entry's checkpoint and all after it.
        reason: why.
        overlap_until: until when the old key signs too; `issued_at` when it was compromised.
    """
    old, new = VerifierKey.parse(old_key), VerifierKey.parse(new_key)
    if old.name != new.name or old.public == new.public:
        raise NotSealable("The old and the new key of a rotation are two keys of one log.")
    if overlap_until < issued_at or (reason is RotationReason.COMPROMISED and overlap_until != issued_at):
        raise NotSealable("The overlap of a rotation ends now or later, that of a compromised key now.")
    return seal_entry(
        {
            **entry_header("key-rotation", organisation=organisation, seq=seq, prev=prev, issued_at=issued_at),
            "old_key": str(old),
            "new_key": str(new),
            "reason": RotationReason(reason).value,
            "overlap_until": rfc3339(overlap_until),
        }
    )


def period_close_entry(
    *,
    organisation: str,
    seq: int,
    prev: bytes,
    issued_at: datetime,
    period: str,
    charges: int,
    unpriced_charges: int,
    cost: Money,
    through_seq: int,
) -> Entry:
    """Record the totals of a month that is over; what is recorded later is an adjustment.

    Args:
        organisation: whose log this is for; like the next three, see `entry_header`.
        seq: the entry's place.
        prev: leaf hash of the entry before it.
        issued_at: now.
        period: the month, in UTC: ``2026-10``.
        charges: how many charges began in it and were recorded by now.
        unpriced_charges: how many of them have no price.
        cost: what the others cost.
        through_seq: sequence number of the last charge in the ledger that was looked at; 0 when there was none.
    """
    _require_counts(charges=charges, unpriced_charges=unpriced_charges, through_seq=through_seq)
    if not _PERIOD.fullmatch(period) or unpriced_charges > charges:
        raise NotSealable(
            f"A period is a month such as 2026-10, got {period[:20]!r}; or its counts contradict each other."
        )
    return seal_entry(
        {
            **entry_header("period-close", organisation=organisation, seq=seq, prev=prev, issued_at=issued_at),
            "period": period,
            "time_zone": "UTC",
            "charges": charges,
            "unpriced_charges": unpriced_charges,
            "cost_usd": str(cost),
            "through_seq": through_seq,
        }
    )


def heartbeat_entry(*, organisation: str, seq: int, prev: bytes, issued_at: datetime) -> Entry:
    """Record that the log was idle, so that its end is signed and anchored on time."""
    return seal_entry(entry_header("heartbeat", organisation=organisation, seq=seq, prev=prev, issued_at=issued_at))


def _seal_committed(
    members: dict[str, Any], committed: Mapping[str, str | None], make_salt: Callable[[], str]
) -> CommittedEntry:
    commitments = [commit(name, value, make_salt()) for name, value in committed.items() if value is not None]
    digests = sorted(commitment.digest for commitment in commitments)
    entry = seal_entry({**members, "_sd_alg": "sha-256", "_sd": digests})
    disclosures = tuple(commitment.disclosure for commitment in commitments)
    return CommittedEntry(entry.seq, entry.body, entry.leaf_hash, disclosures)


def _require_ids(**ids: str) -> None:
    for name, value in ids.items():
        if not is_valid_id(value):
            raise NotSealable(f"{name} is 1 to 256 printable characters without spaces around them; got {value!a:.80}.")


def _require_text(name: str, text: str | None) -> None:
    if text is not None and not 1 <= len(text) <= MAX_COMMITTED_TEXT:
        raise NotSealable(f"A {name} has 1 to {MAX_COMMITTED_TEXT} characters; got {len(text)}.")


def _require_counts(**counts: int) -> None:
    for name, value in counts.items():
        if type(value) is not int or value < 0:
            raise NotSealable(f"{name} is a whole number from 0; got {value!r}.")
