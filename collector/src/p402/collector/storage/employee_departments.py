"""Which department an employee is of, as the directory says; remembered until an organisation's rules change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from p402.collector.storage.driver import Driver
from p402.collector.storage.rule_changes import rules_version
from p402.collector.storage.transaction import Transaction

__all__ = ["EmployeeDepartments"]

_MOST_REMEMBERED = 50_000  # employees of one organisation; and organisations
_AT_ONCE = 500  # of a query

_ANY = "SELECT 1 FROM people WHERE organisation = ? AND department IS NOT NULL LIMIT 1"
_OF = "SELECT employee, department FROM people WHERE organisation = ? AND employee IN"


@dataclass(slots=True)
class _Known:
    """What is remembered of one organisation."""

    version: int
    any: bool
    departments: dict[str, str | None] = field(default_factory=dict)
    """By employee; None: the directory knows none."""


class EmployeeDepartments:
    """A memory of the directory, used inside changes: it asks for the version of the rules each time."""

    def __init__(self) -> None:
        self._remembered: dict[str, _Known] = {}

    def forget(self) -> None:
        """Forget everything, as when a change is undone."""
        self._remembered.clear()

    def any(self, sql: Driver, organisation: str) -> bool:
        """Tell whether the directory of an organisation knows of anybody what department they are of."""
        return self._of(sql, organisation).any

    def of(self, sql: Driver, organisation: str, employees: Iterable[str]) -> dict[str, str | None]:
        """Give the department of each of some employees; None where the directory knows none."""
        known = self._of(sql, organisation)
        wanted = set(employees)
        if not known.any:
            return dict.fromkeys(wanted)
        missing = sorted(wanted - known.departments.keys())
        if missing:
            if len(known.departments) + len(missing) > _MOST_REMEMBERED:
                known.departments.clear()
                missing = sorted(wanted)
            known.departments |= dict.fromkeys(missing)
            for begin in range(0, len(missing), _AT_ONCE):
                some = missing[begin : begin + _AT_ONCE]
                rows = _rows(sql, f"{_OF} ({', '.join('?' * len(some))})", (organisation, *some))
                known.departments |= dict(map(tuple, rows))
        return {employee: known.departments[employee] for employee in wanted}

    def _of(self, sql: Driver, organisation: str) -> _Known:
        version = rules_version(sql, organisation)
        known = self._remembered.get(organisation)
        if known is None or known.version != version:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            known = self._remembered[organisation] = _Known(version, bool(_rows(sql, _ANY, (organisation,))))
        return known


def _rows(sql: Driver, query: str, parameters: Sequence[str]) -> Sequence[Any]:
    """Read; nobody keeps people in memory, so that a transaction need not write what it has there first."""
    return sql.look(query, parameters) if isinstance(sql, Transaction) else sql.execute(query, parameters).fetchall()
