"""Which receipt a charge was sealed into.

A receipt seals the next charges of its session, in the order of recording, and says how many: so the receipts of a session
divide its charges, and nothing needs to be noted on them. They are laid along the charges from the last one back, since old
receipts may have been pruned while their charges are kept.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from p402.collector.settlement.ports import Settlement
from p402.collector.storage.driver import driver
from p402.exporters.documents.posted import ReceiptReference
from p402.receipts import leaf_hash

__all__ = ["KnownParts", "SealedCharges"]

_MOST_KNOWN = 50_000  # receipts

_RECEIPTS = (
    "SELECT receipts.id, receipts.seq, receipts.settlement_id, body FROM receipts JOIN log_entries"
    " ON log_entries.organisation = receipts.organisation AND log_entries.seq = receipts.seq"
    " WHERE receipts.scope_id = ? ORDER BY receipts.seq DESC"
)
_SEALED = "SELECT seq FROM charges WHERE scope_id = ? AND seq <= ? ORDER BY seq"


@dataclass(frozen=True, slots=True)
class _Part:
    """A receipt of a session."""

    first_seq: int
    """Of its charges."""
    last_seq: int
    reference: ReceiptReference | None
    """None: it is not yet in the log that is looked at."""


class KnownParts:
    """The receipts of sessions that were looked at last, as a log of one size has them; bounded by their number."""

    def __init__(self, most: int = _MOST_KNOWN) -> None:
        self._most = most
        self._known: dict[int, list[_Part]] = {}
        self._count = 0

    def get(self, scope_id: int) -> list[_Part] | None:
        """Give what is known of a session."""
        return self._known.get(scope_id)

    def add(self, scope_id: int, parts: list[_Part]) -> None:
        """Remember a session; those that were added first are forgotten when there are too many."""
        while self._known and self._count + len(parts) + 1 > self._most:
            self._count -= 1 + len(self._known.pop(next(iter(self._known))))
        self._known[scope_id] = parts
        self._count += 1 + len(parts)


class SealedCharges:
    """Finds receipts of charges in one query of the database."""

    def __init__(
        self,
        connection: Connection,
        log_size: int,
        settlement_of: Callable[[Mapping[str, Any]], Settlement | None],
        known: KnownParts,
    ) -> None:
        """Look at a log of so many entries, with what anchored a row of ``receipts`` and what is known of that log."""
        self._sql = driver(connection)
        self._log_size = log_size
        self._settlement_of = settlement_of
        self._known = known

    def charges_of(self, scope_id: int, receipt_id: str) -> tuple[int, int] | None:
        """Give the first and the last charge of a receipt; None where the receipts do not tell."""
        of_it = [part for part in self._of(scope_id) if part.reference and part.reference.receipt_id == receipt_id]
        return (of_it[0].first_seq, of_it[0].last_seq) if of_it else None

    def receipt_of(self, scope_id: int, seq: int) -> ReceiptReference | None:
        """Give the receipt of a charge; None while it is not sealed, and where its receipt was pruned."""
        parts = self._of(scope_id)
        number = bisect_left(parts, seq, key=lambda part: part.last_seq)
        if number == len(parts) or seq < parts[number].first_seq:
            return None
        return parts[number].reference

    def _of(self, scope_id: int) -> list[_Part]:
        parts = self._known.get(scope_id)
        if parts is None:
            parts = self._parts(scope_id)
            self._known.add(scope_id, parts)
        return parts

    def _parts(self, scope_id: int) -> list[_Part]:
        """Give the parts of a session in their order, as far back as none is missing."""
        session = self._sql.execute(
            "SELECT parts, sealed_through_seq FROM sessions WHERE scope_id = ?", (scope_id,)
        ).fetchone()
        if session is None:
            return []
        number, sealed_through = session
        sealed = self._sql.execute(_SEALED, (scope_id, sealed_through)).fetchall()
        seqs = array("q", (seq for (seq,) in sealed))
        end = len(seqs)
        found: list[_Part] = []
        for id_, seq, settlement_id, body in self._sql.execute(_RECEIPTS, (scope_id,)).fetchall():
            said = json.loads(body)
            begin = end - int(said["charges"]["count"])
            if said["session"]["part"] != number or begin < 0:
                break
            reference = self._reference(id_, seq, settlement_id, body) if seq < self._log_size else None
            found.append(_Part(seqs[begin], seqs[end - 1], reference))
            end, number = begin, number - 1
        return (
            [] if number == 0 and end != 0 else found[::-1]
        )  # the counts do not fit the charges: then nothing is claimed

    def _reference(self, receipt_id: str, seq: int, settlement_id: str | None, body: bytes) -> ReceiptReference:
        settlement = self._settlement_of({"seq": seq, "settlement_id": settlement_id})
        anchor = settlement.anchor if settlement else None
        return ReceiptReference(receipt_id, leaf_hash(body).hex(), anchor.tx_hash if anchor else None)
