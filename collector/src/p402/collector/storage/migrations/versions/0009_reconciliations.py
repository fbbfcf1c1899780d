"""Comparisons of the ledger with providers' invoices; charges are found by when their call began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("begin", sa.String(), nullable=False),
        sa.Column("end", sa.String(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("keys", sa.String(), nullable=False),
        sa.Column("documents", sa.String(), nullable=False),
        sa.Column("totals", sa.String(), nullable=False),
        sa.Column("rows", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("reconciliations_of_organisation", "reconciliations", ["organisation", "created_at"])
    op.create_index("charges_begun", "charges", ["started_at"])
