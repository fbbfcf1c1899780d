"""Whose a call is, for all who record or decide about it: erased names replaced, and the department of an employee added.

Leases, decisions and charges go through the same functions, so that a hold and its charge are about the same nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from p402.collector.storage.driver import Driver
from p402.collector.storage.employee_departments import EmployeeDepartments
from p402.collector.storage.suppressions import Suppressions
from p402.vocabulary import Attribution

__all__ = ["Owners"]


class Owners:
    """Gives owners as they are recorded; used inside changes."""

    def __init__(self, suppressions: Suppressions, departments: EmployeeDepartments) -> None:
        self._suppressions = suppressions
        self._departments = departments

    def on_erasure(self, forget: Callable[[], None]) -> None:
        """Register what must be forgotten when names may have been erased."""
        self._suppressions.on_change(forget)

    def are_listed(self, sql: Driver, organisation: str) -> bool:
        """Tell whether a call without a department may get one from its employee."""
        return self._departments.any(sql, organisation)

    def apply(self, sql: Driver, whose: Attribution, at: datetime) -> Attribution:
        """Give an owner as it is recorded. A department that is named stays as it is."""
        known = self._suppressions.apply(sql, whose, at)
        if known.department is not None or known.employee is None:
            return known
        organisation, employee = known.organisation or "", known.employee
        department = self._departments.of(sql, organisation, [employee])[employee]
        return known if department is None else replace(known, department=department)

    def erased(self, sql: Driver, owners: Iterable[Attribution], at: datetime) -> dict[Attribution, Attribution]:
        """Give the owners that have erased names in them, each without; none of them, nearly always."""
        return self._suppressions.among(sql, owners, at)

    def among(
        self, sql: Driver, owners: Iterable[Attribution], erased: dict[Attribution, Attribution]
    ) -> dict[Attribution, Attribution]:
        """Give the owners that are recorded as others than they were named, each as it is recorded.

        Args:
            sql: of the change.
            owners: as they were named.
            erased: what `erased` gave for them.
        """
        found = dict(erased)
        without: dict[str, dict[Attribution, Attribution]] = {}
        for whose in owners:
            known = erased.get(whose, whose) if erased else whose
            if known.department is None and known.employee is not None:
                without.setdefault(known.organisation or "", {})[whose] = known
        for organisation, theirs in without.items():
            departments = self._departments.of(sql, organisation, {one.employee or "" for one in theirs.values()})
            for whose, known in theirs.items():
                department = departments[known.employee or ""]
                if department is not None:
                    found[whose] = replace(known, department=department)
        return found
