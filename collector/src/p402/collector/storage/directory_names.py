"""Names of people, sealed each under the key of the person whom it is about, and read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from p402.collector.privacy.vault_keys import seal, unseal
from p402.collector.storage.directory_tables import people
from p402.collector.storage.privacy_tables import subjects
from p402.collector.storage.vault import Vault, person
from p402.vocabulary import Attribution

__all__ = ["names_of_people", "opened_names", "rows_of", "sealed_names"]

_AT_ONCE = 500
_WITH_KEYS = select(people, subjects.c.place, subjects.c.wrapped_key).select_from(
    people.outerjoin(subjects, subjects.c.id == people.c.subject_id)
)


def rows_of(
    connection: Connection,
    organisation: str,
    within: Attribution | None = None,
    after: str = "",
    limit: int | None = None,
) -> Sequence[Row[Any]]:
    """Give people with the keys of their names, in the order of their ids.

    Args:
        connection: where to read.
        organisation: whose directory it is.
        within: a department, or an employee, that people are of; None: all.
        after: the last employee that is known.
        limit: how many at most; None: all.
    """
    employee: ColumnElement[str] = people.c.employee
    if connection.dialect.name == "postgresql":
        employee = employee.collate("C")  # in the order of code points, as everywhere
    query = _WITH_KEYS.where(people.c.organisation == organisation, employee > after).order_by(employee).limit(limit)
    if within is not None and within.department is not None:
        query = query.where(people.c.department == within.department)
    if within is not None and within.employee is not None:
        query = query.where(people.c.employee == within.employee)
    return connection.execute(query).all()


def opened_names(vault: Vault, rows: Iterable[Row[Any]]) -> dict[str, str]:
    """Give the display names of people by employee, as far as they have one; that this is noted is for the caller.

    Raises:
        VaultKeyUnusable: if they were encrypted with a key that is not at hand.
    """
    return {
        row.employee: unseal(
            vault.keys.unwrap(bytes(row.wrapped_key), bytes(row.place)),
            bytes(row.sealed),
            _about(row.organisation, row.employee),
        ).decode()
        for row in rows
        if row.sealed is not None
    }


def names_of_people(
    connection: Connection, vault: Vault, organisation: str, employees: Iterable[str]
) -> dict[str, tuple[str, str]]:
    """Give the display names of some people by employee, as far as they have one, each after the id that it is noted by."""
    wanted = sorted(set(employees))
    found: dict[str, tuple[str, str]] = {}
    for begin in range(0, len(wanted), _AT_ONCE):
        of_them = people.c.employee.in_(wanted[begin : begin + _AT_ONCE])
        rows = connection.execute(_WITH_KEYS.where(people.c.organisation == organisation, of_them)).all()
        names = opened_names(vault, rows)
        found |= {row.employee: (row.id, names[row.employee]) for row in rows if row.employee in names}
    return found


def sealed_names(
    connection: Connection, vault: Vault, organisation: str, names: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Seal names by employee, in a change; gives what the rows of these hold of that."""
    places = {employee: vault.place(organisation, person(employee)) for employee in names}
    keys = vault.keys_at(connection, list(places.values()))
    found = {}
    for employee, name in names.items():
        subject_id, key = keys[places[employee]]
        about = _about(organisation, employee)
        found[employee] = {"subject_id": subject_id, "sealed": seal(key, name.encode(), about)}
    return found


def _about(organisation: str, employee: str) -> bytes:
    return f"directory\0{organisation}\0{employee}".encode()
