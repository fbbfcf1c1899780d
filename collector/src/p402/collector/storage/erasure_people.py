"""Everybody whom an organisation's records name as an employee, in whatever table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from p402.collector.storage.driver import driver

__all__ = ["people_of"]

_COLUMNS = (
    "SELECT DISTINCT employee FROM scopes WHERE organisation = ? AND employee <> ''",
    "SELECT DISTINCT node FROM spend_hourly WHERE organisation = ? AND level = 'employee' AND node <> ''",
    "SELECT DISTINCT employee FROM employee_days WHERE organisation = ?",
    "SELECT employee FROM people WHERE organisation = ?",
    "SELECT DISTINCT employee FROM api_keys WHERE (organisation = ? OR organisation IS NULL) AND employee IS NOT NULL",
    "SELECT DISTINCT known_as FROM web_sessions WHERE organisation = ? AND known_as IS NOT NULL",
    "SELECT DISTINCT subject FROM web_sessions WHERE organisation = ? AND subject IS NOT NULL",
    "SELECT DISTINCT owner FROM overrides JOIN budgets ON budgets.id = budget_id WHERE organisation = ?",
)
_LEVELS = (("leases", "attribution"), ("decisions", "question"))
_DOCUMENTS = (
    "SELECT definition FROM budgets WHERE organisation = ?",
    "SELECT definition FROM policies WHERE organisation = ? AND definition IS NOT NULL",
    "SELECT payload FROM events WHERE organisation = ?",
    "SELECT keys FROM reconciliations WHERE organisation = ?",
)
_NAME_PEOPLE = frozenset({"employee", "owner", "by"})


def people_of(connection: Connection, organisation: str) -> set[str]:
    """Give every name of an employee that an organisation's records have, and perhaps names of others."""
    sql, of_it = driver(connection), (organisation,)
    found: set[str] = set()
    for query in _COLUMNS:
        found |= {str(name) for (name,) in sql.execute(query, of_it)}
    for table, column in _LEVELS:
        name = (  # read by the database: there may be very many
            f"json_extract({column}, '$.employee')"
            if connection.dialect.name == "sqlite"
            else f"CAST({column} AS json) ->> 'employee'"
        )
        query = f"SELECT DISTINCT {name} FROM {table} WHERE organisation = ?"
        found |= {str(name) for (name,) in sql.execute(query, of_it) if name is not None}
    for query in _DOCUMENTS:
        for (text,) in sql.execute(query, of_it):
            found.update(_people_in(json.loads(text), "", None))
    return found


def _people_in(value: Any, name: str, level: str | None) -> Iterator[str]:
    if isinstance(value, dict):
        said = value.get("level", level)
        for key, item in value.items():
            yield from _people_in(item, name if key in {"before", "after"} else key, said)
    elif isinstance(value, list):
        for item in value:
            yield from _people_in(item, name, level)
    elif isinstance(value, str) and (name in _NAME_PEOPLE or (name == "node" and level == "employee")):
        yield value
