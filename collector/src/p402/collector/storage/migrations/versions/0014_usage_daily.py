"""Usage by day, owner, model and task type. It is summed from the charges, those of before included, by its follower."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    names = ("department", "project", "client", "employee", "provider", "model", "task_type")
    sums = (
        "cost_nano_usd",
        "charges",
        "unpriced_charges",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
    )
    op.create_table(
        "usage_daily",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in names),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in sums),
        sa.PrimaryKeyConstraint("organisation", "day", *names),
    )
