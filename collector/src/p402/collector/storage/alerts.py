"""Alerts about budgets: raised once, told by an event of the same change, and resolved by somebody."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from p402.collector.budgets.alerts import Alert, AlertKind, AlreadyResolved, Crossing
from p402.collector.budgets.budget import OnPath
from p402.collector.budgets.definition import show_amount
from p402.collector.budgets.watch import Account
from p402.collector.notifications.events import Event, EventType
from p402.collector.storage.budget_rules import stored_budgets
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.outbox import publish
from p402.decisions import Measure
from p402.vocabulary import new_id, rfc3339

__all__ = ["SqlBudgetWatch", "alert_by_id", "alerts_page", "newest_alerts", "raise_thresholds", "resolve_alert"]

_INSERT = (
    "INSERT INTO alerts (id, organisation, kind, budget_id, node, period_start, percent, amount, cap, reached_on, raised_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_SELECT = (
    "SELECT alerts.id, seq, alerts.organisation, kind, name, budget_id, definition, node, percent, amount, cap, reached_on,"
    " raised_at, resolved_at, resolved_by, note FROM alerts JOIN budgets ON budgets.id = budget_id"
)
_ACCOUNTS = (
    "SELECT budget_id, node, period_start, spent FROM budget_accounts WHERE budget_id = ? AND period_start = ? AND spent > 0"
    " ORDER BY spent DESC LIMIT ?"
)
_DAY = 86_400_000
_MOST_ACCOUNTS = 1_000  # of one budget that are looked ahead for


def raise_thresholds(connection: Connection, crossings: Sequence[Crossing], at: datetime) -> None:
    """Raise alerts inside the change that makes them true; one that is raised already stays as it is."""
    sql = driver(connection)
    for crossing in crossings:
        budget = crossing.budget
        start = crossing.period_start
        if budget.period.rolls:  # it has no period that begins anew, so it is told once a day
            start = to_millis(at) // _DAY * _DAY
        id_ = new_id("alert", at)
        row = (budget.id, crossing.node, start, crossing.percent, crossing.amount, crossing.cap)
        reached = crossing.reached_on.isoformat() if crossing.reached_on else None
        values = (id_, budget.organisation, crossing.kind.value, *row, reached, to_millis(at))
        if sql.execute(_INSERT, values).rowcount:
            publish(connection, _event(id_, crossing, reached, at))


def alerts_page(sql: Driver, organisation: str, after: int, limit: int, *, unresolved: bool = False) -> list[Alert]:
    """Give the next alerts of an organisation in the order in which they were raised."""
    which = " AND resolved_at IS NULL" if unresolved else ""
    rows = sql.execute(
        f"{_SELECT} WHERE alerts.organisation = ? AND seq > ?{which} ORDER BY seq LIMIT ?", (organisation, after, limit)
    )
    return [_alert(row) for row in rows.fetchall()]


def newest_alerts(
    sql: Driver,
    organisation: str,
    before: int,
    limit: int,
    *,
    resolved: bool | None = None,
    budgets: Collection[int] | None = None,
) -> list[Alert]:
    """Give the alerts with numbers below one, the newest first.

    Args:
        sql: where to read.
        organisation: theirs.
        before: the number.
        limit: how many at most.
        resolved: only those that are, or are not; None: all.
        budgets: only those about budgets of these ids; None: all.
    """
    if budgets is not None and not budgets:
        return []
    ids = sorted(budgets or ())
    which = "" if resolved is None else f" AND resolved_at IS {'NOT ' if resolved else ''}NULL"
    which += f" AND budget_id IN ({', '.join('?' * len(ids))})" if ids else ""
    rows = sql.execute(
        f"{_SELECT} WHERE alerts.organisation = ? AND seq < ?{which} ORDER BY seq DESC LIMIT ?",
        (organisation, before, *ids, limit),
    )
    return [_alert(row) for row in rows.fetchall()]


def resolve_alert(
    sql: Driver, organisation: str, alert_id: str, by: str | None, note: str | None, at: datetime
) -> Alert | None:
    """Note that somebody has dealt with an alert; None if there is no such alert.

    Raises:
        AlreadyResolved: saying when that was done.
    """
    found = alert_by_id(sql, organisation, alert_id)
    if found is None:
        return None
    if found.resolved_at is not None:
        raise AlreadyResolved(f"The alert {alert_id} was resolved at {rfc3339(found.resolved_at)}.")
    sql.execute(
        "UPDATE alerts SET resolved_at = ?, resolved_by = ?, note = ? WHERE id = ?", (to_millis(at), by, note, alert_id)
    )
    return alert_by_id(sql, organisation, alert_id)


class SqlBudgetWatch:
    """Implements `budgets.watch.WatchStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accounts(self, at: datetime) -> list[Account]:
        """Give the accounts of present periods."""
        return await self._database.read(lambda connection: _accounts(driver(connection), at))

    async def raise_all(self, crossings: Sequence[Crossing], at: datetime) -> None:
        """Raise alerts."""
        if crossings:
            await self._database.write(lambda connection: raise_thresholds(connection, crossings, at))


def _accounts(sql: Driver, at: datetime) -> list[Account]:
    found = []
    names = sql.execute("SELECT DISTINCT organisation FROM budgets WHERE retired_at IS NULL").fetchall()
    for (organisation,) in names:
        for budget in stored_budgets(sql, organisation, at):
            if budget.period.rolls or budget.measure is Measure.CONCURRENCY:
                continue
            window, start = budget.period.window(at), budget.period.account(at)
            for _, node, _, spent in sql.execute(_ACCOUNTS, (budget.id, start, _MOST_ACCOUNTS)).fetchall():
                found.append(Account(OnPath(budget, node), start, window, int(spent)))
    return found


def alert_by_id(sql: Driver, organisation: str, alert_id: str) -> Alert | None:
    """Find an alert."""
    row = sql.execute(f"{_SELECT} WHERE alerts.organisation = ? AND alerts.id = ?", (organisation, alert_id)).fetchone()
    return None if row is None else _alert(row)


def _alert(row: Sequence[Any]) -> Alert:
    id_, seq, organisation, kind, name, budget_id, definition, node, percent, amount, cap, reached_on = row[:12]
    raised_at, resolved_at, resolved_by, note = row[12:]
    measure = Measure(json.loads(definition).get("measure", Measure.COST))
    return Alert(
        id=id_,
        seq=seq,
        organisation=organisation,
        kind=AlertKind(kind),
        budget=name,
        budget_id=budget_id,
        node=node,
        percent=percent,
        amount=show_amount(measure, int(amount)),
        cap=show_amount(measure, int(cap)),
        reached_on=reached_on,
        raised_at=from_millis(raised_at),
        resolved_at=None if resolved_at is None else from_millis(resolved_at),
        resolved_by=resolved_by,
        note=note,
    )


def _event(id_: str, crossing: Crossing, reached: str | None, at: datetime) -> Event:
    budget = crossing.budget
    amount, cap = show_amount(budget.measure, crossing.amount), show_amount(budget.measure, crossing.cap)
    unit = "USD" if budget.measure is Measure.COST else budget.measure.value
    if crossing.kind is AlertKind.THRESHOLD:
        told = f"{amount} {unit} of {cap} are spent: more than {crossing.percent} %"
    else:
        told = f"{amount} {unit} are projected by the end of the period: more than {crossing.percent} % of {cap}"
        told += f"; the cap is expected to be reached on {reached}" if reached else ""
    kinds = {AlertKind.THRESHOLD: EventType.BUDGET_THRESHOLD, AlertKind.PROJECTED: EventType.BUDGET_PROJECTED}
    return Event(
        kinds[crossing.kind],
        budget.organisation,
        {
            "summary": f"Budget {budget.name} ({budget.level} {crossing.node}): {told}.",
            "alert_id": id_,
            "budget": budget.name,
            "level": budget.level.value,
            "node": crossing.node,
            "owner": budget.owner,
            "measure": budget.measure.value,
            "percent": crossing.percent,
            "amount": amount,
            "cap": cap,
            "cap_reached_on": reached,
        },
        at,
        dedupe_key=id_,
    )
