"""Imports a document into the directory, in one change: what is as it shall be stays untouched.

A name is sealed under the key of the person whom it is about; whoever was erased does not come back.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, update

from p402.collector.directory.entries import Document
from p402.collector.storage.audit import record_audit
from p402.collector.storage.directory_names import sealed_names
from p402.collector.storage.directory_plan import Differences, Plan, plan_import
from p402.collector.storage.directory_tables import people
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.rule_changes import rules_changed
from p402.collector.storage.vault import Vault, forget_unused_keys
from p402.vocabulary import IdFactory

__all__ = ["forget_listed", "import_document", "look_ahead"]


def look_ahead(
    connection: Connection, vault: Vault, organisation: str, document: Document, *, prune: bool
) -> Differences:
    """Tell what an import would do.

    Raises:
        DocumentUnusable: if the document cannot be imported.
    """
    return plan_import(connection, vault, organisation, document, prune=prune).differences


def import_document(
    connection: Connection,
    vault: Vault,
    organisation: str,
    document: Document,
    *,
    prune: bool,
    actor: str | None,
    new_id: IdFactory,
    at: datetime,
) -> Differences:
    """Make the directory what a document says, in a change.

    Args:
        connection: of the change.
        vault: where the keys of people are.
        organisation: whose directory it is.
        document: as it was read.
        prune: whether people, or departments without people, go that the document is about and does not name.
        actor: who does this, for the audit trail.
        new_id: makes ids.
        at: now.

    Raises:
        DocumentUnusable: if the document cannot be imported.
    """
    plan = plan_import(connection, vault, organisation, document, prune=prune)
    found = plan.differences
    if not found.any:
        return found
    _write_departments(connection, organisation, plan)
    _write_people(connection, vault, organisation, plan, new_id, at)
    if plan.moves:
        rules_changed(connection, organisation)
    record_audit(
        driver(connection),
        organisation,
        actor=actor or "",
        action="directory.imported",
        subject="directory",
        detail={
            kind: {"added": one.added, "changed": one.changed, "removed": one.removed}
            for kind, one in (("people", found.people), ("departments", found.departments))
        },
        at=at,
    )
    return found


def forget_listed(sql: Driver, organisation: str, employee: str) -> None:
    """Delete what the directory has of a person. Their key is for the caller to look after."""
    sql.execute("DELETE FROM people WHERE organisation = ? AND employee = ?", (organisation, employee))


def _write_departments(connection: Connection, organisation: str, plan: Plan) -> None:
    sql = driver(connection)
    sql.executemany(
        "INSERT INTO departments (organisation, department, display_name) VALUES (?, ?, ?)"
        " ON CONFLICT (organisation, department) DO UPDATE SET display_name = excluded.display_name",
        [(organisation, department, name) for department, name in plan.departments.items()],
    )
    sql.executemany(
        "DELETE FROM departments WHERE organisation = ? AND department = ?",
        [(organisation, department) for department in plan.closed],
    )


def _write_people(
    connection: Connection, vault: Vault, organisation: str, plan: Plan, new_id: IdFactory, at: datetime
) -> None:
    named = [*plan.added, *(one for _, one in plan.renamed)]
    names = {one.employee: one.display_name for one in named if one.display_name is not None}
    sealed = sealed_names(connection, vault, organisation, names)
    nothing = {"subject_id": None, "sealed": None}
    if plan.added:
        added = [
            {
                "id": new_id("prsn", at),
                "organisation": organisation,
                "employee": one.employee,
                "department": one.department,
                "active": one.active,
                **sealed.get(one.employee, nothing),
            }
            for one in plan.added
        ]
        connection.execute(insert(people), added)
    this = people.c.id == bindparam("this")
    if plan.changed:
        changed = [{"this": row.id, "department": one.department, "active": one.active} for row, one in plan.changed]
        connection.execute(update(people).where(this), changed)
    if plan.renamed:
        renamed = [{"this": row.id, **sealed.get(one.employee, nothing)} for row, one in plan.renamed]
        connection.execute(update(people).where(this), renamed)
    if plan.removed:
        connection.execute(delete(people).where(this), [{"this": row.id} for row in plan.removed])
    unnamed = [row for row, one in plan.renamed if one.display_name is None]
    keys = {row.subject_id for row in (*unnamed, *plan.removed) if row.subject_id is not None}
    forget_unused_keys(driver(connection), keys)
