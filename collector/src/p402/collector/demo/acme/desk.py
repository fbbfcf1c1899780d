"""What people do at Acme about the figures: budgets for each month, policies, reviews of receipts and of anomalies."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from random import Random

from sqlalchemy import Connection, select

from p402.collector.anomalies.ports import AnomalyState
from p402.collector.demo.acme.people import ORGANISATION
from p402.collector.demo.acme.rules import budgets, policies
from p402.collector.demo.acme.work import ZONE, is_working_day
from p402.collector.storage.budgets import apply_budgets
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.policies import change_policy
from p402.collector.storage.receipts import receipt_by_id
from p402.collector.storage.reviews import AnomalyFilter, anomalies_page, review
from p402.collector.storage.tables import receipts, scopes
from p402.collector.wiring import Collector
from p402.receipts import ReviewAction
from p402.vocabulary import Attribution, Money

__all__ = ["Desk"]

_FINANCE, _HEAD_OF_LEGAL = "e-6001", "e-1041"
_WITHIN = Attribution(ORGANISATION)
_LOOKS_AT_BUDGETS = tuple(range(8, 20, 2))  # hours; the collector looks every few minutes, and would say the same
_REVIEWED_AFTER = timedelta(days=2)
_MUCH = Money.parse("5")  # for a session; a runaway costs that
_MOST_REVIEWS = 3  # of contracts on one day
_REMARKS = ("Checked against the contract; the summary is right.", "Clause numbers checked.", None, None)
_NOTES = {
    AnomalyState.CONFIRMED: "The agent called itself in circles; its owner has stopped it.",
    AnomalyState.DISMISSED: "Much to do in one session, all of it asked for.",
}


class Desk:
    """Does what is due, at the time that the collector's clock says."""

    def __init__(self, collector: Collector, seed: int) -> None:
        self._collector = collector
        self._seed = seed
        self._looked: datetime | None = None
        self._reviewed: date | None = None

    async def morning(self, day: date, at: datetime) -> None:
        """See that the rules of a day hold before its first call."""

        def change(connection: Connection) -> None:
            apply_budgets(connection, ORGANISATION, budgets(day), actor=_FINANCE, at=at)
            for department, definition in policies().items():
                change_policy(
                    connection, ORGANISATION, department, definition, by=None, reason="as the department decided", at=at
                )

        await self._collector.database.write(change)

    async def at(self, now: datetime) -> None:
        """Look at budgets a few times a day, and at what waits for a person once on each working day."""
        local = now.astimezone(ZONE)
        due = local.replace(hour=max((hour for hour in _LOOKS_AT_BUDGETS if hour <= local.hour), default=0))
        due = due.replace(minute=0, second=0, microsecond=0)
        if self._looked is None or self._looked < due:
            self._looked = now
            await self._collector.budget_watch.look()
        if is_working_day(local.date()) and local.time() >= time(10) and self._reviewed != local.date():
            self._reviewed = local.date()
            await self._collector.database.write(lambda connection: self._review(connection, local.date(), now))

    def _review(self, connection: Connection, day: date, now: datetime) -> None:
        random = Random(f"{self._seed} {day.toordinal()} reviews")
        self._review_anomalies(connection, now)
        since, until = to_millis(now - timedelta(days=1)), to_millis(now)
        query = (
            select(receipts.c.id)
            .join(scopes, receipts.c.scope_id == scopes.c.id)
            .where(scopes.c.project == "contract-desk", scopes.c.employee != _HEAD_OF_LEGAL)
            .where(receipts.c.issued_at >= since, receipts.c.issued_at < until)
            .order_by(receipts.c.cost_nano_usd.desc(), receipts.c.seq)
            .limit(_MOST_REVIEWS)
        )
        for receipt_id in connection.execute(query).scalars().all():
            action = random.choices([ReviewAction.APPROVED, ReviewAction.REQUESTED, ReviewAction.REJECTED], [17, 2, 1])[
                0
            ]
            receipt = receipt_by_id(connection, receipt_id, _WITHIN)
            assert receipt is not None, "it was just found"
            remark = random.choice(_REMARKS) if action is ReviewAction.APPROVED else None
            self._collector.privacy.reviews.add(connection, receipt, action, _HEAD_OF_LEGAL, remark, None, now)

    def _review_anomalies(self, connection: Connection, now: datetime) -> None:
        waiting = AnomalyFilter(state=AnomalyState.OPEN)
        for anomaly in anomalies_page(connection, _WITHIN, _WITHIN, waiting, 0, 100):
            if anomaly.flagged_at < now - _REVIEWED_AFTER:
                is_much = anomaly.cost.nano_usd > _MUCH.nano_usd
                state = AnomalyState.CONFIRMED if is_much else AnomalyState.DISMISSED
                review(connection, _WITHIN, anomaly.anomaly_id, state, None, _NOTES[state], now)
