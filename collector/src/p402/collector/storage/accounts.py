"""Accounts of budgets: what each node has spent, holds, and has not reconciled in each period.

An account is opened when it is first needed, with what was spent before: so a budget that is made in the middle of a
month counts the whole month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from p402.collector.budgets.budget import Balance, OnPath
from p402.collector.budgets.period import HELD
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import Driver
from p402.decisions import Measure
from p402.vocabulary import Level

__all__ = ["AccountKey", "Change", "balance_of", "change_accounts", "open_account"]

AccountKey = tuple[int, str, int]
"""Budget, node, and start of the period (or of the slice of a rolling one)."""

_READ = "SELECT spent, held, unreconciled FROM budget_accounts WHERE budget_id = ? AND node = ? AND period_start = ?"
_READ_SINCE = (
    "SELECT SUM(spent), SUM(held), SUM(unreconciled) FROM budget_accounts"
    f" WHERE budget_id = ? AND node = ? AND (period_start >= ? OR period_start = {HELD})"
)
_OPEN = (
    "INSERT INTO budget_accounts (budget_id, node, period_start, spent, held, unreconciled) VALUES (?, ?, ?, ?, 0, 0)"
    " ON CONFLICT DO NOTHING"
)
_CHANGE = (
    "UPDATE budget_accounts SET spent = spent + ?, held = held + ?, unreconciled = unreconciled + ?"
    " WHERE budget_id = ? AND node = ? AND period_start = ?"
)
_IN_COUNTERS = {
    Measure.COST: "cost_nano_usd",
    Measure.TOKENS: "input_tokens + output_tokens",
    Measure.REQUESTS: "charges",
}
_IN_CHARGES = {
    Measure.COST: "COALESCE(charges.cost_nano_usd, 0)",
    Measure.TOKENS: "charges.input_tokens + charges.output_tokens",
    Measure.REQUESTS: "1",
}
_HOUR = 3_600_000  # milliseconds
_FOREVER = (2**31 - 1) * _HOUR


@dataclass(slots=True)
class Change:
    """What to add to an account; negative to take away."""

    spent: int = 0
    held: int = 0
    unreconciled: int = 0


def balance_of(sql: Driver, on: OnPath, at: datetime) -> Balance:
    """Give what counts against a budget's cap at a moment, opening its account if need be."""
    budget = on.budget
    if budget.level is Level.REQUEST:
        return Balance(0, 0, 0)
    period = budget.period
    open_account(sql, on, period.held_in(at))
    if period.rolls:
        found = sql.execute(_READ_SINCE, (budget.id, on.node, period.accounts_since(at))).fetchone()
        return Balance(*(int(amount or 0) for amount in found))
    return Balance(*map(int, sql.execute(_READ, (budget.id, on.node, period.account(at))).fetchone()))


def change_accounts(sql: Driver, changes: Mapping[AccountKey, Change]) -> None:
    """Add to accounts that are open."""
    rows = [(change.spent, change.held, change.unreconciled, *key) for key, change in changes.items()]
    if rows:
        sql.executemany(_CHANGE, rows)


def open_account(sql: Driver, on: OnPath, start: int) -> None:
    """Open an account with what was spent in its period so far; one that is open stays as it is."""
    budget = on.budget
    key = (budget.id, on.node, start)
    if sql.execute(_READ, key).fetchone() is not None:
        return
    if budget.period.rolls:
        if start != HELD:
            open_account(sql, on, HELD)
        elif budget.period.slices_are_hours:
            _open_hours(sql, on)
        sql.execute(_OPEN, (*key, 0))
        return
    end = budget.period.window(from_millis(start)).end
    sql.execute(_OPEN, (*key, sum(_spent(sql, on, start, to_millis(end) if end else _FOREVER).values())))


def _open_hours(sql: Driver, on: OnPath) -> None:
    """Open the hours of a rolling budget that is looked at for the first time, with what was spent in them."""
    for hour, spent in _spent(sql, on, 0, _FOREVER).items():
        sql.execute(_OPEN, (on.budget.id, on.node, hour * _HOUR, spent))


def _spent(sql: Driver, on: OnPath, start: int, end: int) -> dict[int, int]:
    """Sum what a node has spent between two times, by the hour; from the hourly counters where they can tell."""
    budget = on.budget
    if budget.measure is Measure.CONCURRENCY:
        return {}
    narrowed = [(level, value) for level, value in budget.within if value is not None]
    if not narrowed and start % _HOUR == 0 and end % _HOUR == 0:
        rows = sql.execute(
            f"SELECT hour, {_IN_COUNTERS[budget.measure]} FROM spend_hourly"
            " WHERE organisation = ? AND level = ? AND node = ? AND hour >= ? AND hour < ?",
            (budget.organisation, budget.level.value, on.node, start // _HOUR, end // _HOUR),
        )
    else:
        nodes = [(Level.ORGANISATION, budget.organisation), (budget.level, on.node), *narrowed]
        where = " AND ".join(f"scopes.{level.value} = ?" for level, _ in nodes)
        rows = sql.execute(
            f"SELECT charges.started_at / {_HOUR}, SUM({_IN_CHARGES[budget.measure]})"
            f" FROM charges JOIN scopes ON scopes.id = charges.scope_id WHERE {where}"
            f" AND charges.started_at >= ? AND charges.started_at < ? GROUP BY charges.started_at / {_HOUR}",
            (*(node for _, node in nodes), start, end),
        )
    return {int(hour): int(amount or 0) for hour, amount in rows}
