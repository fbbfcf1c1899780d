"""Where each log ends, which keys sign it, and which periods are closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "logs",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("last_leaf", sa.LargeBinary(), nullable=False),
        sa.Column("edge", sa.LargeBinary(), nullable=False),
        sa.Column("appended_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation"),
    )
    op.create_index("ix_logs_appended_at", "logs", ["appended_at"])
    op.create_table(
        "log_keys",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("vkey", sa.String(), nullable=False),
        sa.Column("since_size", NUMBER, nullable=False),
        sa.Column("until_size", NUMBER, nullable=True),
        sa.Column("sign_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "vkey"),
    )
    op.create_table(
        "closed_periods",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_by", sa.String(), nullable=True),
        sa.Column("charges", sa.BigInteger(), nullable=False),
        sa.Column("unpriced_charges", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("through_seq", NUMBER, nullable=False),
        sa.Column("entry_seq", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "period"),
    )
    _note_where_logs_end(op.get_bind())


def _note_where_logs_end(connection: sa.Connection) -> None:
    ends = connection.execute(
        sa.text("SELECT organisation, max(size) AS size, max(signed_at) AS at FROM checkpoints GROUP BY organisation")
    ).all()
    node = sa.text("SELECT hash FROM log_nodes WHERE organisation = :log AND level = :level AND position = :position")
    for log, size, at in ends:

        def read(level: int, position: int, log: str = log) -> bytes:
            place = {"log": log, "level": level, "position": position}
            return bytes(connection.execute(node, place).scalar_one())

        levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
        connection.execute(
            sa.text("INSERT INTO logs VALUES (:organisation, :size, :last_leaf, :edge, :appended_at)"),
            {
                "organisation": log,
                "size": size,
                "last_leaf": read(0, size - 1),
                "edge": b"".join(read(level, (size >> level) - 1) for level in levels),
                "appended_at": at,
            },
        )
