"""The tables of usage by day and by session, which a follower sums from the charges; beside `tables`, and in its words.

Days are summed three times over: by everything, and by few things, of which there are few rows however many people call.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table

from p402.collector.storage.tables import metadata

__all__ = ["DAYS", "KEYS", "SUMS", "metadata", "usage_daily", "usage_sessions"]

SUMS = ("cost_nano_usd", "charges", "unpriced_charges", "input_tokens", "output_tokens", "cache_read_tokens")
"""What is summed, in every table of days."""


def _days_by(name: str, *keys: str) -> Table:
    return Table(
        name,
        metadata,
        Column("organisation", String, primary_key=True),
        Column("day", Integer, primary_key=True, autoincrement=False),  # days since 1970, UTC, on which the call began
        *(Column(key, String, primary_key=True) for key in keys),  # "" is the unattributed, unknown or unasked one
        *(Column(name, BigInteger, nullable=False) for name in SUMS),
    )


usage_daily = _days_by(
    "usage_daily", "department", "project", "client", "employee", "provider", "model", "task_type", "verdict"
)
DAYS = (
    _days_by("usage_work_daily", "department", "provider", "model", "task_type", "verdict"),
    _days_by("usage_people_daily", "department", "employee"),
    usage_daily,
)
"""The tables of days, those with the fewest rows first."""

KEYS = {days.name: tuple(column.name for column in days.primary_key) for days in DAYS}
"""What the sums of each are told apart by."""

usage_sessions = Table(  # of calls that name a session
    "usage_sessions",
    metadata,
    Column("scope_id", ForeignKey("scopes.id"), primary_key=True, autoincrement=False),
    Column("organisation", String, nullable=False),
    Column("first_at", BigInteger, nullable=False),  # when its first call began
    Column("last_at", BigInteger, nullable=False),  # and its last call
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("charges", BigInteger, nullable=False),
    Column("unpriced_charges", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Index("usage_sessions_newest", "organisation", "last_at", "scope_id"),
    Index("usage_sessions_dearest", "organisation", "cost_nano_usd", "scope_id"),
)
