"""What people see of budgets: balances of nodes, leases and overruns; and letting go of what nobody settles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from p402.collector.budgets.budget import Balance, Budget, OnPath
from p402.collector.budgets.period import HELD
from p402.collector.storage.accounts import balance_seen
from p402.collector.storage.audit import record_audit
from p402.collector.storage.charge_rows import from_millis
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.leases import Lease, LeaseState, lease_of_row, release
from p402.vocabulary import Level, Permanent

__all__ = [
    "LeaseNotUnreconciled",
    "Overrun",
    "balances_of",
    "holds_by_budget",
    "leases_page",
    "let_go",
    "overruns_page",
]

_FOREVER = 2**62
_SUMS = (
    "SELECT node, SUM(spent) AS spent, SUM(held) AS held, SUM(unreconciled) AS unreconciled FROM budget_accounts"
    f" WHERE budget_id = ? AND (period_start BETWEEN ? AND ? OR period_start = {HELD}) GROUP BY node"
)
_TOP = (
    f"SELECT node, spent, held, unreconciled FROM ({_SUMS}) AS sums"
    " WHERE spent + held + unreconciled <= ? AND (spent + held + unreconciled < ? OR node > ?)"
    " ORDER BY spent + held + unreconciled DESC, node LIMIT ?"
)


class LeaseNotUnreconciled(Permanent):
    """Only what is unreconciled can be let go of: the rest is its holder's, or gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """Something spent beyond a cap."""

    id: int
    budget_id: int
    budget: str
    definition: str
    """Of the budget, as JSON."""
    node: str
    period_start: datetime
    span_key: bytes
    amount: int
    reason: str
    recorded_at: datetime


def balances_of(
    sql: Driver, budget: Budget, at: datetime, after: tuple[int, str] | None, limit: int
) -> list[tuple[str, Balance]]:
    """Give the balances of a budget's nodes, the most used first; of a budget for one node, that one.

    Args:
        sql: where to read.
        budget: the budget; one for each node lists those that were charged or asked about since it was made.
        at: now.
        after: what the last one that is known has taken, and its node.
        limit: how many at most.
    """
    if budget.level is Level.REQUEST:
        return []
    if budget.node is not None:
        return [] if after else [(budget.node, balance_seen(sql, OnPath(budget, budget.node), at))]
    since = budget.period.accounts_since(at)
    most, node = after or (_FOREVER, "")
    until = _FOREVER if budget.period.rolls else since
    rows = sql.execute(_TOP, (budget.id, since, until, most, most, node, limit)).fetchall()
    return [(name, Balance(int(spent), int(held), int(unknown))) for name, spent, held, unknown in rows]


def leases_page(
    sql: Driver, organisation: str, states: tuple[LeaseState, ...], after: tuple[int, str], limit: int
) -> list[Lease]:
    """Give leases in some states by when they expire, after one of them (its time in milliseconds, and its id)."""
    moment, id_ = after
    which = ", ".join("?" * len(states))
    rows = sql.execute(
        "SELECT id, kind, state, key_id, organisation, attribution, calls, opened_at, expires_at FROM leases"
        f" WHERE organisation = ? AND state IN ({which}) AND expires_at >= ? AND (expires_at > ? OR id > ?)"
        " ORDER BY expires_at, id LIMIT ?",
        (organisation, *(state.value for state in states), moment, moment, id_, limit),
    ).fetchall()
    return [lease_of_row(row) for row in rows]


def holds_by_budget(sql: Driver, lease_id: str) -> list[tuple[str, str, str, int]]:
    """Give what a lease still holds: the budget's name and definition, the node, the amount."""
    rows = sql.execute(
        "SELECT name, definition, node, remaining FROM lease_holds JOIN budgets ON budgets.id = budget_id"
        " WHERE lease_id = ? ORDER BY name, budgets.id",
        (lease_id,),
    ).fetchall()
    return [(name, definition, node, int(remaining)) for name, definition, node, remaining in rows]


def let_go(connection: Connection, lease: Lease, reason: str, *, actor: str, at: datetime) -> None:
    """Let go of what a lease has not reconciled, because somebody says that it was not spent.

    Raises:
        LeaseNotUnreconciled: if nothing of it is.
    """
    if lease.state is not LeaseState.UNRECONCILED:
        raise LeaseNotUnreconciled(
            f"The lease {lease.id} is {lease.state}; only an unreconciled one is an operator's to release."
        )
    sql = driver(connection)
    held = [
        {"budget": name, "node": node, "remaining": str(amount)}
        for name, _, node, amount in holds_by_budget(sql, lease.id)
    ]
    release(sql, lease, {}, at)
    detail = {"reason": reason, "held": held}
    record_audit(sql, lease.organisation, actor=actor, action="lease.released", subject=lease.id, detail=detail, at=at)


def overruns_page(
    sql: Driver, organisation: str, before: int, limit: int, budget_id: int | None = None
) -> list[Overrun]:
    """Give the overruns with ids below one, the newest first; of all budgets, or of one."""
    which, values = ("", ()) if budget_id is None else (" AND budget_id = ?", (budget_id,))
    rows = sql.execute(
        "SELECT overruns.id, budget_id, name, definition, node, period_start, span_key, amount, reason, recorded_at"
        f" FROM overruns JOIN budgets ON budgets.id = budget_id WHERE organisation = ? AND overruns.id < ?{which}"
        " ORDER BY overruns.id DESC LIMIT ?",
        (organisation, before, *values, limit),
    ).fetchall()
    return [
        Overrun(
            id=id_,
            budget_id=budget_id,
            budget=name,
            definition=definition,
            node=node,
            period_start=from_millis(int(start)),
            span_key=bytes(span_key),
            amount=int(amount),
            reason=reason,
            recorded_at=from_millis(int(at)),
        )
        for id_, budget_id, name, definition, node, start, span_key, amount, reason, at in rows
    ]
