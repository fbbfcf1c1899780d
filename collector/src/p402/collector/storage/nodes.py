"""The nodes of an organisation's tree: those that had calls, have budgets, or are in the directory."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, select

from p402.collector.storage.charges import within_scope
from p402.collector.storage.directory_list import listed_nodes
from p402.collector.storage.tables import scopes
from p402.vocabulary import Attribution, Level

__all__ = ["nodes_page"]


def nodes_page(
    connection: Connection, level: Level, within: Attribution, budgeted: Sequence[str], after: str, limit: int
) -> list[str]:
    """Give the next nodes of a level by name.

    Args:
        connection: where to read.
        level: of the nodes.
        within: the part of the tree; below an organisation only nodes that had calls in it are given, and people whom the
            directory has in it.
        budgeted: nodes that have a budget, and perhaps no calls yet.
        after: the last one that is known.
        limit: how many at most.
    """
    column: ColumnElement[str] = scopes.c[level.value]
    if connection.dialect.name == "postgresql":
        column = column.collate("C")  # in the order of code points, as everywhere
    query = select(column).distinct().where(*within_scope(within), column > after).order_by(column).limit(limit)
    found = {str(node) for (node,) in connection.execute(query) if node}
    if all(value is None for at, value in within if at is not Level.ORGANISATION):
        found |= {node for node in budgeted if node > after}
    below = {at for at, value in within if value is not None} - {Level.ORGANISATION}
    if (level is Level.DEPARTMENT and not below) or (level is Level.EMPLOYEE and below <= {Level.DEPARTMENT}):
        found |= set(listed_nodes(connection, within.organisation or "", within.department, level.value, after, limit))
    return sorted(found)[:limit]
