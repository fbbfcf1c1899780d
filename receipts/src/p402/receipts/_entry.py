"""Entries of an organisation's log: canonical JSON that names its place and the entry before it.

Every entry begins with the same words (`type`, `version`, `organisation`, `seq`, `prev`, `issued_at`); FORMAT.md lists
what follows for each type. `prev` makes any unbroken run of entries checkable with nothing but SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from p402.receipts._canonical import canonical
from p402.receipts._commitment import commit
from p402.receipts._statement import Anchor
from p402.receipts.errors import NotSealable
from p402.receipts.merkle import leaf_hash
from p402.vocabulary import is_valid_id, rfc3339

__all__ = [
    "MAX_COMMITTED_TEXT",
    "MAX_ENTRY_BYTES",
    "NO_PREVIOUS",
    "CommittedEntry",
    "Entry",
    "EntryPlace",
    "require_counts",
    "require_ids",
    "require_text",
    "seal_committed",
    "seal_entry",
    "settlement_entry",
]

MAX_ENTRY_BYTES = 64 * 1024
MAX_COMMITTED_TEXT = 8_192
"""Characters of a comment or a reason."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPlace:
    """Where an entry stands, and when it was made: what every entry begins with beside its type.

    Raises:
        NotSealable: if there is no such place.
    """

    organisation: str
    """Whose log it is."""
    seq: int
    """Counted from 0."""
    prev: bytes
    """Leaf hash of the entry before it; `NO_PREVIOUS` for the first."""
    issued_at: datetime

    def __post_init__(self) -> None:
        if not is_valid_id(self.organisation):
            raise NotSealable(f"{self.organisation!r} is not the id of an organisation.")
        if self.seq < 0 or len(self.prev) != len(NO_PREVIOUS) or (self.seq == 0) != (self.prev == NO_PREVIOUS):
            raise NotSealable(
                f"Entry {self.seq} needs the 32-byte leaf hash of the entry before it; only entry 0 has zeros."
            )

    def header(self, type: str) -> dict[str, Any]:  # noqa: A002 - the format's word
        """Give the members that an entry of a type begins with."""
        return {
            "type": type,
            "version": 1,
            "organisation": self.organisation,
            "seq": self.seq,
            "prev": self.prev.hex(),
            "issued_at": rfc3339(self.issued_at),
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


def settlement_entry(place: EntryPlace, *, settlement_id: str, memo: bytes, anchor: Anchor) -> Entry:
    """Record a final anchor in the log itself, so that the next checkpoint vouches for it too."""
    return seal_entry(
        {
            **place.header("settlement"),
            "settlement_id": settlement_id,
            "statement_sha256": memo.hex(),
            "chain_id": anchor.chain_id,
            "tx_hash": anchor.tx_hash,
            "block_number": anchor.block_number,
            "block_hash": anchor.block_hash,
            "log_index": anchor.log_index,
        }
    )


def seal_committed(
    members: dict[str, Any], committed: Mapping[str, str | None], make_salt: Callable[[], str]
) -> CommittedEntry:
    """Encode an entry that commits to some values, as far as they are known."""
    commitments = [commit(name, value, make_salt()) for name, value in committed.items() if value is not None]
    digests = sorted(commitment.digest for commitment in commitments)
    entry = seal_entry({**members, "_sd_alg": "sha-256", "_sd": digests})
    disclosures = tuple(commitment.disclosure for commitment in commitments)
    return CommittedEntry(entry.seq, entry.body, entry.leaf_hash, disclosures)


def require_ids(**ids: str) -> None:
    """Refuse what are no ids."""
    for name, value in ids.items():
        if not is_valid_id(value):
            raise NotSealable(f"{name} is 1 to 256 printable characters without spaces around them; got {value!a:.80}.")


def require_text(name: str, text: str | None) -> None:
    """Refuse a text that is empty or too long to be committed to."""
    if text is not None and not 1 <= len(text) <= MAX_COMMITTED_TEXT:
        raise NotSealable(f"A {name} has 1 to {MAX_COMMITTED_TEXT} characters; got {len(text)}.")


def require_counts(**counts: int) -> None:
    """Refuse what are no whole numbers from 0."""
    for name, value in counts.items():
        if type(value) is not int or value < 0:
            raise NotSealable(f"{name} is a whole number from 0; got {value!r}.")
