"""Accounts of budgets: what each node has spent, holds, and has not reconciled in each period.

An account is opened when it is first needed, with what was spent before: so a budget that is made in the middle of a
month counts the whole month. From then on every charge is added to it; so the charges of a change are recorded after
the accounts that they belong to were opened.

In a change an account is read once for all changes of its transaction, changed in memory, and written back before anybody
looks at the table (`storage.transaction`). So every access to it goes through this module, or through a statement of the
transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from p402.collector.budgets.budget import Balance, OnPath
from p402.collector.budgets.path import AccountKey, BudgetPath
from p402.collector.budgets.period import HELD
from p402.collector.storage.account_memory import Accounts, Change
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.counters import tokens_counted
from p402.collector.storage.driver import Driver
from p402.collector.storage.transaction import transaction_of
from p402.decisions import Measure
from p402.vocabulary import Level

__all__ = [
    "AMOUNT_OF_CHARGE",
    "balance_of",
    "balance_seen",
    "balances_of",
    "change_accounts",
    "open_account",
    "rename_accounts",
]

_READ = "SELECT spent, held, unreconciled FROM budget_accounts WHERE budget_id = ? AND node = ? AND period_start = ?"
_READ_MANY = "SELECT budget_id, node, period_start, spent, held, unreconciled FROM budget_accounts WHERE "
_ONE = "budget_id = ? AND node = ? AND period_start = ?"
_READ_SINCE = (
    "SELECT SUM(spent), SUM(held), SUM(unreconciled) FROM budget_accounts"
    f" WHERE budget_id = ? AND node = ? AND (period_start >= ? OR period_start = {HELD})"
)
_OPEN = (
    "INSERT INTO budget_accounts (budget_id, node, period_start, spent, held, unreconciled) VALUES (?, ?, ?, ?, 0, 0)"
    " ON CONFLICT DO NOTHING"
)
_DROP_OLD_SLICES = (
    f"DELETE FROM budget_accounts WHERE budget_id = ? AND node = ? AND period_start > {HELD} AND period_start < ?"
)
_MOVE = (
    "INSERT INTO budget_accounts (budget_id, node, period_start, spent, held, unreconciled) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (budget_id, node, period_start) DO UPDATE SET spent = budget_accounts.spent + excluded.spent,"
    " held = budget_accounts.held + excluded.held, unreconciled = budget_accounts.unreconciled + excluded.unreconciled"
)
_IN_COUNTERS = {
    Measure.COST: "cost_nano_usd",
    Measure.TOKENS: "input_tokens + output_tokens",
    Measure.REQUESTS: "charges",
}
AMOUNT_OF_CHARGE = {
    Measure.COST: "COALESCE(charges.cost_nano_usd, 0)",
    Measure.TOKENS: f"{tokens_counted('charges.input_tokens')} + {tokens_counted('charges.output_tokens')}",
    Measure.REQUESTS: "1",
}
"""SQL of what a row of ``charges`` adds to an account, by the budget's measure."""
_HOUR = 3_600_000  # milliseconds
_FOREVER = (2**31 - 1) * _HOUR


def balances_of(sql: Driver, path: BudgetPath, at: datetime) -> list[Balance]:
    """Give what counts against the cap of each budget on a path at a moment, opening accounts if need be."""
    accounts = transaction_of(sql).memory(Accounts)
    known, keys = accounts.balances, path.places(at).keys
    found = [_NOTHING if key is None else known.get(key) for key in keys]
    if None not in found:
        return cast("list[Balance]", found)
    unknown = [
        key for key, on in zip(keys, path, strict=True) if key and key not in known and not on.budget.period.rolls
    ]
    if unknown:
        where = " OR ".join([f"({_ONE})"] * len(unknown))
        values = [value for key in unknown for value in key]
        for id_, node, start, *amounts in transaction_of(sql).look(f"{_READ_MANY}{where}", values):
            accounts.learn((id_, node, int(start)), Balance(*map(int, amounts)))
    return [(key and known.get(key)) or balance_of(sql, on, at) for key, on in zip(keys, path, strict=True)]


def balance_of(sql: Driver, on: OnPath, at: datetime) -> Balance:
    """Give the same for one budget."""
    if on.budget.level is Level.REQUEST:
        return _NOTHING
    accounts = transaction_of(sql).memory(Accounts)
    period = on.budget.period
    if not period.rolls:
        key = (on.budget.id, on.node, period.account(at))
        if (known := accounts.balances.get(key)) is None:
            open_account(sql, on, key[2], at)
            known = accounts.balances[key] = _stored(sql, on, at)
        return known
    since, place = period.accounts_since(at), (on.budget.id, on.node)
    if (sums := accounts.rolling.get(place)) is None or sums[0] != since:
        open_account(sql, on, HELD, at)
        sums = accounts.rolling[place] = since, _stored(sql, on, at)
    return sums[1]


