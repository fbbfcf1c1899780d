"""The tables of events, their deliveries, and what is watched for anomalies; beside `tables`, and in its words."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from p402.collector.storage.tables import metadata

__all__ = ["anomalies", "deliveries", "employee_days", "events", "metadata", "session_costs"]

_Number = BigInteger().with_variant(Integer, "sqlite")  # as in `tables`

events = Table(
    "events",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("organisation", String, nullable=False),
    Column("type", String, nullable=False),
    Column("dedupe_key", String, nullable=False),
    Column("payload", String, nullable=False),  # JSON
    Column("at", BigInteger, nullable=False),
    Column("spread_at", BigInteger, index=True),  # when its deliveries were made; null: it is new
    UniqueConstraint("organisation", "type", "dedupe_key"),
    Index("events_of_organisation", "organisation", "seq"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_seq", ForeignKey("events.seq"), primary_key=True),
    Column("channel", String, primary_key=True),  # its name in the configuration
    Column("state", String, nullable=False),  # pending, delivered, failed
    Column("attempts", Integer, nullable=False),  # all there ever were; a result counts only for the newest
    Column("tries_left", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("claimed_until", BigInteger, nullable=False),  # end of the lease of whoever tries; 0: nobody does
    Column("problem", String),
    Column("settled_at", BigInteger),
    Index("deliveries_due", "state", "channel", "due_at"),
)

session_costs = Table(  # of sessions with a priced charge
    "session_costs",
    metadata,
    Column("scope_id", ForeignKey("scopes.id"), primary_key=True, autoincrement=False),
    Column("day", Integer, nullable=False),  # days since 1970, UTC; when the first priced charge began
    Column("cost_nano_usd", BigInteger, nullable=False),
)

employee_days = Table(  # the sessions of each employee, by the day on which they began
    "employee_days",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("employee", String, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("sessions", BigInteger, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
)

anomalies = Table(
    "anomalies",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("scope_id", ForeignKey("scopes.id"), nullable=False),
    Column("rule", String, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),  # of the session, as it is now
    Column("baseline_sessions", BigInteger, nullable=False),
    Column("baseline_cost_nano_usd", BigInteger, nullable=False),  # of all of them
    Column("flagged_at", BigInteger, nullable=False),
    Column("state", String, nullable=False, index=True),  # open, dismissed, confirmed
    Column("reviewed_by", String),  # id of an API key; null with a review: somebody on this machine, without a key
    Column("reviewed_at", BigInteger),
    Column("note", String),
    UniqueConstraint("scope_id", "rule"),
)
