"""Evaluations of answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("trace_id", sa.LargeBinary(), nullable=False),
        sa.Column("span_key", sa.LargeBinary(), nullable=True),
        sa.Column("response_id", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("evaluator", sa.String(), nullable=False),
        sa.Column("score", sa.BigInteger(), nullable=False),
        sa.Column("evaluated_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("evaluations_made", "evaluations", ["organisation", "evaluated_at"])
    unknown = sa.text("span_key IS NULL")
    op.create_index(
        "evaluations_unmatched", "evaluations", ["recorded_at"], sqlite_where=unknown, postgresql_where=unknown
    )
