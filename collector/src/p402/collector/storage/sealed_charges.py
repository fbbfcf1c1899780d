"""Which receipt a charge was sealed into.

A receipt seals the next charges of its session, in the order of recording, and says how many: so the receipts of a session
divide its charges, and nothing needs to be noted on them.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, select

from p402.collector.settlement.ports import Settlement
from p402.collector.storage.tables import charges, log_entries, receipts
from p402.exporters.documents.posted import ReceiptReference
from p402.receipts import leaf_hash

__all__ = ["SealedCharges"]


@dataclass(slots=True)
class _Parts:
    """The receipts of a session."""

    last_seqs: list[int] = field(default_factory=list)
    """Of the last charge of each."""
    references: list[ReceiptReference] = field(default_factory=list)


class SealedCharges:
    """Finds receipts of charges in one query of the database; remembers what it saw of a session."""

    def __init__(
        self, connection: Connection, log_size: int, settlement_of: Callable[[RowMapping], Settlement | None]
    ) -> None:
        """Look at a log of so many entries, with what anchored a row of ``receipts``."""
        self._connection = connection
        self._log_size = log_size
        self._settlement_of = settlement_of
        self._known: dict[int, _Parts] = {}

    def receipt_of(self, scope_id: int, seq: int) -> ReceiptReference | None:
        """Give the receipt of a charge; None while it is not sealed."""
        if scope_id not in self._known:
            self._known[scope_id] = self._parts(scope_id)
        parts = self._known[scope_id]
        number = bisect_left(parts.last_seqs, seq)
        return parts.references[number] if number < len(parts.references) else None

    def _parts(self, scope_id: int) -> _Parts:
        entry = and_(log_entries.c.organisation == receipts.c.organisation, log_entries.c.seq == receipts.c.seq)
        query = select(receipts, log_entries.c.body).join(log_entries, entry).where(receipts.c.scope_id == scope_id)
        query = query.where(receipts.c.seq < self._log_size).order_by(receipts.c.seq)
        parts, sealed = _Parts(), 0
        for row in self._connection.execute(query).mappings().all():
            sealed += int(json.loads(row["body"])["charges"]["count"])
            last = self._seq_at(scope_id, sealed - 1)
            if last is None:
                break
            settlement = self._settlement_of(row)
            anchor = settlement.anchor if settlement else None
            parts.last_seqs.append(last)
            parts.references.append(
                ReceiptReference(row["id"], leaf_hash(row["body"]).hex(), anchor.tx_hash if anchor else None)
            )
        return parts

    def _seq_at(self, scope_id: int, number: int) -> int | None:
        query = select(charges.c.seq).where(charges.c.scope_id == scope_id).order_by(charges.c.seq)
        found: Any = self._connection.execute(query.offset(number).limit(1)).scalar()
        return None if found is None else int(found)
