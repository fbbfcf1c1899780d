"""The tables of usage by day and by session, which a follower sums from the charges; beside `tables`, and in its words."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table

from p402.collector.storage.tables import metadata

__all__ = ["metadata", "usage_daily", "usage_sessions"]

usage_daily = Table(
    "usage_daily",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # days since 1970, UTC, on which the call began
    *(
        Column(name, String, primary_key=True)  # "" is the unattributed or unknown one
        for name in ("department", "project", "client", "employee", "provider", "model", "task_type")
    ),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("charges", BigInteger, nullable=False),
    Column("unpriced_charges", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
)

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
