"""Entries of an organisation's log: canonical JSON that names its place and the entry before it.

Every entry begins with the same words (`type`, `version`, `organisation`, `seq`, `prev`, `issued_at`); FORMAT.md lists
what follows for each type. `prev` makes any unbroken run of entries checkable with nothing but SHA-256.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from p402.receipts._canonical import canonical
from p402.receipts._statement import Anchor
from p402.receipts.errors import NotSealable
from p402.receipts.merkle import leaf_hash
from p402.vocabulary import is_valid_id, rfc3339

__all__ = [
    "MAX_ENTRY_BYTES",
    "NO_PREVIOUS",
    "CommittedEntry",
    "Entry",
    "entry_header",
    "seal_entry",
    "settlement_entry",
]

MAX_ENTRY_BYTES = 64 * 1024
NO_PREVIOUS = bytes(32)
"""`prev` of the first entry of a log."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry ready to be appended: its place, its bytes, and the hash that the tree takes in."""

    seq: int
    body: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class CommittedEntry(Entry):
    """An entry with commitments, and the disclosures to keep apart from it."""

    disclosures: tuple[str, ...]
    """They open the commitments; whoever has none learns nothing of what was committed to."""


def entry_header(type: str, *, organisation: str, seq: int, prev: bytes, issued_at: datetime) -> dict[str, Any]:  # noqa: A002 - the format's word
    """Give the fields that every entry begins with."""
    if not is_valid_id(organisation):
        raise NotSealable(f"{organisation!r} is not the id of an organisation.")
    if seq < 0 or len(prev) != len(NO_PREVIOUS) or (seq == 0) != (prev == NO_PREVIOUS):
        raise NotSealable(f"Entry {seq} needs the 32-byte leaf hash of the entry before it; only entry 0 has zeros.")
    return {
        "type": type,
        "version": 1,
        "organisation": organisation,
        "seq": seq,
        "prev": prev.hex(),
        "issued_at": rfc3339(issued_at),
    }


def seal_entry(fields: dict[str, Any]) -> Entry:
    """Encode the fields of an entry, header included.

    Raises:
        NotSealable: if it is larger than 64 KiB.
        NotCanonical: if a value has no canonical form.
    """
    body = canonical(fields)
    if len(body) > MAX_ENTRY_BYTES:
        raise NotSealable(f"Entry {fields['seq']} has {len(body)} bytes; at most {MAX_ENTRY_BYTES} are allowed.")
    return Entry(fields["seq"], body, leaf_hash(body))


def settlement_entry(
    *,
    organisation: str,
    seq: int,
    prev: bytes,
    issued_at: datetime,
    settlement_id: str,
    memo: bytes,
    anchor: Anchor,
) -> Entry:
    """Record a final anchor in the log itself, so that the next checkpoint vouches for it too."""
    return seal_entry(
        {
            **entry_header("settlement", organisation=organisation, seq=seq, prev=prev, issued_at=issued_at),
            "settlement_id": settlement_id,
            "statement_sha256": memo.hex(),
            "chain_id": anchor.chain_id,
            "tx_hash": anchor.tx_hash,
            "block_number": anchor.block_number,
            "block_hash": anchor.block_hash,
            "log_index": anchor.log_index,
        }
    )
