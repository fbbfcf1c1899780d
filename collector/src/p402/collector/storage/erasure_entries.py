"""Erasures in the log: which disclosures are gone, in as many entries as that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from p402.collector.storage.log import Signers, append_entry
from p402.collector.storage.vault import Kept, Vault, person
from p402.receipts import MAX_ERASED_DIGESTS, CommittedEntry, EntryPlace, erasure_entry

__all__ = ["ERASURE_TYPE", "record_erased"]

ERASURE_TYPE = "erasure"


def record_erased(
    connection: Connection,
    vault: Vault,
    signers: Signers,
    organisation: str,
    erasure_id: str,
    *,
    legal_basis: str,
    digests: Sequence[str],
    held_back: int,
    by: str | None,
    at: datetime,
) -> int:
    """Say in the log which disclosures are gone, in as many entries as that takes; gives the first one's place."""
    parts = max(1, -(-len(digests) // MAX_ERASED_DIGESTS))
    seqs = []
    for part in range(1, parts + 1):
        some = digests[(part - 1) * MAX_ERASED_DIGESTS : part * MAX_ERASED_DIGESTS]
        make = _entry_maker(organisation, erasure_id, part, parts, legal_basis, some, held_back, by, at)
        entry = append_entry(connection, organisation, ERASURE_TYPE, make, signers.signer(organisation), at)
        if by is not None:
            vault.keep(connection, organisation, entry.seq, [Kept(text, person(by)) for text in entry.disclosures])
        seqs.append(entry.seq)
    return seqs[0]


def _entry_maker(
    organisation: str,
    erasure_id: str,
    part: int,
    parts: int,
    legal_basis: str,
    digests: Sequence[str],
    held_back: int,
    by: str | None,
    at: datetime,
) -> Callable[[int, bytes], CommittedEntry]:
    def make(seq: int, prev: bytes) -> CommittedEntry:
        return erasure_entry(
            EntryPlace(organisation=organisation, seq=seq, prev=prev, issued_at=at),
            erasure_id=erasure_id,
            part=part,
            parts=parts,
            legal_basis=legal_basis,
            digests=digests,
            held_back=held_back,
            by=by,
        )

    return make
