"""Comparisons of the chain with the ledger: implements `settlement.reconcile.ChainChecks`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, or_, select

from p402.collector.notifications.events import Event, EventType
from p402.collector.settlement.ports import Settlement, SettlementState
from p402.collector.settlement.reconcile import Checked, Discrepancy, compare
from p402.collector.settlement.rules import PaymentPlace
from p402.collector.storage.audit import record_audit
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver, upsert
from p402.collector.storage.outbox import publish
from p402.collector.storage.settlement_requests import doubt_settlement
from p402.collector.storage.settlement_rows import settlements_of
from p402.collector.storage.settlement_tables import (
    chain_checks,
    discrepancies,
    mpp_payments,
    settlement_transactions,
    settlements,
)
from p402.receipts.settlement import MemoOnChain
from p402.vocabulary import new_id

__all__ = [
    "KeptDiscrepancy",
    "LastCheck",
    "SqlChainChecks",
    "acknowledge_discrepancy",
    "discrepancies_page",
    "last_check",
]

_MEMOS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCheck:
    """How far the chain was compared."""

    place: PaymentPlace
    first_block: int
    last_block: int
    checked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDiscrepancy:
    """A difference as it is kept."""

    discrepancy_id: str
    kind: str
    settlement_id: str | None
    tx_hash: str | None
    memo: bytes
    problem: str
    found_at: datetime


class SqlChainChecks:
    """The comparisons of this collector."""

    def __init__(self, database: Database, default_organisation: str) -> None:
        """Take the database, and the organisation that is told of what belongs to nobody."""
        self._database = database
        self._default_organisation = default_organisation

    async def next_blocks(self, place: PaymentPlace, finalized: int) -> tuple[int, int]:
        """Give the first and the last block that can be compared now."""
        return await self._database.read(lambda connection: _next_blocks(connection, place, finalized))

    async def last_checked_at(self, place: PaymentPlace) -> datetime | None:
        """Tell when the chain was compared last."""
        found = await self._database.read(last_check)
        return None if found is None or found.place != place else found.checked_at

    async def compare(
        self, place: PaymentPlace, first_block: int, last_block: int, transfers: Sequence[MemoOnChain], at: datetime
    ) -> Checked:
        """Compare a range with the ledger, keep what was found and tell of what is new."""

        def change(connection: Connection) -> Checked:
            final = [it for it in _final_between(connection, first_block, last_block) if _is_at(it, place)]
            found = compare(transfers, _by_memo(connection, transfers), final)
            new = [it for it in found if self._keep(connection, it, at)]
            for it in new:
                doubt_settlement(connection, it, at)
            connection.execute(
                insert(chain_checks).values(
                    id=new_id("chk", at),
                    chain_id=place.chain_id,
                    payer=place.payer,
                    token=place.token,
                    first_block=first_block,
                    last_block=last_block,
                    transfers=len(transfers),
                    settlements=len(final),
                    checked_at=to_millis(at),
                )
            )
            return Checked(
                first_block=first_block,
                last_block=last_block,
                transfers=len(transfers),
                settlements=len(final),
                found=tuple(new),
            )

        return await self._database.write(change)

    def _keep(self, connection: Connection, found: Discrepancy, at: datetime) -> bool:
        organisation = None if found.settlement is None else found.settlement.organisation
        settlement_id = None if found.settlement is None else found.settlement.settlement_id
        row = {
            "id": new_id("dsc", at),
            "kind": found.kind.value,
            "place": found.place,
            "organisation": organisation,
            "settlement_id": settlement_id,
            "tx_hash": found.tx_hash,
            "memo": found.memo,
            "problem": found.problem,
            "found_at": to_millis(at),
        }
        kept = upsert(connection, discrepancies).values(row).on_conflict_do_nothing().returning(discrepancies.c.id)
        if connection.execute(kept).first() is None:
            return False  # known, and told of
        payload = {
            "summary": found.problem,
            "settlement_id": settlement_id,
            "kind": found.kind.value,
            "problem": found.problem,
            "tx_hash": found.tx_hash,
            "memo": found.memo.hex(),
        }
        told = organisation or self._default_organisation
        key = f"{found.kind.value} {found.place}"
        publish(connection, Event(EventType.SETTLEMENT_FAILED, told, payload, at, dedupe_key=key))
        return True


def last_check(connection: Connection) -> LastCheck | None:
    """Give the newest comparison, None if there was none."""
    newest = select(chain_checks).order_by(chain_checks.c.checked_at.desc(), chain_checks.c.id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    if row is None:
        return None
    return LastCheck(
        place=PaymentPlace(row.chain_id, row.token, row.payer),
        first_block=row.first_block,
        last_block=row.last_block,
        checked_at=from_millis(row.checked_at),
    )


def discrepancies_page(
    connection: Connection, organisation: str, limit: int, *, with_nobodys: bool
) -> list[KeptDiscrepancy]:
    """Give what differs for an organisation, or also what belongs to nobody that we know; the newest first."""
    shown = _shown_to(organisation, with_nobodys=with_nobodys)
    newest = select(discrepancies).where(shown).order_by(discrepancies.c.found_at.desc(), discrepancies.c.id.desc())
    return [
        KeptDiscrepancy(
            discrepancy_id=row.id,
            kind=row.kind,
            settlement_id=row.settlement_id,
            tx_hash=row.tx_hash,
            memo=row.memo,
            problem=row.problem,
            found_at=from_millis(row.found_at),
        )
        for row in connection.execute(newest.limit(limit))
    ]


def acknowledge_discrepancy(
    connection: Connection,
    discrepancy_id: str,
    organisation: str,
    actor: str | None,
    reason: str,
    at: datetime,
    *,
    with_nobodys: bool,
) -> bool:
    """Take a difference off the list, and keep in the audit trail what it was; False if the organisation has none such."""
    shown = _shown_to(organisation, with_nobodys=with_nobodys)
    closed = delete(discrepancies).where(discrepancies.c.id == discrepancy_id, shown).returning(discrepancies)
    row = connection.execute(closed).one_or_none()
    if row is None:
        return False
    what = {"kind": row.kind, "place": row.place, "settlement_id": row.settlement_id, "problem": row.problem}
    record_audit(
        driver(connection),
        organisation,
        actor=actor or "",
        action="discrepancy.acknowledged",
        subject=discrepancy_id,
        detail={**what, "reason": reason},
        at=at,
    )
    return True


def _shown_to(organisation: str, *, with_nobodys: bool) -> ColumnElement[bool]:
    its = discrepancies.c.organisation == organisation
    return or_(its, discrepancies.c.organisation.is_(None)) if with_nobodys else its


def _next_blocks(connection: Connection, place: PaymentPlace, finalized: int) -> tuple[int, int]:
    checked = select(func.max(chain_checks.c.last_block)).where(
        chain_checks.c.chain_id == place.chain_id,
        chain_checks.c.payer == place.payer,
        chain_checks.c.token == place.token,
    )
    ours = (settlement_transactions.c.chain_id == place.chain_id, settlement_transactions.c.payer == place.payer)
    signed = select(func.min(settlement_transactions.c.signed_at_block)).where(*ours)
    begun = connection.execute(signed).scalar()
    under_way = connection.execute(signed.where(settlement_transactions.c.ended_at.is_(None))).scalar()
    before = connection.execute(checked).scalar()
    first = before + 1 if before is not None else finalized + 1 if begun is None else begun
    return first, finalized if under_way is None else min(finalized, under_way - 1)


def _final_between(connection: Connection, first_block: int, last_block: int) -> list[Settlement]:
    query = select(settlements).where(
        settlements.c.state == SettlementState.FINAL.value, settlements.c.block_number.between(first_block, last_block)
    )
    return settlements_of(connection, query)


def _is_at(settlement: Settlement, place: PaymentPlace) -> bool:
    statement = settlement.statement
    return PaymentPlace(statement.chain_id, statement.token, statement.payer) == place


def _by_memo(connection: Connection, transfers: Sequence[MemoOnChain]) -> dict[bytes, Settlement]:
    memos = sorted({it.transfer.memo for it in transfers})
    found: dict[bytes, Settlement] = {}
    for begin in range(0, len(memos), _MEMOS_AT_ONCE):
        query: Select[Any] = select(settlements).where(settlements.c.memo.in_(memos[begin : begin + _MEMOS_AT_ONCE]))
        found |= {settlement.transfer.memo: settlement for settlement in settlements_of(connection, query)}
        its = select(mpp_payments.c.settlement_id).where(mpp_payments.c.memo.in_(memos[begin : begin + _MEMOS_AT_ONCE]))
        for settlement in settlements_of(connection, select(settlements).where(settlements.c.id.in_(its))):
            found |= {transfer.memo: settlement for transfer in settlement.transfers}
    return found
