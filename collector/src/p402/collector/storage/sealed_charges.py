"""Which receipt a charge was sealed into.

A receipt seals the next charges of its session, in the order of recording, and says how many: so the receipts of a session
divide its charges, and nothing needs to be noted on them. They are laid along the charges from the last one back, since old
receipts may have been pruned while their charges are kept.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from p402.collector.settlement.ports import Settlement
from p402.collector.storage.driver import driver
from p402.exporters.documents.posted import ReceiptReference
from p402.receipts import leaf_hash

__all__ = ["SealedCharges"]


_RECEIPTS = (
    "SELECT receipts.id, receipts.seq, receipts.settlement_id, body FROM receipts JOIN log_entries"
    " ON log_entries.organisation = receipts.organisation AND log_entries.seq = receipts.seq"
    " WHERE receipts.scope_id = ? ORDER BY receipts.seq DESC"
)


@dataclass(frozen=True, slots=True)
class _Part:
    """A receipt of a session."""

    first_seq: int
    """Of its charges."""
    last_seq: int
    reference: ReceiptReference | None
    """None: it is not yet in the log that is looked at."""


class SealedCharges:
    """Finds receipts of charges in one query of the database; remembers what it saw of a session."""

    def __init__(
        self, connection: Connection, log_size: int, settlement_of: Callable[[Mapping[str, Any]], Settlement | None]
    ) -> None:
        """Look at a log of so many entries, with what anchored a row of ``receipts``."""
        self._sql = driver(connection)
        self._log_size = log_size
        self._settlement_of = settlement_of
        self._known: dict[int, list[_Part]] = {}

    def receipt_of(self, scope_id: int, seq: int) -> ReceiptReference | None:
        """Give the receipt of a charge; None while it is not sealed, and where its receipt was pruned."""
        if scope_id not in self._known:
            self._known[scope_id] = self._parts(scope_id)
        parts = self._known[scope_id]
        number = bisect_left(parts, seq, key=lambda part: part.last_seq)
        if number == len(parts) or seq < parts[number].first_seq:
            return None
        return parts[number].reference

    def _parts(self, scope_id: int) -> list[_Part]:
        """Give the parts of a session in their order, as far back as none is missing."""
        session = self._sql.execute(
            "SELECT parts, sealed_through_seq FROM sessions WHERE scope_id = ?", (scope_id,)
        ).fetchone()
        if session is None:
            return []
        number, sealed_through = session
        [(end,)] = self._sql.execute(
            "SELECT count(*) FROM charges WHERE scope_id = ? AND seq <= ?", (scope_id, sealed_through)
        ).fetchall()
        found: list[_Part] = []
        for id_, seq, settlement_id, body in self._sql.execute(_RECEIPTS, (scope_id,)).fetchall():
            said = json.loads(body)
            begin = end - int(said["charges"]["count"])
            if said["session"]["part"] != number or begin < 0:
                break
            reference = self._reference(id_, seq, settlement_id, body) if seq < self._log_size else None
            found.append(_Part(self._seq_at(scope_id, begin), self._seq_at(scope_id, end - 1), reference))
            end, number = begin, number - 1
        return (
            [] if number == 0 and end != 0 else found[::-1]
        )  # the counts do not fit the charges: then nothing is claimed

    def _reference(self, receipt_id: str, seq: int, settlement_id: str | None, body: bytes) -> ReceiptReference:
        settlement = self._settlement_of({"seq": seq, "settlement_id": settlement_id})
        anchor = settlement.anchor if settlement else None
        return ReceiptReference(receipt_id, leaf_hash(body).hex(), anchor.tx_hash if anchor else None)

    def _seq_at(self, scope_id: int, number: int) -> int:
        [(found,)] = self._sql.execute(
            "SELECT seq FROM charges WHERE scope_id = ? ORDER BY seq LIMIT 1 OFFSET ?", (scope_id, number)
        ).fetchall()
        return int(found)
