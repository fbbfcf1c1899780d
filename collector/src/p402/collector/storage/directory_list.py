"""Departments of the directory, as they are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, exists, func, select

from p402.collector.storage.directory_tables import departments, people
from p402.vocabulary import Attribution

__all__ = ["DepartmentRow", "department_names", "department_rows", "listed_nodes"]


class DepartmentRow(NamedTuple):
    """A department."""

    department: str
    display_name: str | None
    people: int
    """Active ones."""


def department_rows(
    connection: Connection, organisation: str, within: Attribution, after: str, limit: int
) -> list[DepartmentRow]:
    """Give the next departments by id, each with its display name and how many active people it has.

    Args:
        connection: where to read.
        organisation: whose directory it is.
        within: the only department, or employee, that is to be seen: then that is who is counted; of neither: all are.
        after: the last one that is known.
        limit: how many at most.
    """
    of_it = (people.c.organisation == departments.c.organisation) & (people.c.department == departments.c.department)
    if within.employee is not None:
        of_it &= people.c.employee == within.employee
    count = select(func.count()).where(of_it, people.c.active).scalar_subquery()
    id_ = _in_order(connection, departments.c.department)
    query = (
        select(departments.c.department, departments.c.display_name, count.label("people"))
        .where(departments.c.organisation == organisation, id_ > after)
        .order_by(id_)
        .limit(limit)
    )
    if within.department is not None:
        query = query.where(departments.c.department == within.department)
    if within.employee is not None:
        query = query.where(exists().where(of_it))
    return [DepartmentRow(*row) for row in connection.execute(query)]


def department_names(connection: Connection, organisation: str, wanted: Iterable[str]) -> dict[str, str]:
    """Give the display names of departments, as far as they have one."""
    query = select(departments.c.department, departments.c.display_name).where(
        departments.c.organisation == organisation,
        departments.c.department.in_(set(wanted)),
        departments.c.display_name.is_not(None),
    )
    return {row.department: row.display_name for row in connection.execute(query)}


def listed_nodes(
    connection: Connection, organisation: str, department: str | None, level: str, after: str, limit: int
) -> list[str]:
    """Give the next departments, or the next employees (of one department, or of all), that the directory has."""
    table, column = (departments, departments.c.department) if level == "department" else (people, people.c.employee)
    id_ = _in_order(connection, column)
    query = select(column).where(table.c.organisation == organisation, id_ > after).order_by(id_).limit(limit)
    if department is not None:
        query = query.where(table.c.department == department)
    return list(connection.execute(query).scalars())


def _in_order(connection: Connection, column: ColumnElement[str]) -> ColumnElement[str]:
    """Give a column as it is ordered everywhere: by code points."""
    return column.collate("C") if connection.dialect.name == "postgresql" else column
