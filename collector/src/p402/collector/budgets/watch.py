"""Watches budgets: projects each account to the end of its period, and sees what a lowered cap has made too much."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from p402.collector.budgets.alerts import PROJECTED_PERCENT, AlertKind, Crossing
from p402.collector.budgets.budget import OnPath
from p402.collector.budgets.period import Window
from p402.collector.forecast.service import Forecasts
from p402.collector.observed_work import Observe, unobserved
from p402.decisions import Measure
from p402.exporters.prometheus import BudgetUse, CollectorMetrics
from p402.vocabulary import Clock, Money, Transient

__all__ = ["Account", "BudgetWatch", "WatchStore"]

_SECONDS = 300.0  # between two looks

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the period that is now."""

    on: OnPath
    period_start: int
    window: Window
    spent: int


class WatchStore(Protocol):
    """What the watch needs from storage."""

    async def accounts(self, at: datetime) -> Sequence[Account]:
        """Give the accounts of all budgets in their present periods; those most used first."""
        ...

    async def raise_all(self, crossings: Sequence[Crossing], at: datetime) -> None:
        """Raise alerts; those that are raised already stay as they are."""
        ...


class BudgetWatch:
    """The task that looks ahead. Several collectors may run it: an alert is raised once."""

    def __init__(
        self,
        store: WatchStore,
        forecasts: Forecasts,
        metrics: CollectorMetrics,
        clock: Clock,
        observe: Observe = unobserved,
    ) -> None:
        self._store = store
        self._forecasts = forecasts
        self._metrics = metrics
        self._clock = clock
        self._observe = observe

    async def run(self) -> None:
        """Look every few minutes until cancelled."""
        while True:
            try:
                await self.look()
            except Transient as error:
                log.warning("budgets_wait_for_storage", problem=str(error))
            await asyncio.sleep(_SECONDS)

    async def look(self) -> None:
        """Look at every account once."""
        now = self._clock.now()
        found: list[Crossing] = []
        with self._observe("look at budgets") as work:
            accounts = await self._store.accounts(now)
            self._metrics.budgets(_uses(accounts, now))
            for account in accounts:
                found += _passed(account, now)
                if (projected := await self._projected(account, now)) is not None:
                    found.append(projected)
            await self._store.raise_all(found, now)
            if accounts:
                work.did(accounts=len(accounts), crossings=len(found))

    async def _projected(self, account: Account, now: datetime) -> Crossing | None:
        budget, window = account.on.budget, account.window
        cap = budget.cap_at(now)
        narrowed = any(value is not None for _, value in budget.within)
        if budget.measure is not Measure.COST or window.end is None or narrowed or not cap:
            return None  # spend is counted by node, in USD: nothing else can be projected
        projection = await self._forecasts.project(
            budget.organisation,
            budget.level,
            account.on.node,
            window.start,
            window.end,
            budget.period.time_zone,
            Money(cap),
            now,
        )
        forecast = projection.forecast
        if forecast.projected.nano_usd * 100 <= cap * PROJECTED_PERCENT:
            return None
        return Crossing(
            budget,
            account.on.node,
            account.period_start,
            PROJECTED_PERCENT,
            forecast.projected.nano_usd,
            cap,
            AlertKind.PROJECTED,
            forecast.cap_reached_on,
        )


def _passed(account: Account, now: datetime) -> list[Crossing]:
    budget = account.on.budget
    cap = budget.cap_at(now)
    return [
        Crossing(budget, account.on.node, account.period_start, percent, account.spent, cap)
        for percent in budget.warn_at
        if account.spent and account.spent * 100 >= cap * percent
    ]


def _uses(accounts: Sequence[Account], now: datetime) -> list[BudgetUse]:
    """Tell how each budget stands, by the account that has spent most of it."""
    most: dict[int, BudgetUse] = {}
    for account in accounts:
        budget, window = account.on.budget, account.window
        cap = budget.cap_at(now)
        spent = account.spent / cap if cap else 1.0
        length = (window.end - window.start).total_seconds() if window.end is not None else 0.0
        elapsed = (now - window.start).total_seconds() / length if length else 0.0
        if budget.id not in most or spent > most[budget.id].spent:
            most[budget.id] = BudgetUse(budget.organisation, budget.name, spent, elapsed)
    return list(most.values())
