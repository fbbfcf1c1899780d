"""Usage by day and by session: summed from the charges by a follower. Implements `usage.roll_up.UsageStore`.

Days are summed anew where names have changed; sessions need not be, since they go by the number of their owner. A row is
a function of the charges up to the follower's cursor, so it can always be made again from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from sqlalchemy import Connection, func, select

from p402.collector.storage.counters import tokens_counted
from p402.collector.storage.database import Database
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.signals import signal
from p402.collector.storage.usage_tables import DAYS, KEYS, SUMS
from p402.collector.usage.slices import Dimension, Slice, UsageSum
from p402.vocabulary import Money

__all__ = [
    "FOLLOWER",
    "USAGE_TOPIC",
    "SqlUsage",
    "day_of",
    "resum_employees",
    "usage_before",
    "usage_by",
    "usage_statements",
]

USAGE_TOPIC = "usage:"
"""Followed by the organisation whose usage has changed."""

FOLLOWER = "usage"
_EPOCH = date(1970, 1, 1).toordinal()
_VALUE = {  # of a charge (c), its scope (s) and its model (m), under the names of the columns that it goes to
    "organisation": "s.organisation",
    "day": "c.started_at / 86400000",
    "department": "s.department",
    "project": "s.project",
    "client": "s.client",
    "employee": "s.employee",
    "provider": "m.provider",
    "model": "COALESCE(NULLIF(m.response_model, ''), NULLIF(m.request_model, ''), 'unknown')",
    "task_type": "COALESCE(c.task_type, '')",
    "verdict": "COALESCE(c.verdict, '')",
    "cost_nano_usd": "SUM(COALESCE(c.cost_nano_usd, 0))",
    "charges": "COUNT(*)",
    "unpriced_charges": "SUM(CASE WHEN c.cost_nano_usd IS NULL THEN 1 ELSE 0 END)",
    "input_tokens": f"SUM({tokens_counted('c.input_tokens')})",
    "output_tokens": f"SUM({tokens_counted('c.output_tokens')})",
    "cache_read_tokens": f"SUM({tokens_counted('c.cache_read_input_tokens')})",
}
_IN_SESSION = SUMS[:-1]
_ADD_SESSIONS = (
    f"INSERT INTO usage_sessions (scope_id, organisation, first_at, last_at, {', '.join(_IN_SESSION)})"
    " SELECT c.scope_id, s.organisation, MIN(c.started_at), MAX(c.started_at), "
    + ", ".join(_VALUE[name] for name in _IN_SESSION)
    + " FROM charges c JOIN scopes s ON s.id = c.scope_id"
    " WHERE c.seq > ? AND c.seq <= ? AND s.session <> '' GROUP BY c.scope_id, s.organisation"
    " ON CONFLICT (scope_id) DO UPDATE SET"
    " first_at = CASE WHEN excluded.first_at < usage_sessions.first_at THEN excluded.first_at"
    " ELSE usage_sessions.first_at END,"
    " last_at = CASE WHEN excluded.last_at > usage_sessions.last_at THEN excluded.last_at ELSE usage_sessions.last_at END, "
    + ", ".join(f"{name} = usage_sessions.{name} + excluded.{name}" for name in _IN_SESSION)
)
_CURSOR = (
    "INSERT INTO cursors (follower, seq) VALUES (?, ?) ON CONFLICT (follower) DO UPDATE SET seq = excluded.seq",
    "SELECT COALESCE(MAX(seq), 0) FROM cursors WHERE follower = ?",
)


class SqlUsage:
    """The roll-up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def follow(self, limit: int) -> int:
        """Add the next recorded charges; returns how many, at most ``limit``."""
        if not await self._database.read(lambda connection: _next(driver(connection), 1)):
            return 0
        return await self._database.write(lambda connection: _follow(connection, limit))