_NOTHING = Balance(0, 0, 0)


def balance_seen(sql: Driver, on: OnPath, at: datetime) -> Balance:
    """Give the same without opening an account, for queries."""
    period = on.budget.period
    if on.budget.level is Level.REQUEST:
        return _NOTHING
    if sql.execute(_READ, (on.budget.id, on.node, period.held_in(at))).fetchone() is not None:
        return _stored(sql, on, at)
    return Balance(sum(_spent_before(sql, on, period.accounts_since(at)).values()), 0, 0)


def change_accounts(sql: Driver, changes: Mapping[AccountKey, Change]) -> None:
    """Add to accounts that are open.

    Raises:
        AmountTooLarge: if one of them cannot hold so much.
    """
    accounts = transaction_of(sql).memory(Accounts)
    for key, change in changes.items():
        accounts.add(key, change)


def rename_accounts(sql: Driver, budget_id: int, node: str, name: str) -> None:
    """Give the accounts of a node another name; where there are some of that name, both are added up."""
    of_node = "FROM budget_accounts WHERE budget_id = ? AND node = ?"
    rows = sql.execute(f"SELECT period_start, spent, held, unreconciled {of_node}", (budget_id, node)).fetchall()
    sql.executemany(_MOVE, [(budget_id, name, *row) for row in rows])
    sql.execute(f"DELETE {of_node}", (budget_id, node))
    transaction_of(sql).memory(Accounts).look_again()


def open_account(sql: Driver, on: OnPath, start: int, at: datetime) -> None:
    """Open an account with what was spent in its period so far; one that is open stays as it is."""
    budget = on.budget
    key = (budget.id, on.node, start)
    accounts = transaction_of(sql).memory(Accounts)
    if key in accounts.balances or transaction_of(sql).look(_READ, key):
        return
    accounts.reopened(*key)
    if not budget.period.rolls:
        sql.execute(_OPEN, (*key, sum(_spent_before(sql, on, start).values())))
        return
    since = budget.period.accounts_since(at)
    if start == HELD:
        for slice_start, spent in _spent_before(sql, on, since).items():
            sql.execute(_OPEN, (budget.id, on.node, slice_start, spent))
    else:
        open_account(sql, on, HELD, at)
        sql.execute(_DROP_OLD_SLICES, (budget.id, on.node, since))
    sql.execute(_OPEN, (*key, 0))


def _stored(sql: Driver, on: OnPath, at: datetime) -> Balance:
    budget = on.budget
    if budget.period.rolls:
        row = sql.execute(_READ_SINCE, (budget.id, on.node, budget.period.accounts_since(at))).fetchone()
    else:
        row = sql.execute(_READ, (budget.id, on.node, budget.period.account(at))).fetchone()
    return Balance(*(int(amount or 0) for amount in row))


def _spent_before(sql: Driver, on: OnPath, start: int) -> dict[int, int]:
    """Sum what a node has spent in the period that begins at a time; a rolling one goes on for ever.

    Gives sums by the hour, or by the slices of a rolling period. Comes from the hourly counters where they can tell.
    """
    budget = on.budget
    if budget.measure is Measure.CONCURRENCY or start > to_millis(budget.made_at):
        return {}  # whatever came since was added to its account
    ends = None if budget.period.rolls else budget.period.window(from_millis(start)).end
    end = to_millis(ends) if ends else _FOREVER
    slice_ = budget.period.slice_millis or _HOUR
    narrowed = [(level, value) for level, value in budget.within if value is not None]
    if not narrowed and slice_ == _HOUR and start % _HOUR == 0 and end % _HOUR == 0:
        rows = sql.execute(
            f"SELECT hour, {_IN_COUNTERS[budget.measure]} FROM spend_hourly"
            " WHERE organisation = ? AND level = ? AND node = ? AND hour >= ? AND hour < ?",
            (budget.organisation, budget.level.value, on.node, start // _HOUR, end // _HOUR),
        )
    else:
        nodes = [(Level.ORGANISATION, budget.organisation), (budget.level, on.node), *narrowed]
        where = " AND ".join(f"scopes.{level.value} = ?" for level, _ in nodes)
        rows = sql.execute(
            f"SELECT charges.started_at / {slice_}, SUM({AMOUNT_OF_CHARGE[budget.measure]})"
            f" FROM charges JOIN scopes ON scopes.id = charges.scope_id WHERE {where}"
            f" AND charges.started_at >= ? AND charges.started_at < ? GROUP BY charges.started_at / {slice_}",
            (*(node for _, node in nodes), start, end),
        )
    return {int(number) * slice_: int(amount or 0) for number, amount in rows}
