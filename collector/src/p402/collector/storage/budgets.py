"""Budgets as people change them: put, retire, more for a while; each change is audited and reaches every client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from p402.collector.budgets.budget import Budget, Override
from p402.collector.budgets.definition import BudgetDefinition, budget_of, show_amount
from p402.collector.storage.audit import record_audit
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.rule_changes import rules_changed
from p402.vocabulary import Permanent, rfc3339

__all__ = [
    "BudgetChange",
    "BudgetChangeKind",
    "BudgetTaken",
    "BudgetUnknown",
    "StoredBudget",
    "StoredOverride",
    "add_override",
    "apply_budgets",
    "budget_named",
    "budgets_in_force",
    "retire_budget",
]

_IDENTITY = ("level", "node", "within", "measure", "period", "length", "time_zone")
"""What says which calls a budget counts, and how: with another value it is another budget, with accounts of its own."""

_SELECT = "SELECT id, name, definition, made_at, changed_at FROM budgets WHERE organisation = ? AND retired_at IS NULL"
_INSERT = "INSERT INTO budgets (organisation, name, definition, made_at, changed_at) VALUES (?, ?, ?, ?, ?)"

May = Callable[[BudgetDefinition], bool]
"""Tells whether a budget is in the part of the tree that somebody may change."""


class BudgetUnknown(Permanent):
    """There is no budget of this name in force, or the asker may not know of it."""


class BudgetTaken(Permanent):
    """A budget of this name is in a part of the tree that the asker may not change."""


class BudgetChangeKind(StrEnum):
    """What becomes of a budget."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetChange:
    """What becomes of one budget, field by field."""

    name: str
    kind: BudgetChangeKind
    differences: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Of the fields that differ the values before and after."""
    fresh_accounts: bool = False
    """Whether what is spent is counted anew, from the ledger; what was held is not carried over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOverride:
    """Break-glass: who allowed more, why, and until when."""

    id: str
    amount: int
    owner: str
    reason: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBudget:
    """A budget in force."""

    id: int
    definition: BudgetDefinition
    made_at: datetime
    changed_at: datetime
    overrides: tuple[StoredOverride, ...] = ()
    """Those that have not expired."""

    def of(self, organisation: str) -> Budget:
        """Give it as decisions see it."""
        more = [Override(amount=override.amount, expires_at=override.expires_at) for override in self.overrides]
        written = self.definition
        return budget_of(self.id, organisation, written.name, written.to_json(), self.made_at, more)


def budgets_in_force(sql: Driver, organisation: str, at: datetime) -> list[StoredBudget]:
    """Give the budgets of an organisation by name, with the overrides that have not expired."""
    rows = sql.execute(_SELECT, (organisation,)).fetchall()
    return sorted((_budget(sql, row, at) for row in rows), key=lambda budget: budget.definition.name)


def budget_named(sql: Driver, organisation: str, name: str, at: datetime) -> StoredBudget | None:
    """Find a budget in force."""
    row = sql.execute(f"{_SELECT} AND name = ?", (organisation, name)).fetchone()
    return None if row is None else _budget(sql, row, at)


def apply_budgets(
    connection: Connection,
    organisation: str,
    wanted: Sequence[BudgetDefinition],
    *,
    actor: str,
    at: datetime,
    may: May = lambda _: True,
    prune: bool = False,
    dry_run: bool = False,
) -> list[BudgetChange]:
    """Make budgets be as they are wanted; doing it again changes nothing.

    Args:
        connection: of the change this is part of.
        organisation: whose they are.
        wanted: no two of one name.
        actor: id of the API key that changes them.
        at: now.
        may: which budgets the actor may change; others are not touched.
        prune: retire what is not wanted.
        dry_run: only say what would be done.

    Raises:
        BudgetTaken: if a name is that of a budget that the actor may not change.
    """
    sql = driver(connection)
    known = {budget.definition.name: budget for budget in budgets_in_force(sql, organisation, at)}
    for name in (definition.name for definition in wanted):
        if name in known and not may(known[name].definition):
            raise BudgetTaken(f"The name {name!r} is that of a budget outside of your part of the tree; take another.")
    changes = [_difference(known.get(definition.name), definition) for definition in wanted]
    if prune:
        named = {definition.name for definition in wanted}
        gone = [budget for name, budget in known.items() if name not in named and may(budget.definition)]
        changes += [BudgetChange(name=budget.definition.name, kind=BudgetChangeKind.RETIRED) for budget in gone]
    if not dry_run:
        definitions = {definition.name: definition for definition in wanted}
        for change in changes:
            _carry_out(sql, organisation, change, known.get(change.name), definitions.get(change.name), at)
        _note(connection, organisation, changes, actor, at)
    return changes


