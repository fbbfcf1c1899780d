"""Sessions and receipts are listed by time and cost without reading all of them; charges say what was asked for at first.

Usage is summed anew by its follower, which now sums sessions beside days.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "usage_sessions",
        sa.Column(
            "scope_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("organisation", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in (
                "first_at",
                "last_at",
                "cost_nano_usd",
                "charges",
                "unpriced_charges",
                "input_tokens",
                "output_tokens",
            )
        ),
        sa.ForeignKeyConstraint(["scope_id"], ["scopes.id"]),
        sa.PrimaryKeyConstraint("scope_id"),
    )
    op.create_index("usage_sessions_newest", "usage_sessions", ["organisation", "last_at", "scope_id"])
    op.create_index("usage_sessions_dearest", "usage_sessions", ["organisation", "cost_nano_usd", "scope_id"])
    for level in ("department", "project", "client", "employee"):
        op.create_index(f"scopes_of_{level}", "scopes", ["organisation", level])
    op.create_index(
        "scopes_of_session", "scopes", ["organisation", "session"], postgresql_ops={"session": "text_pattern_ops"}
    )
    op.create_index("receipts_issued", "receipts", ["organisation", "issued_at", "seq"])
    op.add_column("charges", sa.Column("original_model", sa.String(), nullable=True))
    op.add_column("charges", sa.Column("first_chunk_ms", sa.Integer(), nullable=True))
    op.execute("DELETE FROM usage_daily")
    op.execute("DELETE FROM cursors WHERE follower = 'usage'")
