"""Events and their deliveries; what sessions cost, and those to be reviewed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("dedupe_key", sa.String(), nullable=False),
        sa.Column("payload", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("spread_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("organisation", "type", "dedupe_key"),
    )
    op.create_index("events_of_organisation", "events", ["organisation", "seq"])
    op.create_index("ix_events_spread_at", "events", ["spread_at"])
    op.create_table(
        "deliveries",
        sa.Column("event_seq", NUMBER, nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tries_left", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["event_seq"], ["events.seq"]),
        sa.PrimaryKeyConstraint("event_seq", "channel"),
    )
    op.create_index("deliveries_due", "deliveries", ["state", "channel", "due_at"])
    op.create_table(
        "session_costs",
        sa.Column("scope_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["scope_id"], ["scopes.id"]),
        sa.PrimaryKeyConstraint("scope_id"),
    )
    op.create_table(
        "employee_days",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("employee", sa.String(), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "employee", "day"),
    )
    op.create_table(
        "anomalies",
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("scope_id", NUMBER, nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("baseline_sessions", sa.BigInteger(), nullable=False),
        sa.Column("baseline_cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("flagged_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reviewed_by", sa.String(), nullable=True),
        sa.Column("reviewed_at", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["scope_id"], ["scopes.id"]),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("scope_id", "rule"),
    )
    op.create_index("ix_anomalies_state", "anomalies", ["state"])
