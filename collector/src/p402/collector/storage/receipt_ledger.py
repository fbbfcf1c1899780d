"""What the ledger has today of the calls that a receipt was sealed over."""

from __future__ import annotations

from sqlalchemy import Connection, select

from p402.collector.storage.charges import charges_joined, charges_of
from p402.collector.storage.sealed_charges import KnownParts, SealedCharges
from p402.collector.storage.tables import charges, receipts
from p402.receipts import charges_digest

__all__ = ["MOST_CALLS", "ledger_digest"]

MOST_CALLS = 20_000
"""Calls of a receipt with more are not read for a page."""

_ANY_SIZE = 2**62


def ledger_digest(connection: Connection, receipt_id: str) -> str | None:
    """Hash the calls of a receipt as the ledger has them now, as `charges_digest` does; None where that cannot be told.

    Raises:
        ValueError, KeyError: if a body of the session's receipts cannot be read.
    """
    scope_id = connection.execute(select(receipts.c.scope_id).where(receipts.c.id == receipt_id)).scalar()
    if scope_id is None:
        return None
    found = SealedCharges(connection, _ANY_SIZE, lambda _: None, KnownParts()).charges_of(scope_id, receipt_id)
    if found is None:
        return None
    first, last = found
    query = charges_joined().where(charges.c.scope_id == scope_id, charges.c.seq >= first, charges.c.seq <= last)
    rows = connection.execute(query.order_by(charges.c.seq).limit(MOST_CALLS + 1)).mappings().all()
    return charges_digest(charges_of(rows)) if len(rows) <= MOST_CALLS else None
