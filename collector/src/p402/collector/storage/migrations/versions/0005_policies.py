"""Policies of departments; charges tell how complex their call was, and what data it was about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "policies",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "department", "version"),
    )
    op.add_column("charges", sa.Column("complexity", sa.Integer(), nullable=True))
    op.add_column("charges", sa.Column("data_class", sa.String(), nullable=True))
