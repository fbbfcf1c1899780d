"""Which receipt a charge was sealed into.

A receipt seals the next charges of its session, in the order of recording, and says how many: so the receipts of a session
divide its charges, and nothing needs to be noted on them. They are laid along the charges from the last one back, since old
receipts may have been pruned while their charges are kept.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, and_, func, select

from p402.collector.settlement.ports import Settlement
from p402.collector.storage.tables import charges, log_entries, receipts, sessions
from p402.exporters.documents.posted import ReceiptReference
from p402.receipts import leaf_hash

__all__ = ["SealedCharges"]


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
        self, connection: Connection, log_size: int, settlement_of: Callable[[RowMapping], Settlement | None]
    ) -> None:
        """Look at a log of so many entries, with what anchored a row of ``receipts``."""
        self._connection = connection
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
        session = self._connection.execute(select(sessions).where(sessions.c.scope_id == scope_id)).one_or_none()
        if session is None:
            return []
        of_session = charges.c.scope_id == scope_id, charges.c.seq <= session.sealed_through_seq
        end = self._connection.execute(select(func.count()).select_from(charges).where(*of_session)).scalar_one()
        entry = and_(log_entries.c.organisation == receipts.c.organisation, log_entries.c.seq == receipts.c.seq)
        query = select(receipts, log_entries.c.body).join(log_entries, entry).where(receipts.c.scope_id == scope_id)
        found: list[_Part] = []
        number = session.parts
        for row in self._connection.execute(query.order_by(receipts.c.seq.desc())).mappings().all():
            body = json.loads(row["body"])
            begin = end - int(body["charges"]["count"])
            if body["session"]["part"] != number or begin < 0:
                break
            reference = self._reference(row) if row["seq"] < self._log_size else None
            found.append(_Part(self._seq_at(scope_id, begin), self._seq_at(scope_id, end - 1), reference))
            end, number = begin, number - 1
        return (
            [] if number == 0 and end != 0 else found[::-1]
        )  # the counts do not fit the charges: then nothing is claimed

    def _reference(self, row: RowMapping) -> ReceiptReference:
        settlement = self._settlement_of(row)
        anchor = settlement.anchor if settlement else None
        return ReceiptReference(row["id"], leaf_hash(row["body"]).hex(), anchor.tx_hash if anchor else None)

    def _seq_at(self, scope_id: int, number: int) -> int:
        query = select(charges.c.seq).where(charges.c.scope_id == scope_id).order_by(charges.c.seq)
        found: int = self._connection.execute(query.offset(number).limit(1)).scalar_one()
        return found
