"""What payees that speak MPP asked and said: implements `settlement.mpp.MppStore`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from p402.collector.settlement.ports import Settlement, SettlementState
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import upsert
from p402.collector.storage.outbox import publish
from p402.collector.storage.settlement_events import unconfirmed_event
from p402.collector.storage.settlement_rows import settlement_by_id, settlements_of
from p402.collector.storage.settlement_tables import mpp_payments, settlements
from p402.receipts.settlement.mpp_http import MppChallenge

__all__ = ["SqlMppPayments", "begin_showing", "close_payment"]


class SqlMppPayments:
    """The payments of this collector to payees that speak MPP."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep_challenge(
        self, settlement: Settlement, url: str, challenge: MppChallenge, memo: bytes
    ) -> Settlement | None:
        """Keep what is to be paid."""
        assert settlement.mpp is not None
        before, values = settlement.mpp.asked, {"url": url, "challenge": challenge.to_json(), "memo": memo}

        def change(connection: Connection) -> Settlement | None:
            now = settlement_by_id(connection, settlement.settlement_id)
            if now.state is not SettlementState.PLANNED or now.mpp is None or now.mpp.asked != before:
                return None
            _set(connection, settlement, {**values, "asked": before + 1, "tries": 0, "try_at": None})
            _note(connection, settlement, None)
            return settlement_by_id(connection, settlement.settlement_id)

        return await self._database.write(change)

    async def wait(self, settlement: Settlement, problem: str, try_at: datetime) -> None:
        """Note that a payee could not be asked, and when it is asked next."""
        assert settlement.mpp is not None
        values = {"tries": settlement.mpp.tries + 1, "try_at": to_millis(try_at)}

        def change(connection: Connection) -> None:
            _set(connection, settlement, values)
            _note(connection, settlement, problem)

        await self._database.write(change)

    async def unconfirmed(self, at: datetime) -> list[Settlement]:
        """Give the settlements that are final and whose payee is to be called now, the longest waiting first."""
        query = (
            select(settlements)
            .join(mpp_payments, mpp_payments.c.settlement_id == settlements.c.id)
            .where(settlements.c.state == SettlementState.FINAL.value, mpp_payments.c.confirmed_at.is_(None))
            .where(mpp_payments.c.try_at <= to_millis(at))
            .order_by(mpp_payments.c.try_at)
        )
        return await self._database.read(lambda connection: settlements_of(connection, query.limit(100)))

    async def confirm(self, settlement: Settlement, receipt: str | None, at: datetime) -> None:
        """Keep that the payee has the money."""
        await self._database.write(lambda connection: close_payment(connection, settlement, receipt, at))

    async def refuse(self, settlement: Settlement, refusal: str, try_at: datetime | None, at: datetime) -> None:
        """Keep why the payee does not say that it has the money, and tell of it the first time."""
        assert settlement.mpp is not None
        values = {
            "tries": settlement.mpp.tries + 1,
            "try_at": None if try_at is None else to_millis(try_at),
            "refusal": refusal,
        }

        def change(connection: Connection) -> None:
            now = settlement_by_id(connection, settlement.settlement_id)
            if now.is_unconfirmed:
                _set(connection, settlement, values)
                publish(connection, unconfirmed_event(now, refusal, at))

        await self._database.write(change)


def begin_showing(connection: Connection, settlement: Settlement, at: datetime) -> None:
    """Have the payee of a settlement that is final now called, if it speaks MPP. Runs inside a change."""
    if settlement.mpp is not None:
        _set(connection, settlement, {"tries": 0, "try_at": to_millis(at)})


def close_payment(connection: Connection, settlement: Settlement, receipt: str | None, at: datetime) -> bool:
    """Keep that the payee has the money; False if that was known. Runs inside a change."""
    values = {"confirmed_at": to_millis(at), "receipt": receipt, "try_at": None}
    row = update(mpp_payments).where(mpp_payments.c.settlement_id == settlement.settlement_id)
    return bool(connection.execute(row.where(mpp_payments.c.confirmed_at.is_(None)).values(values)).rowcount)


def _set(connection: Connection, settlement: Settlement, values: dict[str, Any]) -> None:
    row = upsert(connection, mpp_payments).values(settlement_id=settlement.settlement_id, **values)
    connection.execute(row.on_conflict_do_update(index_elements=["settlement_id"], set_=values))


def _note(connection: Connection, settlement: Settlement, problem: str | None) -> None:
    row = update(settlements).where(settlements.c.id == settlement.settlement_id)
    connection.execute(row.where(settlements.c.state == SettlementState.PLANNED.value).values(problem=problem))
