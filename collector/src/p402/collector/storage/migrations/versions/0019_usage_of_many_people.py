"""Usage by day knows verdicts, and is also summed by few things, so that pages of thousands of people read few rows.

It is summed anew by its follower. Calls that were moved to another model are found without reading the others.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    sums = ("cost_nano_usd", "charges", "unpriced_charges", "input_tokens", "output_tokens", "cache_read_tokens")
    op.drop_table("usage_daily")
    for table, names in (
        ("usage_work_daily", ("department", "provider", "model", "task_type", "verdict")),
        ("usage_people_daily", ("department", "employee")),
        (
            "usage_daily",
            ("department", "project", "client", "employee", "provider", "model", "task_type", "verdict"),
        ),
    ):
        op.create_table(
            table,
            sa.Column("organisation", sa.String(), nullable=False),
            sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
            *(sa.Column(name, sa.String(), nullable=False) for name in names),
            *(sa.Column(name, sa.BigInteger(), nullable=False) for name in sums),
            sa.PrimaryKeyConstraint("organisation", "day", *names),
        )
    op.execute("DELETE FROM usage_sessions")
    op.execute("DELETE FROM cursors WHERE follower = 'usage'")
    moved = sa.text("original_model IS NOT NULL")
    op.create_index("charges_moved", "charges", ["started_at"], sqlite_where=moved, postgresql_where=moved)
