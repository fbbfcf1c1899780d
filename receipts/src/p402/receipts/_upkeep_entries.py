"""Entries that the collector makes by itself: access logs, rotations of keys, closed periods, heartbeats (FORMAT.md §3.8 to §3.11).

Each function seals one entry; it raises NotSealable when a number or a text is not what the format allows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from p402.receipts._canonical import canonical
from p402.receipts._entry import Entry, EntryPlace, require_counts, seal_entry
from p402.receipts._note import VerifierKey
from p402.receipts.errors import NotSealable
from p402.vocabulary import Money, rfc3339

__all__ = [
    "RotationReason",
    "access_log_digest",
    "access_log_entry",
    "heartbeat_entry",
    "key_rotation_entry",
    "period_close_entry",
]

_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


class RotationReason(StrEnum):
    """Why a log changes its key."""

    SCHEDULED = "scheduled"
    """As planned: the old key goes on signing beside the new one for a while."""
    COMPROMISED = "compromised"
    """Somebody else may have the old key: it signs nothing any more."""


def access_log_entry(
    place: EntryPlace,
    *,
    first: int,
    last: int,
    count: int,
    sha256: str,
    begin: datetime,
    end: datetime,
) -> Entry:
    """Record a run of rows of the access log: who read personal data, kept apart and hashed here.

    Args:
        place: where in which log, and when.
        first: number of the first row.
        last: number of the last row.
        count: how many rows of the organisation lie between them, both included.
        sha256: `access_log_digest` of those rows.
        begin: time of the first row.
        end: time of the last row.
    """
    require_counts(first=first, last=last, count=count)
    if not 1 <= count <= last - first + 1 or end < begin:
        raise NotSealable(f"{count} rows of the access log do not lie between {first} and {last}, or end before.")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise NotSealable("The digest of the access log's rows is 64 lower-case hex digits.")
    return seal_entry(
        {
            **place.header("access-log"),
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
    place: EntryPlace,
    *,
    old_key: str,
    new_key: str,
    reason: RotationReason,
    overlap_until: datetime,
) -> Entry:
    """Record that the log has a new key.

    Args:
        place: where in which log, and when.
        old_key: vkey of the key so far.
        new_key: vkey of the key that signs this entry's checkpoint and all after it.
        reason: why.
        overlap_until: until when the old key signs too; `issued_at` when it was compromised.
    """
    old, new = VerifierKey.parse(old_key), VerifierKey.parse(new_key)
    if old.name != new.name or old.public == new.public:
        raise NotSealable("The old and the new key of a rotation are two keys of one log.")
    if overlap_until < place.issued_at or (reason is RotationReason.COMPROMISED and overlap_until != place.issued_at):
        raise NotSealable("The overlap of a rotation ends now or later, that of a compromised key now.")
    return seal_entry(
        {
            **place.header("key-rotation"),
            "old_key": str(old),
            "new_key": str(new),
            "reason": RotationReason(reason).value,
            "overlap_until": rfc3339(overlap_until),
        }
    )


def period_close_entry(
    place: EntryPlace,
    *,
    period: str,
    charges: int,
    unpriced_charges: int,
    cost: Money,
    through_seq: int,
) -> Entry:
    """Record the totals of a month that is over; what is recorded later is an adjustment.

    Args:
        place: where in which log, and when.
        period: the month, in UTC: ``2026-10``.
        charges: how many charges began in it and were recorded by now.
        unpriced_charges: how many of them have no price.
        cost: what the others cost.
        through_seq: sequence number of the last charge in the ledger that was looked at; 0 when there was none.
    """
    require_counts(charges=charges, unpriced_charges=unpriced_charges, through_seq=through_seq)
    if not _PERIOD.fullmatch(period) or unpriced_charges > charges:
        raise NotSealable(
            f"A period is a month such as 2026-10, got {period[:20]!r}; or its counts contradict each other."
        )
    return seal_entry(
        {
            **place.header("period-close"),
            "period": period,
            "time_zone": "UTC",
            "charges": charges,
            "unpriced_charges": unpriced_charges,
            "cost_usd": str(cost),
            "through_seq": through_seq,
        }
    )


def heartbeat_entry(place: EntryPlace) -> Entry:
    """Record that the log was idle, so that its end is signed and anchored on time."""
    return seal_entry(place.header("heartbeat"))