def usage_by(
    connection: Connection,
    of: Slice,
    dimensions: Sequence[Dimension],
    among: tuple[Dimension, Sequence[str]] | None = None,
) -> list[UsageSum]:
    """Sum a slice by some dimensions, the dearest first; without dimensions there is one sum, or none if nothing was used.

    Args:
        connection: where to read.
        of: the slice.
        dimensions: what sums are told apart by.
        among: the only values of a dimension that count; None: all do.
    """
    needed = {dimension.value for dimension in (*dimensions, *of.only, *(() if among is None else among[:1]))}
    days = next(table for table in DAYS if needed <= set(KEYS[table.name]))
    keys = [days.c[dimension.value] for dimension in dimensions]
    sums = [func.sum(days.c[name]).label(name) for name in SUMS]
    query = (
        select(*keys, *sums)
        .where(days.c.organisation == of.organisation)
        .where(days.c.day >= day_of(of.period.first), days.c.day <= day_of(of.period.last))
        .where(*(days.c[dimension.value] == value for dimension, value in of.only.items()))
        .where(*([] if among is None else [days.c[among[0].value].in_(among[1])]))
        .group_by(*keys)
        .having(func.count() > 0)
        .order_by(sums[0].desc(), *keys)
    )
    found = []
    for row in connection.execute(query):
        cost, *counts = (int(value) for value in row[len(keys) :])
        found.append(UsageSum(tuple(row[: len(keys)]), Money(cost), *counts))
    return found


def usage_before(
    connection: Connection, of: Slice, dimensions: Sequence[Dimension], today: date
) -> list[UsageSum] | None:
    """Sum what a slice is compared with, see `Period.before`; None if usage began only later, so that nothing compares."""
    before = replace(of, period=of.period.before(today))
    query = select(func.min(DAYS[0].c.day)).where(DAYS[0].c.organisation == of.organisation)
    began = connection.execute(query).scalar()
    if began is None or began > day_of(before.period.first):
        return None
    return usage_by(connection, before, dimensions)


def usage_statements(which: str, *, among: str = "organisation") -> Iterator[str]:
    """Give the statements that add charges (``c``) for which a condition holds.

    Args:
        which: the condition, in SQL.
        among: only to tables whose sums are told apart by this.
    """
    for name, keys in KEYS.items():
        if among in keys:
            key = ", ".join(_VALUE[column] for column in keys)
            yield (
                f"INSERT INTO {name} ({', '.join(keys)}, {', '.join(SUMS)})"
                f" SELECT {key}, {', '.join(_VALUE[column] for column in SUMS)}"
                " FROM charges c JOIN scopes s ON s.id = c.scope_id JOIN models m ON m.id = c.model_id"
                f" WHERE {which} GROUP BY {key} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET "
                + ", ".join(f"{column} = {name}.{column} + excluded.{column}" for column in SUMS)
            )


def day_of(day: date | datetime) -> int:
    """Give the days since 1970 of a date, or of a moment in UTC."""
    return (day.astimezone(UTC).date() if isinstance(day, datetime) else day).toordinal() - _EPOCH


def resum_employees(sql: Driver, organisation: str, employees: Sequence[str]) -> None:
    """Sum the days of employees anew, as their charges are attributed now.

    Args:
        sql: of the change this is part of.
        organisation: theirs.
        employees: every name from which or to which charges have gone.
    """
    marks = ", ".join("?" * len(employees))
    for name, keys in KEYS.items():
        if "employee" in keys:
            sql.execute(
                f"DELETE FROM {name} WHERE organisation = ? AND employee IN ({marks})", (organisation, *employees)
            )
    which = f"s.organisation = ? AND s.employee IN ({marks}) AND c.seq <= ?"
    for statement in usage_statements(which, among="employee"):
        sql.execute(statement, (organisation, *employees, _cursor(sql)))


def _follow(connection: Connection, limit: int) -> int:
    sql = driver(connection)
    new = _next(sql, limit)
    if not new:
        return 0
    after, through = _cursor(sql), new[-1]
    for statement in usage_statements("c.seq > ? AND c.seq <= ?"):
        sql.execute(statement, (after, through))
    sql.execute(_ADD_SESSIONS, (after, through))
    sql.execute(_CURSOR[0], (FOLLOWER, through))
    of_new = (after, through)
    for (organisation,) in sql.execute(
        "SELECT DISTINCT s.organisation FROM charges c JOIN scopes s ON s.id = c.scope_id WHERE c.seq > ? AND c.seq <= ?",
        of_new,
    ).fetchall():
        signal(connection, f"{USAGE_TOPIC}{organisation}")
    return len(new)


def _next(sql: Driver, limit: int) -> list[int]:
    rows = sql.execute("SELECT seq FROM charges WHERE seq > ? ORDER BY seq LIMIT ?", (_cursor(sql), limit))
    return [int(seq) for (seq,) in rows]


def _cursor(sql: Driver) -> int:
    return int(sql.execute(_CURSOR[1], (FOLLOWER,)).fetchone()[0])
