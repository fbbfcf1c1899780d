"""Where a list begins that is narrowed to a part of the tree: with the few owners it is about, or with what is newest.

A database that orders by time and looks for one person's sessions goes through everybody's; one that looks for a big
department's and orders them reads all of them. Counting a bounded number of owners tells which it is, on every database.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, func, select

from p402.collector.storage.tables import scopes

__all__ = ["MOST_OWNERS", "begins_with", "few_owners"]

MOST_OWNERS = 5_000
"""Rows of ``scopes`` that a query may name."""

_LAST = "\U0010ffff"


def few_owners(
    connection: Connection, organisation: str, conditions: Sequence[ColumnElement[bool]]
) -> list[int] | None:
    """Give the rows of ``scopes`` that fulfil conditions, if those are few enough to begin with; None: they are not."""
    if not conditions:
        return None
    query = select(scopes.c.id).where(scopes.c.organisation == organisation, *conditions).limit(MOST_OWNERS + 1)
    found = list(connection.execute(query).scalars())
    return found if len(found) <= MOST_OWNERS else None


def begins_with(connection: Connection, text: str) -> ColumnElement[bool]:
    """Give the condition that the id of a session begins with a text, in the words that the database has an index for."""
    if connection.dialect.name == "sqlite":  # whose LIKE knows no case
        return and_(scopes.c.session >= text, scopes.c.session < text + _LAST)
    return and_(scopes.c.session.startswith(text, autoescape=True), func.length(scopes.c.session) >= len(text))
