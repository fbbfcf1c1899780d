"""Everybody whom an organisation's records name as an employee, in whatever table."""

from __future__ import annotations

import json

from p402.collector.storage.driver import Driver

__all__ = ["people_of"]


def people_of(sql: Driver, organisation: str) -> set[str]:
    """Give every name of an employee that an organisation's records have."""
    of_it = (organisation,)
    found: set[str] = set()
    for query in (
        "SELECT DISTINCT employee FROM scopes WHERE organisation = ? AND employee <> ''",
        "SELECT DISTINCT node FROM spend_hourly WHERE organisation = ? AND level = 'employee' AND node <> ''",
        "SELECT DISTINCT employee FROM employee_days WHERE organisation = ?",
        "SELECT DISTINCT employee FROM api_keys WHERE (organisation = ? OR organisation IS NULL) AND employee IS NOT NULL",
    ):
        found |= {str(name) for (name,) in sql.execute(query, of_it)}
    for query in (
        "SELECT attribution FROM leases WHERE organisation = ?",
        "SELECT question FROM decisions WHERE organisation = ?",
    ):
        found |= {name for (text,) in sql.execute(query, of_it) if (name := json.loads(text).get("employee"))}
    for (text,) in sql.execute("SELECT definition FROM budgets WHERE organisation = ?", of_it):
        written = json.loads(text)
        found |= {
            name for name in (written["node"], written.get("within", {}).get("employee"), written.get("owner")) if name
        }
    return found
