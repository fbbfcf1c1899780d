"""Entries about what people did to records of persons: a review, a legal hold, an erasure (FORMAT.md §3.5 to §3.7).

Each function seals one entry; it raises NotSealable when an id, a number or a text is not what the format allows. Who
did something, and what they wrote about it, are commitments: their disclosures are given beside the entry, to be kept
apart, because entries are never erased.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime
from enum import StrEnum

from p402.receipts._commitment import new_salt
from p402.receipts._entry import (
    NO_PREVIOUS,
    CommittedEntry,
    EntryPlace,
    require_counts,
    require_ids,
    require_text,
    seal_committed,
)
from p402.receipts.errors import NotSealable
from p402.vocabulary import Attribution, rfc3339

__all__ = ["MAX_ERASED_DIGESTS", "HoldAction", "ReviewAction", "erasure_entry", "hold_entry", "review_entry"]

MAX_ERASED_DIGESTS = 1_000
"""Digests in one erasure entry; an erasure of more has several parts."""

_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")


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


def review_entry(
    place: EntryPlace,
    *,
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
        place: where in which log, and when.
        review_id: the review that this step belongs to.
        receipt_id: the session's receipt.
        receipt_leaf: its leaf hash, 32 bytes: what exactly was reviewed.
        action: what happened.
        self_review: whether the reviewer is the session's own employee.
        reviewer: who did it; committed to.
        comment: what they wrote; committed to.
        make_salt: where the salts of the commitments come from.
    """
    require_ids(review_id=review_id, receipt_id=receipt_id, reviewer=reviewer)
    require_text("comment", comment)
    if len(receipt_leaf) != len(NO_PREVIOUS):
        raise NotSealable(f"The leaf hash of the reviewed receipt has 32 bytes; got {len(receipt_leaf)}.")
    return seal_committed(
        {
            **place.header("review"),
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
    place: EntryPlace,
    *,
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
        place: where in which log, and when.
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
    require_ids(hold_id=hold_id, matter=matter, by=by)
    require_text("reason", reason)
    if scope.organisation != place.organisation:
        raise NotSealable(f"A hold in the log of {place.organisation!r} holds what is of {place.organisation!r}.")
    for level, value in scope:
        if value is not None:
            require_ids(**{level.value: value})
    if begin is not None and end is not None and end <= begin:
        raise NotSealable("The time that a hold covers ends before it begins.")
    return seal_committed(
        {
            **place.header("hold"),
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
    place: EntryPlace,
    *,
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
        place: where in which log, and when.
        erasure_id: the erasure; its parts share it.
        part: 1, 2, … `parts`.
        parts: how many entries the erasure needs, with at most `MAX_ERASED_DIGESTS` digests each.
        legal_basis: for example ``GDPR Art. 17(1)(b)``, or the rule of retention.
        digests: those of the deleted disclosures, as they stand in `_sd`.
        held_back: how many disclosures a hold kept, in the whole erasure.
        by: who asked for it; committed to. None when a rule of retention did it.
        make_salt: where the salts of the commitments come from.
    """
    require_ids(erasure_id=erasure_id, legal_basis=legal_basis, **({} if by is None else {"by": by}))
    require_counts(part=part, parts=parts, held_back=held_back)
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
    return seal_committed(
        {
            **place.header("erasure"),
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
