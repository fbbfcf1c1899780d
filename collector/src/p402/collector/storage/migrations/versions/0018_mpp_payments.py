"""Payees that speak MPP are asked how they are to be paid, and shown that they were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "mpp_payments",
        sa.Column("settlement_id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("challenge", sa.String(), nullable=True),
        sa.Column("memo", sa.LargeBinary(), nullable=True),
        sa.Column("asked", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("try_at", sa.BigInteger(), nullable=True),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("receipt", sa.String(), nullable=True),
        sa.Column("refusal", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["settlement_id"], ["settlements.id"]),
        sa.PrimaryKeyConstraint("settlement_id"),
        sa.UniqueConstraint("memo"),
    )
    open_ones = sa.text("confirmed_at IS NULL")
    op.create_index(
        "mpp_payments_unconfirmed", "mpp_payments", ["try_at"], sqlite_where=open_ones, postgresql_where=open_ones
    )
