"""Usage by day is also summed by few things, so that pages of thousands of people read few rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    sums = ("cost_nano_usd", "charges", "unpriced_charges", "input_tokens", "output_tokens", "cache_read_tokens")
    for table, names in (
        ("usage_work_daily", ("department", "provider", "model", "task_type")),
        ("usage_people_daily", ("department", "employee")),
    ):
        op.create_table(
            table,
            sa.Column("organisation", sa.String(), nullable=False),
            sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
            *(sa.Column(name, sa.String(), nullable=False) for name in names),
            *(sa.Column(name, sa.BigInteger(), nullable=False) for name in sums),
            sa.PrimaryKeyConstraint("organisation", "day", *names),
        )
        keys = ", ".join(("organisation", "day", *names))
        op.execute(
            f"INSERT INTO {table} ({keys}, {', '.join(sums)})"
            f" SELECT {keys}, {', '.join(f'SUM({name})' for name in sums)} FROM usage_daily GROUP BY {keys}"
        )
