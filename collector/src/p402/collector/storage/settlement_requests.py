"""What people say about settlements: settle now, this was paid elsewhere, that payment arrived after all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from p402.collector.settlement.ports import FailureKind, Settlement, SettlementState
from p402.collector.settlement.reconcile import Discrepancy, DiscrepancyKind
from p402.collector.storage.audit import record_audit
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import driver, upsert
from p402.collector.storage.mpp_payments import close_payment
from p402.collector.storage.settlement_rows import settlement_by_id, settlements_of
from p402.collector.storage.settlement_tables import discrepancies, flushes, payments_elsewhere, settlements
from p402.receipts import PaidElsewhere
from p402.vocabulary import NANO_PER_MICRO, Money, new_id

__all__ = [
    "NotInDoubt",
    "NotedPayment",
    "Outcome",
    "PaidOtherwise",
    "ask_for_settlement",
    "doubt_settlement",
    "find_settlement",
    "note_payment",
    "payments_page",
    "resolve_settlement",
]


_TEMPO = "tempo"  # how a settlement's own payment is named where it counts as paid elsewhere


class PaidOtherwise(Exception):
    """The same payment elsewhere was noted before, with another amount."""


class NotInDoubt(Exception):
    """Nobody wonders what became of this settlement's payment."""


class Outcome(StrEnum):
    """What became of a payment in doubt."""

    PAID = "paid"
    """The payee has it: it counts as paid elsewhere."""
    NOT_PAID = "not_paid"
    """The payer has it back, or never lost it: it is due again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedPayment:
    """A payment elsewhere as it is kept."""

    payment_id: str
    paid: PaidElsewhere
    settlement_id: str | None
    """The final settlement whose statement names it; None while it waits for the next."""
    noted_at: datetime


def ask_for_settlement(connection: Connection, organisation: str, actor: str | None, at: datetime) -> None:
    """Ask that an organisation be settled now. Runs inside a change, as all that changes something here."""
    asked = {"asked_at": to_millis(at), "asked_by": actor}
    flush = upsert(connection, flushes).values(organisation=organisation, **asked)
    connection.execute(flush.on_conflict_do_update(index_elements=["organisation"], set_=asked))


def note_payment(
    connection: Connection, organisation: str, paid: PaidElsewhere, actor: str | None, at: datetime
) -> tuple[NotedPayment, bool]:
    """Note a payment elsewhere, once; tells whether it is new.

    Raises:
        PaidOtherwise: if it was noted with another amount.
    """
    found = select(payments_elsewhere).where(
        payments_elsewhere.c.organisation == organisation,
        payments_elsewhere.c.kind == paid.kind,
        payments_elsewhere.c.reference == paid.id,
    )
    known = next(iter(_payments(connection, found)), None)
    if known is not None:
        if known.paid != paid:
            raise PaidOtherwise(str(known.paid.amount))
        return known, False
    payment = NotedPayment(payment_id=new_id("pay", at), paid=paid, settlement_id=None, noted_at=at)
    row = {
        "id": payment.payment_id,
        "organisation": organisation,
        "kind": paid.kind,
        "reference": paid.id,
        "amount_nano_usd": paid.amount.nano_usd,
        "noted_at": to_millis(at),
        "noted_by": actor,
    }
    connection.execute(insert(payments_elsewhere).values(row))
    record_audit(
        driver(connection),
        organisation,
        actor=actor or "",
        action="payment.noted",
        subject=payment.payment_id,
        detail=paid.to_json(),
        at=at,
    )
    return payment, True


def payments_page(connection: Connection, organisation: str, after: str, limit: int) -> list[NotedPayment]:
    """Give payments elsewhere in the order of noting, after one of them."""
    query = select(payments_elsewhere).where(
        payments_elsewhere.c.organisation == organisation, payments_elsewhere.c.id > after
    )
    return _payments(connection, query.order_by(payments_elsewhere.c.id).limit(limit))


def find_settlement(connection: Connection, organisation: str, settlement_id: str) -> Settlement | None:
    """Give one settlement of an organisation, None if there is none."""
    query = select(settlements).where(settlements.c.id == settlement_id, settlements.c.organisation == organisation)
    return next(iter(settlements_of(connection, query)), None)


def doubt_settlement(connection: Connection, found: Discrepancy, at: datetime) -> None:
    """Put a settlement that is not final into doubt because the chain has its transfer, unless it was said to be paid.

    What was planned fails, so that it is not signed; what is under way comes to its end by itself.
    """
    settlement = found.settlement
    if settlement is None or settlement.state is SettlementState.FINAL or not settlement.pays_micro_usd:
        return
    said = select(payments_elsewhere.c.id).where(
        payments_elsewhere.c.organisation == settlement.organisation,
        payments_elsewhere.c.kind == _TEMPO,
        payments_elsewhere.c.reference.in_({settlement.settlement_id, settlement.tx_hash, found.tx_hash} - {None}),
    )
    if connection.execute(said).first() is not None:
        return
    values: dict[str, Any] = {"in_doubt": 1}
    if settlement.state is not SettlementState.SIGNED:
        values |= {"tx_hash": found.tx_hash, "problem": found.problem}
    if settlement.state is SettlementState.PLANNED:
        ended = {"state": SettlementState.FAILED.value, "failure": FailureKind.SUPERSEDED.value}
        values |= {**ended, "fee_micro_usd": 0, "ended_at": to_millis(at)}
    connection.execute(update(settlements).where(settlements.c.id == settlement.settlement_id).values(values))


def resolve_settlement(
    connection: Connection, settlement: Settlement, outcome: Outcome, actor: str | None, reason: str, at: datetime
) -> Settlement:
    """Say what became of a payment in doubt, or that one which its payee does not confirm is paid; then payments go on.

    Raises:
        NotInDoubt: if it is not in doubt, or no more; also if the chain says that it was paid.
    """
    if settlement.is_unconfirmed and not settlement.in_doubt:
        if outcome is not Outcome.PAID or not close_payment(connection, settlement, None, at):
            raise NotInDoubt
        _record(connection, settlement, outcome, actor, reason, at)
        return settlement_by_id(connection, settlement.settlement_id)
    settled = update(settlements).where(settlements.c.id == settlement.settlement_id, settlements.c.in_doubt == 1)
    if not connection.execute(settled.values(in_doubt=0)).rowcount:
        raise NotInDoubt
    told = (
        discrepancies.c.settlement_id == settlement.settlement_id,
        discrepancies.c.kind == DiscrepancyKind.NOT_FINAL,
    )
    connection.execute(delete(discrepancies).where(*told))
    if outcome is Outcome.PAID:
        amount = Money(settlement.pays_micro_usd * NANO_PER_MICRO)
        found = PaidElsewhere(kind=_TEMPO, id=settlement.tx_hash or settlement.settlement_id, amount=amount)
        note_payment(connection, settlement.organisation, found, actor, at)
    _record(connection, settlement, outcome, actor, reason, at)
    return settlement_by_id(connection, settlement.settlement_id)


def _record(
    connection: Connection, settlement: Settlement, outcome: Outcome, actor: str | None, reason: str, at: datetime
) -> None:
    record_audit(
        driver(connection),
        settlement.organisation,
        actor=actor or "",
        action="settlement.resolved",
        subject=settlement.settlement_id,
        detail={"outcome": outcome.value, "reason": reason},
        at=at,
    )


def _payments(connection: Connection, query: Select[Any]) -> list[NotedPayment]:
    return [
        NotedPayment(
            payment_id=row.id,
            paid=PaidElsewhere(kind=row.kind, id=row.reference, amount=Money(row.amount_nano_usd)),
            settlement_id=row.settlement_id,
            noted_at=from_millis(row.noted_at),
        )
        for row in connection.execute(query)
    ]