def retire_budget(connection: Connection, organisation: str, name: str, *, actor: str, at: datetime, may: May) -> None:
    """Take a budget out of force; what it counted stays known.

    Raises:
        BudgetUnknown: if there is none that the actor may change.
    """
    sql = driver(connection)
    known = _known(sql, organisation, name, at, may)
    change = BudgetChange(name=name, kind=BudgetChangeKind.RETIRED)
    _carry_out(sql, organisation, change, known, None, at)
    _note(connection, organisation, [change], actor, at)


def add_override(
    connection: Connection, organisation: str, name: str, override: StoredOverride, *, actor: str, may: May
) -> StoredBudget:
    """Allow more than a budget's cap until a time.

    Raises:
        BudgetUnknown: if there is none that the actor may change.
    """
    sql = driver(connection)
    at = override.created_at
    known = _known(sql, organisation, name, at, may)
    times = to_millis(at), to_millis(override.expires_at)
    sql.execute(
        "INSERT INTO overrides (id, budget_id, amount, owner, reason, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (override.id, known.id, override.amount, override.owner, override.reason, *times),
    )
    detail = {
        "id": override.id,
        "amount": show_amount(known.definition.measure, override.amount),
        "owner": override.owner,
        "reason": override.reason,
        "expires_at": rfc3339(override.expires_at),
    }
    record_audit(sql, organisation, actor=actor, action="budget.override", subject=name, detail=detail, at=at)
    rules_changed(connection, organisation)
    return _known(sql, organisation, name, at, may)


def _known(sql: Driver, organisation: str, name: str, at: datetime, may: May) -> StoredBudget:
    known = budget_named(sql, organisation, name, at)
    if known is None or not may(known.definition):
        raise BudgetUnknown(f"There is no budget {name[:100]!r} that you may see. GET /v1/budgets lists them.")
    return known


def _difference(known: StoredBudget | None, wanted: BudgetDefinition) -> BudgetChange:
    if known is None:
        return BudgetChange(name=wanted.name, kind=BudgetChangeKind.CREATED)
    before, after = known.definition.to_json(), wanted.to_json()
    differences = {name: (before[name], after[name]) for name in after if before[name] != after[name]}
    return BudgetChange(
        name=wanted.name,
        kind=BudgetChangeKind.CHANGED if differences else BudgetChangeKind.UNCHANGED,
        differences=differences,
        fresh_accounts=any(name in differences for name in _IDENTITY),
    )


def _carry_out(
    sql: Driver,
    organisation: str,
    change: BudgetChange,
    known: StoredBudget | None,
    wanted: BudgetDefinition | None,
    at: datetime,
) -> None:
    now = to_millis(at)
    if known is not None and (wanted is None or change.fresh_accounts):
        sql.execute("UPDATE budgets SET retired_at = ? WHERE id = ?", (now, known.id))
        known = None
    if wanted is None or change.kind is BudgetChangeKind.UNCHANGED:
        return
    definition = json.dumps(wanted.to_json(), sort_keys=True)
    if known is None:
        sql.execute(_INSERT, (organisation, change.name, definition, now, now))
    else:
        sql.execute("UPDATE budgets SET definition = ?, changed_at = ? WHERE id = ?", (definition, now, known.id))


def _note(connection: Connection, organisation: str, changes: Iterable[BudgetChange], actor: str, at: datetime) -> None:
    done = [change for change in changes if change.kind is not BudgetChangeKind.UNCHANGED]
    for change in done:
        record_audit(
            driver(connection),
            organisation,
            actor=actor,
            action=f"budget.{change.kind}",
            subject=change.name,
            detail={name: {"before": before, "after": after} for name, (before, after) in change.differences.items()},
            at=at,
        )
    if done:
        rules_changed(connection, organisation)


def _budget(sql: Driver, row: Sequence[Any], at: datetime) -> StoredBudget:
    id_, name, definition, made_at, changed_at = row
    overrides = sql.execute(
        "SELECT id, amount, owner, reason, created_at, expires_at FROM overrides"
        " WHERE budget_id = ? AND expires_at > ? ORDER BY created_at, id",
        (id_, to_millis(at)),
    ).fetchall()
    return StoredBudget(
        id=id_,
        definition=BudgetDefinition.model_validate({**json.loads(definition), "name": name}),
        made_at=from_millis(made_at),
        changed_at=from_millis(changed_at),
        overrides=tuple(
            StoredOverride(
                id=override_id,
                amount=int(amount),
                owner=owner,
                reason=reason,
                created_at=from_millis(created),
                expires_at=from_millis(expires),
            )
            for override_id, amount, owner, reason, created, expires in overrides
        ),
    )
