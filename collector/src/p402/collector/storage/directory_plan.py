"""What the import of a document into the directory has to do; read, and not yet done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from p402.collector.directory.departments import settle
from p402.collector.directory.entries import Document, DocumentUnusable, ListedPerson, Wrong
from p402.collector.privacy.vault_keys import PERSON
from p402.collector.storage.directory_names import opened_names, rows_of
from p402.collector.storage.directory_tables import departments, people
from p402.collector.storage.holds import active_holds
from p402.collector.storage.privacy_tables import suppressions
from p402.collector.storage.vault import Vault, person

__all__ = ["Difference", "Differences", "Plan", "listed_departments", "plan_import"]


@dataclass(slots=True)
class Difference:
    """How what a document says differs from what is known of people, or of departments."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    kept: int = 0
    """Not in the document, but kept: people by a legal hold, departments by the people in them."""


@dataclass(slots=True)
class Differences:
    """What an import does, or would do."""

    people: Difference = field(default_factory=Difference)
    departments: Difference = field(default_factory=Difference)
    made: list[str] = field(default_factory=list)
    """Departments that the document only mentions, of those that are added."""
    erased: int = 0
    """People whom the document names, but who were erased: they stay so."""

    @property
    def any(self) -> bool:
        """Whether something is different."""
        return any(one.added or one.changed or one.removed for one in (self.people, self.departments))


@dataclass(slots=True)
class Plan:
    """What there is to do; the numbers of it are its `differences`."""

    differences: Differences = field(default_factory=Differences)
    added: list[ListedPerson] = field(default_factory=list)
    changed: list[tuple[Row[Any], ListedPerson]] = field(default_factory=list)
    renamed: list[tuple[Row[Any], ListedPerson]] = field(default_factory=list)
    """Of those that are changed, whose name is another."""
    removed: list[Row[Any]] = field(default_factory=list)
    departments: dict[str, str | None] = field(default_factory=dict)
    """That are added or have another name, with that."""
    closed: list[str] = field(default_factory=list)
    """Departments that are removed."""

    @property
    def moves(self) -> bool:
        """Whether somebody's department is another now."""
        return (
            any(person.department for person in self.added)
            or any(row.department != person.department for row, person in self.changed)
            or any(row.department for row in self.removed)
        )


def plan_import(connection: Connection, vault: Vault, organisation: str, document: Document, *, prune: bool) -> Plan:
    """Compare a document with the directory; see `storage.directory.import_document`.

    Raises:
        DocumentUnusable: if it cannot be imported.
    """
    if prune and not document.whole:
        raise DocumentUnusable(
            [Wrong("totalResults", "is more than there are Resources: only all of them tell who is gone")]
        )
    if prune and not (document.people or document.departments):
        raise DocumentUnusable([Wrong("the document", "names nobody, so that prune would remove everybody")])
    known = listed_departments(connection, organisation)
    settled = settle(document, known)
    plan = Plan()
    found = plan.differences
    rows = {row.employee: row for row in rows_of(connection, organisation)} if document.lists_people else {}
    erased = _erased(connection, organisation)

    def may_be_listed(one: ListedPerson) -> bool:  # whoever is there was not erased: that would have deleted the row
        return one.employee in rows or not erased or vault.place(organisation, person(one.employee)) not in erased

    listed = [one for one in settled if may_be_listed(one)]
    found.erased = len(settled) - len(listed)
    names = opened_names(vault, (row for one in listed if (row := rows.get(one.employee)) is not None))
    for one in listed:
        row = rows.get(one.employee)
        if row is None:
            plan.added.append(one)
            continue
        renamed = names.get(one.employee) != one.display_name
        if renamed or (row.department, row.active) != (one.department, one.active):
            plan.changed.append((row, one))
            plan.renamed += [(row, one)] if renamed else []
    if prune:
        named = {one.employee for one in settled}
        left = [row for employee, row in rows.items() if employee not in named]
        plan.removed = _free(connection, vault, organisation, left)
        found.people.kept = len(left) - len(plan.removed)
    found.people.added, found.people.changed = len(plan.added), len(plan.changed)
    found.people.unchanged = len(listed) - len(plan.added) - len(plan.changed)
    found.people.removed = len(plan.removed)
    _plan_departments(connection, organisation, document, listed, known, plan, prune=prune)
    return plan


def _plan_departments(
    connection: Connection,
    organisation: str,
    document: Document,
    listed: Sequence[ListedPerson],
    known: Mapping[str, str | None],
    plan: Plan,
    *,
    prune: bool,
) -> None:
    said = {one.department: one.display_name for one in document.departments}
    mentioned = sorted({one.department for one in listed if one.department} - said.keys())
    found = plan.differences
    found.made = [department for department in mentioned if department not in known]
    plan.departments = {one: name for one, name in said.items() if one not in known or known[one] != name}
    plan.departments |= dict.fromkeys(found.made)
    found.departments.added = sum(one not in known for one in plan.departments)
    found.departments.changed = len(plan.departments) - found.departments.added
    found.departments.unchanged = len(said) + len(mentioned) - len(plan.departments)
    if prune and document.lists_departments:
        left = known.keys() - said.keys() - set(mentioned)
        gone = {row.employee for row in plan.removed} | {one.employee for one in listed}
        needed = {
            department
            for employee, department in connection.execute(
                select(people.c.employee, people.c.department).where(people.c.organisation == organisation)
            )
            if department in left and employee not in gone
        }
        plan.closed = sorted(left - needed)
        found.departments.removed, found.departments.kept = len(plan.closed), len(needed)


def listed_departments(connection: Connection, organisation: str) -> dict[str, str | None]:
    """Give the departments of an organisation that the directory has, each with its display name."""
    query = select(departments.c.department, departments.c.display_name).where(
        departments.c.organisation == organisation
    )
    return {row.department: row.display_name for row in connection.execute(query)}


def _erased(connection: Connection, organisation: str) -> set[bytes]:
    query = select(suppressions.c.place).where(
        suppressions.c.organisation == organisation, suppressions.c.kind == PERSON
    )
    return {bytes(place) for place in connection.execute(query).scalars()}


def _free(connection: Connection, vault: Vault, organisation: str, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Give the people of whom no legal hold keeps everything."""
    holds = active_holds(connection, organisation) if rows else []

    def is_held(row: Row[Any]) -> bool:
        place = vault.place(organisation, person(row.employee))
        return any(hold.holds_all_of(place) for hold in holds)

    return [row for row in rows if not holds or not is_held(row)]
