"""Which organisations are due to be settled, and what their next settlement is about."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from p402.collector.settlement.ports import (
    Covered,
    FailureKind,
    IsDue,
    MakeStatement,
    Settlement,
    SettlementState,
    Standing,
)
from p402.collector.settlement.reconcile import DiscrepancyKind
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import driver
from p402.collector.storage.log import latest_checkpoint
from p402.collector.storage.settlement_rows import settlements_of
from p402.collector.storage.settlement_tables import (
    discrepancies,
    flushes,
    mpp_payments,
    payments_elsewhere,
    settlements,
)
from p402.collector.storage.tables import receipts
from p402.receipts import PaidElsewhere, parse_checkpoint
from p402.vocabulary import Money

__all__ = ["due_organisations", "has_unknown_transfers", "plan_settlement"]

_MOST_ELSEWHERE = 100  # payments in one statement; the others wait for the next

_PAYEE_FAILURES = (FailureKind.PAYEE_AWAY.value, FailureKind.PAYEE_DIFFERS.value)

_STANDING = """
SELECT logs.organisation, logs.size, flushes.asked_at,
  (SELECT planned_at FROM settlements WHERE organisation = logs.organisation ORDER BY planned_at DESC LIMIT 1),
  (SELECT state FROM settlements WHERE organisation = logs.organisation ORDER BY planned_at DESC LIMIT 1),
  (SELECT checkpoint_size FROM settlements WHERE organisation = logs.organisation AND state = 'final'
     ORDER BY checkpoint_size DESC LIMIT 1),
  EXISTS (SELECT 1 FROM receipts WHERE organisation = logs.organisation AND settlement_id IS NULL)
FROM logs LEFT JOIN flushes ON flushes.organisation = logs.organisation ORDER BY logs.organisation
"""


def due_organisations(connection: Connection, is_due: IsDue) -> list[str]:
    """Give the organisations that are due."""
    return [standing.organisation for standing in _standings(connection) if is_due(standing)]


def plan_settlement(connection: Connection, organisation: str, make: MakeStatement, at: datetime) -> Settlement:
    """Fix what the next settlement of an organisation says. Runs inside a change."""
    note = latest_checkpoint(connection, organisation)
    assert note is not None, "a log with an entry has a checkpoint"
    checkpoint = parse_checkpoint(note)
    final = select(settlements).where(settlements.c.organisation == organisation, settlements.c.state == "final")
    newest = final.order_by(
        settlements.c.checkpoint_size.desc()
    )  # it grows with each, whatever the clocks of collectors say
    previous = next(iter(settlements_of(connection, newest.limit(1))), None)
    count, accrued, first = _not_anchored(connection, organisation)
    since = previous.statement.period_to if previous else from_millis(first) if count else at
    statement = make(
        Covered(
            organisation=organisation,
            checkpoint=str(checkpoint),
            since=since,
            until=max(since, at),  # the clock may have been set back
            accrued=accrued,
            previous=previous,
            paid_elsewhere=_paid_elsewhere(connection, organisation),
            unresolved=_is_in_doubt(connection, organisation)
            or has_unknown_transfers(connection)
            or _payee_is_to_wait(connection, organisation),
        )
    )
    planned = Settlement(
        settlement_id=statement.settlement_id,
        organisation=organisation,
        state=SettlementState.PLANNED,
        checkpoint_size=checkpoint.size,
        statement=statement,
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


def has_unknown_transfers(connection: Connection) -> bool:
    """Tell whether a transfer was found that no settlement asked for, and that nobody has acknowledged."""
    query = select(discrepancies.c.id).where(discrepancies.c.kind == DiscrepancyKind.UNKNOWN_MEMO.value)
    return connection.execute(query.limit(1)).first() is not None


def _standings(connection: Connection) -> list[Standing]:
    under_way = select(settlements.c.organisation).where(settlements.c.state.in_(("planned", "signed")))
    busy = set(connection.execute(under_way).scalars())
    found = []
    for organisation, size, flush_at, planned_at, state, anchored, has_receipts in driver(connection).execute(
        _STANDING
    ):
        if organisation in busy:
            continue
        count, accrued, _ = _not_anchored(connection, organisation) if has_receipts else (0, Money(0), 0)
        found.append(
            Standing(
                organisation=organisation,
                new_entries=size > (anchored or 0),
                receipts=count,
                accrued=accrued,
                last_planned_at=None if planned_at is None else from_millis(planned_at),
                last_failed=state == SettlementState.FAILED.value,
                flush_at=None if flush_at is None else from_millis(flush_at),
            )
        )
    return found


def _not_anchored(connection: Connection, organisation: str) -> tuple[int, Money, int]:
    """Count and sum the receipts that no final settlement anchors, and tell when the first was issued."""
    query = select(func.count(), func.sum(receipts.c.cost_nano_usd), func.min(receipts.c.issued_at)).where(
        receipts.c.organisation == organisation, receipts.c.settlement_id.is_(None)
    )
    count, accrued, first = connection.execute(query).one()
    return count, Money(int(accrued or 0)), first or 0


def _paid_elsewhere(connection: Connection, organisation: str) -> tuple[PaidElsewhere, ...]:
    query = select(payments_elsewhere).where(
        payments_elsewhere.c.organisation == organisation, payments_elsewhere.c.settlement_id.is_(None)
    )
    oldest = connection.execute(query.order_by(payments_elsewhere.c.id).limit(_MOST_ELSEWHERE))
    found = [PaidElsewhere(kind=row.kind, id=row.reference, amount=Money(row.amount_nano_usd)) for row in oldest]
    return tuple(sorted(found, key=lambda item: (item.kind, item.id)))


def _payee_is_to_wait(connection: Connection, organisation: str) -> bool:
    """Tell whether a payee that speaks MPP has not confirmed a payment, or could not be paid by the last settlement.

    In the second case the log is anchored first, unless somebody has asked for a settlement since.
    """
    of_it = select(settlements).where(settlements.c.organisation == organisation)
    open_ones = select(mpp_payments.c.settlement_id).where(mpp_payments.c.confirmed_at.is_(None))
    paid = of_it.where(settlements.c.state == SettlementState.FINAL.value, settlements.c.id.in_(open_ones))
    if connection.execute(paid.limit(1)).first() is not None:
        return True
    last = connection.execute(of_it.order_by(settlements.c.planned_at.desc()).limit(1)).first()
    if last is None or last.failure not in _PAYEE_FAILURES:
        return False
    asked = connection.execute(select(flushes.c.asked_at).where(flushes.c.organisation == organisation)).scalar()
    return asked is None or asked <= last.planned_at


def _is_in_doubt(connection: Connection, organisation: str) -> bool:
    query = select(settlements.c.id).where(settlements.c.organisation == organisation, settlements.c.in_doubt == 1)
    return connection.execute(query.limit(1)).first() is not None
