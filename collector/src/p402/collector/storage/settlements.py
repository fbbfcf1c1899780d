"""Settlements: implements `settlement.ports.SettlementStore`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from p402.collector.settlement.ports import Covered, MakeStatement, Settlement, SettlementState, Sign
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import upsert
from p402.collector.storage.log import Signers, append_entry, latest_checkpoint
from p402.collector.storage.tables import lanes as lane_table
from p402.collector.storage.tables import receipts, settlements
from p402.receipts import Anchor, Entry, SettlementStatement, parse_checkpoint, settlement_entry
from p402.receipts.settlement import Lane, SignedSettlement
from p402.vocabulary import Money

__all__ = ["SqlSettlements", "settlement_by_id", "settlements_page"]

_UNDER_WAY = (SettlementState.PLANNED.value, SettlementState.SIGNED.value)


class SqlSettlements:
    """The settlements of this collector."""

    def __init__(self, database: Database, signers: Signers) -> None:
        self._database = database
        self._signers = signers

    async def plan(
        self, make: MakeStatement, not_after: datetime, failed_not_after: datetime, at: datetime
    ) -> list[Settlement]:
        """Plan a settlement for each organisation that needs one."""
        query = _waiting(not_after, failed_not_after)
        if not await self._database.read(lambda connection: connection.execute(query).first()):
            return []  # as nearly always: then nothing is written

        def change(connection: Connection) -> list[Settlement]:
            waiting = list(connection.execute(query).scalars())
            return [_plan(connection, organisation, make, at) for organisation in waiting]

        return await self._database.write(change)

    async def under_way(self) -> list[Settlement]:
        """Give the settlements that are planned or signed, the oldest first."""
        query = select(settlements).where(settlements.c.state.in_(_UNDER_WAY)).order_by(settlements.c.planned_at)
        return await self._database.read(lambda connection: _all(connection, query))

    async def known_lanes(self, chain_id: int, payer: str) -> dict[int, Lane]:
        """Give the lanes that were used before, by nonce key."""
        return await self._database.read(lambda connection: _known_lanes(connection, chain_id, payer))

    async def sign(
        self, settlement: Settlement, lanes: dict[int, Lane], sign: Sign, head_block: int
    ) -> Settlement | None:
        """Take the next nonce of a free lane, sign, and store the bytes."""

        def change(connection: Connection) -> Settlement | None:
            if settlement_by_id(connection, settlement.settlement_id).state is not SettlementState.PLANNED:
                return None
            taken = select(settlements.c.nonce_key).where(settlements.c.state == SettlementState.SIGNED.value)
            busy = {int(key) for key in connection.execute(taken).scalars()}
            statement = settlement.statement
            usable = lanes | _known_lanes(connection, statement.chain_id, statement.payer)
            lane = next((lane for key, lane in sorted(usable.items()) if key in lanes and key not in busy), None)
            if lane is None:
                return None
            place = {"chain_id": statement.chain_id, "payer": statement.payer, "nonce_key": str(lane.nonce_key)}
            used = upsert(connection, lane_table).values(**place, next_nonce=lane.next_nonce + 1)
            following = {"next_nonce": used.excluded.next_nonce}
            connection.execute(used.on_conflict_do_update(index_elements=list(place), set_=following))
            return _store_signed(connection, settlement, sign(settlement, lane), head_block)

        return await self._database.write(change)

    async def sign_again(self, settlement: Settlement, sign: Sign) -> Settlement:
        """Replace a transaction that can never land any more by one in the same place of the same lane."""
        assert settlement.signed is not None, "only what was signed can be signed again"
        signed = sign(settlement, Lane(settlement.signed.nonce_key, settlement.signed.nonce))
        block = settlement.signed_at_block or 0  # an earlier version may have landed since then

        def change(connection: Connection) -> Settlement:
            now = settlement_by_id(connection, settlement.settlement_id)
            return _store_signed(connection, now, signed, block) if now.signed == settlement.signed else now

        return await self._database.write(change)

    async def finalise(self, settlement: Settlement, anchor: Anchor, at: datetime) -> None:
        """Store the anchor, link the receipts to it, and append the settlement entry to the log."""

        def make_entry(seq: int, prev: bytes) -> Entry:
            return settlement_entry(
                organisation=settlement.organisation,
                seq=seq,
                prev=prev,
                issued_at=at,
                settlement_id=settlement.settlement_id,
                memo=settlement.statement.memo(),
                anchor=anchor,
            )

        def change(connection: Connection) -> None:
            values = {
                "state": SettlementState.FINAL.value,
                "tx_hash": anchor.tx_hash,
                "block_number": anchor.block_number,
                "block_hash": anchor.block_hash,
                "block_timestamp": anchor.block_timestamp,
                "log_index": anchor.log_index,
                "final_at": to_millis(at),
            }
            if not connection.execute(_under_way(settlement).values(values)).rowcount:
                return  # another collector did
            connection.execute(
                update(receipts)
                .where(receipts.c.organisation == settlement.organisation, receipts.c.settlement_id.is_(None))
                .where(receipts.c.seq < settlement.checkpoint_size)
                .values(settlement_id=settlement.settlement_id)
            )
            signer = self._signers.signer(settlement.organisation)
            append_entry(connection, settlement.organisation, "settlement", make_entry, signer, at)

        await self._database.write(change)

    async def fail(self, settlement: Settlement, problem: str) -> None:
        """End a settlement that cannot succeed."""
        change = _under_way(settlement).values(state=SettlementState.FAILED.value, problem=problem)
        await self._database.write(lambda connection: connection.execute(change).rowcount)


def settlement_by_id(connection: Connection, settlement_id: str) -> Settlement:
    """Give one settlement."""
    return _all(connection, select(settlements).where(settlements.c.id == settlement_id))[0]


def settlements_page(connection: Connection, organisation: str, limit: int) -> list[Settlement]:
    """Give the settlements of an organisation, the newest first."""
    query = select(settlements).where(settlements.c.organisation == organisation)
    return _all(connection, query.order_by(settlements.c.planned_at.desc()).limit(limit))


def _known_lanes(connection: Connection, chain_id: int, payer: str) -> dict[int, Lane]:
    query = select(lane_table).where(lane_table.c.chain_id == chain_id, lane_table.c.payer == payer)
    return {int(row.nonce_key): Lane(int(row.nonce_key), row.next_nonce) for row in connection.execute(query)}


def _under_way(settlement: Settlement) -> Any:
    return update(settlements).where(settlements.c.id == settlement.settlement_id, settlements.c.state.in_(_UNDER_WAY))


def _waiting(not_after: datetime, failed_not_after: datetime) -> Select[Any]:
    """Select the organisations with receipts not yet anchored, nothing under way, and a pause behind them."""
    failed = settlements.c.state == SettlementState.FAILED.value
    busy = select(settlements.c.organisation).where(
        settlements.c.state.in_(_UNDER_WAY)
        | (settlements.c.planned_at > to_millis(not_after))
        | (failed & (settlements.c.planned_at > to_millis(failed_not_after)))
    )
    unanchored = select(receipts.c.organisation).where(receipts.c.settlement_id.is_(None))
    return unanchored.where(receipts.c.organisation.not_in(busy)).distinct()


def _plan(connection: Connection, organisation: str, make: MakeStatement, at: datetime) -> Settlement:
    note = latest_checkpoint(connection, organisation)
    assert note is not None, "a log with a receipt has a checkpoint"
    checkpoint = parse_checkpoint(note)
    final = select(settlements).where(settlements.c.organisation == organisation, settlements.c.state == "final")
    previous = next(iter(_all(connection, final.order_by(settlements.c.planned_at.desc()).limit(1))), None)
    first, accrued = connection.execute(
        select(func.min(receipts.c.issued_at), func.sum(receipts.c.cost_nano_usd)).where(
            receipts.c.organisation == organisation, receipts.c.settlement_id.is_(None)
        )
    ).one()
    since = previous.statement.period_to if previous else from_millis(first)
    statement = make(
        Covered(
            organisation=organisation,
            checkpoint=str(checkpoint),
            since=since,
            until=max(since, at),  # the clock may have been set back
            accrued=Money(int(accrued)),
            previous=previous,
        )
    )
    planned = Settlement(
        settlement_id=statement.settlement_id,
        organisation=organisation,
        state=SettlementState.PLANNED,
        problem=None,
        checkpoint_size=checkpoint.size,
        statement=statement,
        signed=None,
        signed_at_block=None,
        anchor=None,
        planned_at=at,
    )
    connection.execute(
        insert(settlements).values(
            id=planned.settlement_id,
            organisation=organisation,
            state=planned.state.value,
            checkpoint_size=planned.checkpoint_size,
            statement=statement.canonical(),
            memo=statement.memo(),
            planned_at=to_millis(at),
        )
    )
    return planned


def _store_signed(
    connection: Connection, settlement: Settlement, signed: SignedSettlement, head_block: int
) -> Settlement:
    connection.execute(
        _under_way(settlement).values(
            state=SettlementState.SIGNED.value,
            nonce_key=str(signed.nonce_key),
            nonce=signed.nonce,
            valid_before=signed.valid_before,
            signed_at_block=head_block,
            raw_transaction=signed.raw,
            tx_hash=signed.tx_hash,
        )
    )
    return replace(settlement, state=SettlementState.SIGNED, signed=signed, signed_at_block=head_block)


def _all(connection: Connection, query: Select[Any]) -> list[Settlement]:
    return [_settlement(dict(row)) for row in connection.execute(query).mappings()]


def _settlement(row: Mapping[str, Any]) -> Settlement:
    statement = SettlementStatement.parse(row["statement"])
    signed = anchor = None
    if row["raw_transaction"] is not None:
        signed = SignedSettlement(
            row["raw_transaction"], row["tx_hash"], int(row["nonce_key"]), row["nonce"], row["valid_before"]
        )
    if row["block_number"] is not None:
        anchor = Anchor(
            chain_id=statement.chain_id,
            tx_hash=row["tx_hash"],
            block_number=row["block_number"],
            block_hash=row["block_hash"],
            block_timestamp=row["block_timestamp"],
            log_index=row["log_index"],
        )
    return Settlement(
        settlement_id=row["id"],
        organisation=row["organisation"],
        state=SettlementState(row["state"]),
        problem=row["problem"],
        checkpoint_size=row["checkpoint_size"],
        statement=statement,
        signed=signed,
        signed_at_block=row["signed_at_block"],
        anchor=anchor,
        planned_at=from_millis(row["planned_at"]),
    )
