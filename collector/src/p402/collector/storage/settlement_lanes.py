"""The lanes of a payer: which are free, and what each goes on with."""

from __future__ import annotations

from sqlalchemy import Connection, select

from p402.collector.storage.driver import upsert
from p402.collector.storage.settlement_tables import lanes, settlement_transactions
from p402.receipts.settlement import Lane

__all__ = ["free_lane", "known_lanes", "set_lane"]


def free_lane(connection: Connection, chain_id: int, payer: str, given: dict[int, Lane]) -> Lane | None:
    """Give a lane that no transaction is under way in, where it goes on by what is given or stored, whichever is more."""
    taken = select(settlement_transactions.c.nonce_key).where(settlement_transactions.c.ended_at.is_(None))
    busy = {int(key) for key in connection.execute(taken).scalars()}
    known = known_lanes(connection, chain_id, payer)
    for key, lane in sorted(given.items()):
        if key not in busy:
            stored = known.get(key, lane)
            return Lane(key, max(lane.next_nonce, stored.next_nonce))
    return None


def set_lane(connection: Connection, chain_id: int, payer: str, lane: Lane) -> None:
    """Store what a lane goes on with."""
    place = {"chain_id": chain_id, "payer": payer, "nonce_key": str(lane.nonce_key)}
    following = {"next_nonce": lane.next_nonce}
    used = upsert(connection, lanes).values(**place, **following)
    connection.execute(used.on_conflict_do_update(index_elements=list(place), set_=following))


def known_lanes(connection: Connection, chain_id: int, payer: str) -> dict[int, Lane]:
    """Give the lanes that were used before, by nonce key."""
    query = select(lanes).where(lanes.c.chain_id == chain_id, lanes.c.payer == payer)
    return {int(row.nonce_key): Lane(int(row.nonce_key), row.next_nonce) for row in connection.execute(query)}
