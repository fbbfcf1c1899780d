"""Replaces a person's names where the ledger has them as nodes. Sums stay what they are, at every node and in total."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from p402.collector.privacy.pseudonyms import Names, new_pseudonym
from p402.collector.storage.accounts import rename_accounts
from p402.collector.storage.counters import ADD_TO_HOUR, HOURLY_SUMS, tokens_counted
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.erasure_extent import Extent, Owner
from p402.collector.storage.usage import resum_employees
from p402.collector.storage.valid_keys import keys_changed
from p402.vocabulary import Level

__all__ = ["replace_nodes"]

_AT_ONCE = 500
_SAME_SCOPE = (
    "SELECT 1 FROM scopes WHERE organisation = ? AND department = ? AND project = ? AND client = ? AND employee = ?"
    " AND session = ?"
)
_SUMS_OF_CHARGES = (
    "SELECT started_at / 3600000, SUM(COALESCE(cost_nano_usd, 0)), COUNT(*),"
    " SUM(CASE WHEN cost_nano_usd IS NULL THEN 1 ELSE 0 END),"
    f" SUM({tokens_counted('input_tokens')}), SUM({tokens_counted('output_tokens')}) FROM charges WHERE scope_id IN"
)
_ADD_DAY = (
    "INSERT INTO employee_days (organisation, employee, day, sessions, cost_nano_usd) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (organisation, employee, day) DO UPDATE SET sessions = employee_days.sessions + excluded.sessions,"
    " cost_nano_usd = employee_days.cost_nano_usd + excluded.cost_nano_usd"
)

Node = tuple[Level, str]


def replace_nodes(
    connection: Connection,
    organisation: str,
    employee: str,
    pseudonym: str,
    sessions: Mapping[str, str],
    extent: Extent,
) -> None:
    """Put pseudonyms in the place of a person's names wherever nodes of the tree are named.

    Args:
        connection: of the change this is part of.
        organisation: whose tree it is.
        employee: the person.
        pseudonym: theirs.
        sessions: pseudonyms of the sessions that are free to be erased.
        extent: what is free, held, and shared with others.
    """
    sql = driver(connection)
    moved = _rename_scopes(sql, extent.free, employee, pseudonym, sessions)
    whole: dict[Node, str] = {}
    if extent.whole:
        whole[Level.EMPLOYEE, employee] = pseudonym
        moved.setdefault((Level.EMPLOYEE, employee), {}).setdefault(pseudonym, [])
    for session in extent.sessions:
        if session not in extent.shared:
            whole[Level.SESSION, session] = sessions[session]
    for node, targets in moved.items():
        if node in whole and len(targets) == 1:
            _move_all(sql, organisation, node, next(iter(targets)))
        else:
            for target, scope_ids in targets.items():
                _move_part(sql, organisation, node, target, scope_ids)
    resum_employees(sql, organisation, [employee, pseudonym, *moved.get((Level.EMPLOYEE, employee), ())])
    _rename_in_budgets(sql, organisation, whole)
    for (level, old), new in whole.items():
        if level is Level.SESSION:
            sql.execute(
                "UPDATE closings SET session = ? WHERE organisation = ? AND session = ?", (new, organisation, old)
            )
    if extent.whole:
        own = {name: new for name, new in sessions.items() if name not in extent.shared}
        _rename_in_rules(sql, organisation, employee, Names({employee: pseudonym}, own, words=False))


def _rename_scopes(
    sql: Driver, free: Sequence[Owner], employee: str, pseudonym: str, sessions: Mapping[str, str]
) -> dict[Node, dict[str, list[int]]]:
    """Rename owners; gives which scopes went from which node to which."""
    moved: dict[Node, dict[str, list[int]]] = {}
    for owner in free:
        whose = owner.whose
        above = tuple(value or "" for value in (whose.organisation, whose.department, whose.project, whose.client))
        who = pseudonym if whose.employee == employee else whose.employee or ""
        session = sessions[owner.session] if owner.session else ""
        while sql.execute(_SAME_SCOPE, (*above, who, session)).fetchone() is not None:
            # Late calls came under the pseudonym while this was held; two rows cannot become one.
            who, session = (who, new_pseudonym()) if session else (new_pseudonym(), session)
        sql.execute("UPDATE scopes SET employee = ?, session = ? WHERE id = ?", (who, session, owner.scope_id))
        if whose.employee == employee:
            moved.setdefault((Level.EMPLOYEE, employee), {}).setdefault(who, []).append(owner.scope_id)
        if owner.session:
            moved.setdefault((Level.SESSION, owner.session), {}).setdefault(session, []).append(owner.scope_id)
    return moved


def _move_all(sql: Driver, organisation: str, node: Node, target: str) -> None:
    """Give all sums of a node to another."""
    level, old = node
    of_node = (organisation, level.value, old)
    where = "organisation = ? AND level = ? AND node = ?"
    rows = sql.execute(f"SELECT hour, {HOURLY_SUMS} FROM spend_hourly WHERE {where}", of_node).fetchall()
    sql.executemany(ADD_TO_HOUR, [(organisation, level.value, target, *row) for row in rows])
    sql.execute(f"DELETE FROM spend_hourly WHERE {where}", of_node)
    if level is Level.EMPLOYEE:
        days = sql.execute(
            "SELECT day, sessions, cost_nano_usd FROM employee_days WHERE organisation = ? AND employee = ?",
            (organisation, old),
        ).fetchall()
        sql.executemany(_ADD_DAY, [(organisation, target, *day) for day in days])
        sql.execute("DELETE FROM employee_days WHERE organisation = ? AND employee = ?", (organisation, old))


def _move_part(sql: Driver, organisation: str, node: Node, target: str, scope_ids: Sequence[int]) -> None:
    """Give what some scopes add to the sums of a node to another."""
    level, old = node
    hours: defaultdict[int, list[int]] = defaultdict(lambda: [0] * 5)
    days: defaultdict[int, list[int]] = defaultdict(lambda: [0] * 2)
    for begin in range(0, len(scope_ids), _AT_ONCE):
        some = scope_ids[begin : begin + _AT_ONCE]
        marks = f"({', '.join('?' * len(some))})"
        for hour, *sums in sql.execute(f"{_SUMS_OF_CHARGES} {marks} GROUP BY started_at / 3600000", some):
            hours[int(hour)] = [known + int(more) for known, more in zip(hours[int(hour)], sums, strict=True)]
        for day, cost in sql.execute(f"SELECT day, cost_nano_usd FROM session_costs WHERE scope_id IN {marks}", some):
            days[int(day)] = [days[int(day)][0] + 1, days[int(day)][1] + int(cost)]
    for hour, sums in hours.items():
        sql.execute(ADD_TO_HOUR, (organisation, level.value, target, hour, *sums))
        sql.execute(ADD_TO_HOUR, (organisation, level.value, old, hour, *(-amount for amount in sums)))
    sql.execute(
        "DELETE FROM spend_hourly WHERE organisation = ? AND level = ? AND node = ? AND charges = 0",
        (organisation, level.value, old),
    )
    if level is Level.EMPLOYEE:
        for day, sums in days.items():
            sql.execute(_ADD_DAY, (organisation, target, day, *sums))
            sql.execute(_ADD_DAY, (organisation, old, day, *(-amount for amount in sums)))
        sql.execute(
            "DELETE FROM employee_days WHERE organisation = ? AND employee = ? AND sessions = 0", (organisation, old)
        )


def _rename_in_budgets(sql: Driver, organisation: str, whole: Mapping[Node, str]) -> None:
    """Rename nodes of accounts, of what leases hold of them, of alerts and of overruns."""
    budgets = sql.execute("SELECT id, definition FROM budgets WHERE organisation = ?", (organisation,)).fetchall()
    for budget_id, definition in budgets:
        level = json.loads(definition)["level"]
        for (of_level, old), new in whole.items():
            if of_level != level:
                continue
            at = (budget_id, old)
            rename_accounts(sql, *at, new)
            sql.execute(
                "DELETE FROM alerts WHERE budget_id = ? AND node = ? AND EXISTS (SELECT 1 FROM alerts AS other"
                " WHERE other.budget_id = alerts.budget_id AND other.node = ? AND other.period_start = alerts.period_start"
                " AND other.kind = alerts.kind AND other.percent = alerts.percent)",
                (*at, new),
            )
            for table in ("lease_holds", "overruns", "alerts"):
                sql.execute(f"UPDATE {table} SET node = ? WHERE budget_id = ? AND node = ?", (new, *at))


def _rename_in_rules(sql: Driver, organisation: str, employee: str, names: Names) -> None:
    """Rename in what people wrote: budgets, overrides, policies, and API keys."""
    for id_, name, definition in sql.execute(
        "SELECT id, name, definition FROM budgets WHERE organisation = ?", (organisation,)
    ).fetchall():
        said = json.loads(definition)
        of_it = replace(names, words=_is_about(said, names))
        renamed, written = of_it.in_text(name), of_it.in_json(said)
        if (renamed, written) != (name, said):
            values = (renamed, json.dumps(written, sort_keys=True), id_)
            sql.execute("UPDATE budgets SET name = ?, definition = ? WHERE id = ?", values)
        for override_id, owner, reason in sql.execute(
            "SELECT id, owner, reason FROM overrides WHERE budget_id = ?", (id_,)
        ).fetchall():
            texts = (of_it.in_text(owner), of_it.in_text(reason))
            if texts != (owner, reason):
                sql.execute("UPDATE overrides SET owner = ?, reason = ? WHERE id = ?", (*texts, override_id))
    for department, version, definition, reason in sql.execute(
        "SELECT department, version, definition, reason FROM policies WHERE organisation = ?", (organisation,)
    ).fetchall():
        written = (
            None if definition is None else json.dumps(names.in_json(json.loads(definition)), separators=(",", ":"))
        )
        why = None if reason is None else names.in_text(reason)
        if (written, why) != (definition, reason):
            sql.execute(
                "UPDATE policies SET definition = ?, reason = ? WHERE organisation = ? AND department = ? AND version = ?",
                (written, why, organisation, department, version),
            )
    for key_id, bound_to, name in sql.execute(
        "SELECT id, employee, name FROM api_keys WHERE organisation = ? OR organisation IS NULL", (organisation,)
    ).fetchall():
        of_it = replace(names, words=bound_to == employee)
        now = names.employees[employee] if bound_to == employee else bound_to, of_it.in_text(name)
        if now != (bound_to, name):
            sql.execute("UPDATE api_keys SET employee = ?, name = ? WHERE id = ?", (*now, key_id))
            keys_changed(sql)


def _is_about(budget: Mapping[str, Any], names: Names) -> bool:
    """Tell whether a budget is the person's, or that of one of their sessions."""
    theirs = {Level.EMPLOYEE: names.employees, Level.SESSION: names.sessions}
    within = budget.get("within", {}).get("employee")
    return budget["node"] in theirs.get(Level(budget["level"]), {}) or within in names.employees
