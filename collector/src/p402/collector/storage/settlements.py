"""Settlements: implements `settlement.ports.SettlementStore`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Update, and_, func, insert, not_, select, tuple_, update

from p402.collector.settlement.batches import shares
from p402.collector.settlement.ports import (
    Failure,
    FailureKind,
    IsDue,
    KeptTransaction,
    MakeStatement,
    Settlement,
    SettlementState,
    Sign,
)
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.log import Signers, append_entry
from p402.collector.storage.mpp_payments import begin_showing
from p402.collector.storage.outbox import publish
from p402.collector.storage.settlement_events import ended_event
from p402.collector.storage.settlement_lanes import free_lane, known_lanes, set_lane
from p402.collector.storage.settlement_plans import due_organisations, has_unknown_transfers, plan_settlement
from p402.collector.storage.settlement_rows import settlement_by_id, settlements_of, signed_row, transaction_of_row
from p402.collector.storage.settlement_tables import (
    mpp_payments,
    payments_elsewhere,
    settlement_transactions,
    settlements,
)
from p402.collector.storage.tables import receipts
from p402.receipts import Anchor, Entry, EntryPlace, settlement_entry
from p402.receipts.settlement import Final, Lane
from p402.vocabulary import new_id

__all__ = ["SqlSettlements", "settlement_by_id", "settlements_page"]

_PLANNED, _SIGNED = SettlementState.PLANNED.value, SettlementState.SIGNED.value
_DIVERTED = Failure(
    FailureKind.DIVERTED,
    "The payee's receive policy holds the money back (TIP-1028): ask the payee to accept it, then say with "
    "`p402 settle resolve` whether it was paid.",
    in_doubt=True,
)


class SqlSettlements:
    """The settlements of this collector."""

    def __init__(self, database: Database, signers: Signers) -> None:
        self._database = database
        self._signers = signers

    async def plan(self, is_due: IsDue, make: MakeStatement, at: datetime) -> list[Settlement]:
        """Plan a settlement for each organisation that is due and has none under way."""
        if not await self._database.read(lambda connection: due_organisations(connection, is_due)):
            return []  # as nearly always: then nothing is written

        def change(connection: Connection) -> list[Settlement]:
            due = due_organisations(connection, is_due)
            return [plan_settlement(connection, organisation, make, at) for organisation in due]

        return await self._database.write(change)

    async def planned(self) -> list[Settlement]:
        """Give the settlements that are planned and not signed, the oldest first."""
        query = select(settlements).where(settlements.c.state == _PLANNED)
        return await self._database.read(
            lambda connection: settlements_of(connection, query.order_by(settlements.c.planned_at, settlements.c.id))
        )

    async def has_unknown_transfers(self) -> bool:
        """Tell whether a payer made transfers that the ledger does not know, and nobody has acknowledged them."""
        return await self._database.read(has_unknown_transfers)

    async def transactions(self) -> list[KeptTransaction]:
        """Give the transactions under way, the oldest first."""
        query = select(settlement_transactions).where(settlement_transactions.c.ended_at.is_(None))
        oldest = query.order_by(settlement_transactions.c.signed_at, settlement_transactions.c.id)
        return await self._database.read(
            lambda connection: [transaction_of_row(connection, row) for row in connection.execute(oldest).all()]
        )

    async def known_lanes(self, chain_id: int, payer: str) -> dict[int, Lane]:
        """Give the lanes that were used before, by nonce key."""
        return await self._database.read(lambda connection: known_lanes(connection, chain_id, payer))

    async def sign(
        self, settlements: Sequence[Settlement], lanes: dict[int, Lane], sign: Sign, head_block: int, at: datetime
    ) -> KeptTransaction | None:
        """Take the next nonce of a free lane, sign, and store the bytes."""
        transaction_id = new_id("stx", at)
        in_order = sorted(settlements, key=lambda settlement: settlement.settlement_id)

        def change(connection: Connection) -> KeptTransaction | None:
            ids = [settlement.settlement_id for settlement in in_order]
            now = [settlement_by_id(connection, one) for one in ids]
            planned = all(it.state is SettlementState.PLANNED for it in now)
            if not planned or any(it.transfers != given.transfers for it, given in zip(now, in_order, strict=True)):
                return None
            place = in_order[0].statement
            lane = free_lane(connection, place.chain_id, place.payer, lanes)
            if lane is None:
                return None
            set_lane(connection, place.chain_id, place.payer, Lane(lane.nonce_key, lane.next_nonce + 1))
            signed = sign([transfer for settlement in in_order for transfer in settlement.transfers], lane)
            connection.execute(
                insert(settlement_transactions).values(
                    id=transaction_id,
                    chain_id=place.chain_id,
                    payer=place.payer,
                    signed_at_block=head_block,
                    attempt=1,
                    signed_at=to_millis(at),
                    **signed_row(signed),
                )
            )
            values = {"state": _SIGNED, "transaction_id": transaction_id, "tx_hash": signed.tx_hash, "problem": None}
            connection.execute(_settlements(ids).values(values))
            return _under_way(connection, transaction_id)

        return await self._database.write(change)

    async def sign_again(
        self, transaction: KeptTransaction, place: Lane, sign: Sign, died_before: int | None = None
    ) -> KeptTransaction:
        """Replace a transaction by one for a place of the same lane."""
        signed = sign(transaction.transfers, place)

        def change(connection: Connection) -> KeptTransaction:
            version = signed_row(signed)
            if died_before is not None:
                version |= {"attempt": transaction.attempt + 1, "signed_at_block": died_before}
            if connection.execute(_this_version(transaction).values(version)).rowcount:
                connection.execute(_carried(transaction).values(tx_hash=signed.tx_hash))
                if place.next_nonce != transaction.signed.nonce:  # the lane has a gap before it
                    first = transaction.settlements[0].statement
                    following = Lane(place.nonce_key, place.next_nonce + 1)
                    set_lane(connection, first.chain_id, first.payer, following)
            return _under_way(connection, transaction.transaction_id) or transaction

        return await self._database.write(change)

    async def note(self, transaction: KeptTransaction, problem: str | None) -> None:
        """Note what keeps a transaction waiting."""
        if all(settlement.problem == problem for settlement in transaction.settlements):
            return
        change = _carried(transaction).where(settlements.c.state == _SIGNED).values(problem=problem)
        await self._database.write(lambda connection: connection.execute(change).rowcount)

    async def finalise(self, transaction: KeptTransaction, final: Final, at: datetime) -> list[Settlement]:
        """Store the anchors, link the receipts to them, and append the settlement entries to the logs."""
        parts = shares(final.fee_micro_usd, len(transaction.settlements))

        def change(connection: Connection) -> list[Settlement]:
            end = {"ended_at": to_millis(at), "tx_hash": final.tx_hash, "fee_micro_usd": final.fee_micro_usd}
            if not connection.execute(_open(transaction).values(end)).rowcount:
                return []  # another collector did
            ended, anchors = [], iter(final.anchors)
            for settlement, fee in zip(transaction.settlements, parts, strict=True):
                *_, anchor = its = [next(anchors) for _ in settlement.transfers]
                if anchor is None or None in its:
                    diverted = replace(_DIVERTED, problem=f"Transaction {final.tx_hash}: {_DIVERTED.problem}")
                    ended.append(_fail(connection, settlement.settlement_id, diverted, fee, at))
                else:
                    ended.append(self._anchor(connection, settlement, anchor, fee, at))
            return ended

        return await self._database.write(change)

    async def split(self, transaction: KeptTransaction, fee_micro_usd: int, next_nonce: int, at: datetime) -> None:
        """End a transaction that can never land, and plan each of its settlements anew, alone."""

        def change(connection: Connection) -> None:
            if not _end(connection, transaction, fee_micro_usd, next_nonce, at):
                return
            values = {"state": _PLANNED, "alone": 1, "transaction_id": None, "tx_hash": None, "problem": None}
            connection.execute(_carried(transaction).where(settlements.c.state == _SIGNED).values(values))

        await self._database.write(change)

    async def fail(self, settlements: Sequence[Settlement], failure: Failure, at: datetime) -> list[Settlement]:
        """End settlements that were never signed."""

        def change(connection: Connection) -> list[Settlement]:
            now = (settlement_by_id(connection, settlement.settlement_id) for settlement in settlements)
            planned = [settlement for settlement in now if settlement.state is SettlementState.PLANNED]
            return [_fail(connection, settlement.settlement_id, failure, 0, at) for settlement in planned]

        return await self._database.write(change) if settlements else []

    async def fail_transaction(
        self, transaction: KeptTransaction, failure: Failure, fee_micro_usd: int, next_nonce: int, at: datetime
    ) -> list[Settlement]:
        """End a transaction and its settlements."""
        parts = shares(fee_micro_usd, len(transaction.settlements))

        def change(connection: Connection) -> list[Settlement]:
            if not _end(connection, transaction, fee_micro_usd, next_nonce, at):
                return []
            return [
                _fail(connection, settlement.settlement_id, failure, fee, at)
                for settlement, fee in zip(transaction.settlements, parts, strict=True)
            ]

        return await self._database.write(change)

    def _anchor(
        self, connection: Connection, settlement: Settlement, anchor: Anchor, fee: int, at: datetime
    ) -> Settlement:
        unanchored = (
            receipts.c.organisation == settlement.organisation,
            receipts.c.settlement_id.is_(None),
            receipts.c.seq < settlement.checkpoint_size,
        )
        count, first = connection.execute(select(func.count(), func.min(receipts.c.issued_at)).where(*unanchored)).one()
        values = {
            "state": SettlementState.FINAL.value,
            "problem": None,
            "tx_hash": anchor.tx_hash,
            "block_number": anchor.block_number,
            "block_hash": anchor.block_hash,
            "block_timestamp": anchor.block_timestamp,
            "log_index": anchor.log_index,
            "fee_micro_usd": fee,
            "receipts": count,
            "first_issued_at": first,
            "ended_at": to_millis(at),
        }
        connection.execute(_settlements([settlement.settlement_id]).values(values))
        connection.execute(update(receipts).where(*unanchored).values(settlement_id=settlement.settlement_id))
        for paid in settlement.statement.paid_elsewhere:
            connection.execute(
                update(payments_elsewhere)
                .where(payments_elsewhere.c.organisation == settlement.organisation)
                .where(payments_elsewhere.c.kind == paid.kind, payments_elsewhere.c.reference == paid.id)
                .values(settlement_id=settlement.settlement_id)
            )

        def make_entry(seq: int, prev: bytes) -> Entry:
            return settlement_entry(
                EntryPlace(organisation=settlement.organisation, seq=seq, prev=prev, issued_at=at),
                settlement_id=settlement.settlement_id,
                memo=settlement.statement.memo(),
                anchor=anchor,
            )

        begin_showing(connection, settlement, at)
        keys = self._signers.signer(settlement.organisation)
        append_entry(connection, settlement.organisation, "settlement", make_entry, keys, at)
        ended = settlement_by_id(connection, settlement.settlement_id)
        publish(connection, ended_event(ended, at))
        return ended


def settlements_page(
    connection: Connection,
    organisation: str,
    limit: int,
    after: tuple[int, str] | None = None,
    state: SettlementState | None = None,
    in_doubt: bool | None = None,  # noqa: FBT001 - as the API's filter
    unconfirmed: bool | None = None,  # noqa: FBT001 - the same
) -> list[Settlement]:
    """Give the settlements of an organisation, the newest first; those before a time of planning (ms) and id."""
    query = select(settlements).where(settlements.c.organisation == organisation)
    if after is not None:
        query = query.where(tuple_(settlements.c.planned_at, settlements.c.id) < tuple_(*after))
    if state is not None:
        query = query.where(settlements.c.state == state.value)
    if in_doubt is not None:
        query = query.where(settlements.c.in_doubt == int(in_doubt))
    if unconfirmed is not None:
        its = select(mpp_payments.c.settlement_id).where(mpp_payments.c.confirmed_at.is_(None))
        shown = and_(settlements.c.state == SettlementState.FINAL.value, settlements.c.id.in_(its))
        query = query.where(shown if unconfirmed else not_(shown))
    return settlements_of(
        connection, query.order_by(settlements.c.planned_at.desc(), settlements.c.id.desc()).limit(limit)
    )


def _fail(connection: Connection, settlement_id: str, failure: Failure, fee: int, at: datetime) -> Settlement:
    now = settlement_by_id(connection, settlement_id)
    values = {
        "state": SettlementState.FAILED.value,
        "failure": failure.kind.value,
        "problem": failure.problem,
        "in_doubt": int(failure.in_doubt and now.pays_micro_usd > 0),
        "fee_micro_usd": fee,
        "ended_at": to_millis(at),
    }
    connection.execute(_settlements([settlement_id]).values(values))
    ended = settlement_by_id(connection, settlement_id)
    publish(connection, ended_event(ended, at))
    return ended


def _end(connection: Connection, transaction: KeptTransaction, fee: int, next_nonce: int, at: datetime) -> bool:
    """End a transaction in the version that was looked at, and let its lane go on; False if it is another by now."""
    if not connection.execute(_this_version(transaction).values(ended_at=to_millis(at), fee_micro_usd=fee)).rowcount:
        return False
    first = transaction.settlements[0].statement
    set_lane(connection, first.chain_id, first.payer, Lane(transaction.signed.nonce_key, next_nonce))
    return True


def _under_way(connection: Connection, transaction_id: str) -> KeptTransaction | None:
    query = select(settlement_transactions).where(settlement_transactions.c.id == transaction_id)
    row = connection.execute(query.where(settlement_transactions.c.ended_at.is_(None))).one_or_none()
    return None if row is None else transaction_of_row(connection, row)


def _settlements(ids: Sequence[str]) -> Update:
    return update(settlements).where(settlements.c.id.in_(ids))


def _carried(transaction: KeptTransaction) -> Update:
    return update(settlements).where(settlements.c.transaction_id == transaction.transaction_id)


def _open(transaction: KeptTransaction) -> Any:
    table = settlement_transactions
    return update(table).where(table.c.id == transaction.transaction_id, table.c.ended_at.is_(None))


def _this_version(transaction: KeptTransaction) -> Any:
    return _open(transaction).where(settlement_transactions.c.raw == transaction.signed.raw)
