"""The budgets of each organisation as they are now, remembered until their rules change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from p402.collector.budgets.budget import Budget, BudgetSet, Override
from p402.collector.budgets.definition import budget_of
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import Driver
from p402.collector.storage.rule_changes import rules_version

__all__ = ["BudgetRules", "stored_budgets"]

_MOST_REMEMBERED = 10_000  # organisations

_BUDGETS = "SELECT id, name, definition, made_at FROM budgets WHERE organisation = ? AND retired_at IS NULL ORDER BY id"
_OVERRIDES = (
    "SELECT budget_id, amount, expires_at FROM overrides"
    " WHERE expires_at > ? AND budget_id IN (SELECT id FROM budgets WHERE organisation = ?)"
)


class BudgetRules:
    """A memory of budgets, used inside changes: it asks for the version of the rules each time."""

    def __init__(self) -> None:
        self._remembered: dict[str, BudgetSet] = {}

    def forget(self) -> None:
        """Forget everything, as when a change is undone."""
        self._remembered.clear()

    def of(self, sql: Driver, organisation: str, at: datetime) -> BudgetSet:
        """Give the budgets of an organisation."""
        version = rules_version(sql, organisation)
        known = self._remembered.get(organisation)
        if known is None or known.version != version:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            known = self._remembered[organisation] = BudgetSet(version, stored_budgets(sql, organisation, at))
        return known


def stored_budgets(sql: Driver, organisation: str, at: datetime) -> Sequence[Budget]:
    """Read the budgets of an organisation with their overrides that are in force or yet to be."""
    overrides: dict[int, list[Override]] = {}
    for budget_id, amount, expires_at in sql.execute(_OVERRIDES, (to_millis(at), organisation)):
        overrides.setdefault(budget_id, []).append(Override(amount=amount, expires_at=from_millis(expires_at)))
    return [
        budget_of(id_, organisation, name, json.loads(definition), from_millis(made_at), overrides.get(id_, ()))
        for id_, name, definition, made_at in sql.execute(_BUDGETS, (organisation,)).fetchall()
    ]
