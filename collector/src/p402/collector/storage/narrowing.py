"""Where a list begins: with what is newest or dearest, or with the few rows that it is narrowed to.

A database that goes by time and looks for one person's sessions reads everybody's; one that looks for a big department's
and then orders them reads all of those. Counting a bounded number of rows tells which it must be, on every database and
whatever its planner knows; `unindexed` then keeps it to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from p402.collector.storage.tables import scopes

__all__ = ["MOST_ROWS", "begins_with", "few", "few_owners", "is_few", "unindexed"]

MOST_ROWS = 20_000
"""Rows that a query may name; both databases take more."""

_LAST = "\U0010ffff"


def few(connection: Connection, query: Select[Any]) -> list[Any] | None:
    """Give the numbers or ids that a query finds, if they are few enough to begin with; None: they are not."""
    found = list(connection.execute(query.limit(MOST_ROWS + 1)).scalars())
    return found if len(found) <= MOST_ROWS else None


def is_few(connection: Connection, query: Select[Any], most: int = MOST_ROWS) -> bool:
    """Tell whether a query finds few rows, reading no more of them than that."""
    some = query.limit(most + 1).subquery()
    return bool(connection.execute(select(func.count()).select_from(some)).scalar_one() <= most)


def few_owners(
    connection: Connection, organisation: str, conditions: Sequence[ColumnElement[bool]]
) -> list[int] | None:
    """Give the rows of ``scopes`` that fulfil conditions, if they are few; None: they are not, or nothing is asked of them."""
    if not conditions:
        return None
    return few(connection, select(scopes.c.id).where(scopes.c.organisation == organisation, *conditions))


def begins_with(connection: Connection, text: str) -> list[ColumnElement[bool]]:
    """Give the conditions that the id of a session begins with a text, in the words that the database has an index for."""
    if connection.dialect.name == "sqlite":  # whose LIKE knows no case
        return [scopes.c.session >= text, scopes.c.session < text + _LAST]
    return [scopes.c.session.startswith(text, autoescape=True)]


def unindexed(column: ColumnElement[int]) -> ColumnElement[int]:
    """Write a column of numbers so that no index is used for it."""
    return column + 0
