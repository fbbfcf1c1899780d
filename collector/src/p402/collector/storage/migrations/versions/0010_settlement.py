"""Settlements share transactions, fail for reasons, cost fees; what is paid elsewhere, and what the chain says of all that."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_USUAL_PRICE = 24_000_000_000  # of gas, in what was signed before


def upgrade() -> None:
    _make_transactions()
    _change_settlements()
    op.create_index(
        "receipts_unanchored",
        "receipts",
        ["organisation", "seq"],
        sqlite_where=sa.text("settlement_id IS NULL"),
        postgresql_where=sa.text("settlement_id IS NULL"),
    )
    op.create_table(
        "payments_elsewhere",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("amount_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("settlement_id", sa.String(), nullable=True),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.Column("noted_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["settlement_id"], ["settlements.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organisation", "kind", "reference"),
    )
    op.create_table(
        "flushes",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("organisation"),
    )
    op.create_table(
        "chain_checks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("payer", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("first_block", sa.BigInteger(), nullable=False),
        sa.Column("last_block", sa.BigInteger(), nullable=False),
        sa.Column("transfers", sa.BigInteger(), nullable=False),
        sa.Column("settlements", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("chain_checks_of_payer", "chain_checks", ["chain_id", "payer", "token", "last_block"])
    op.create_table(
        "discrepancies",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=True),
        sa.Column("settlement_id", sa.String(), nullable=True),
        sa.Column("tx_hash", sa.String(), nullable=True),
        sa.Column("memo", sa.LargeBinary(), nullable=False),
        sa.Column("problem", sa.String(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["settlement_id"], ["settlements.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "place"),
    )


def _make_transactions() -> None:
    op.create_table(
        "settlement_transactions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("payer", sa.String(), nullable=False),
        sa.Column("nonce_key", sa.String(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("valid_before", sa.BigInteger(), nullable=False),
        sa.Column("max_fee_per_gas", sa.BigInteger(), nullable=False),
        sa.Column("signed_at_block", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("fee_micro_usd", sa.BigInteger(), nullable=True),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "settlement_transactions_under_way",
        "settlement_transactions",
        ["nonce_key"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _change_settlements() -> None:
    op.execute("ALTER TABLE settlements RENAME COLUMN final_at TO ended_at")
    op.execute(
        "ALTER TABLE settlements ADD COLUMN transaction_id VARCHAR REFERENCES settlement_transactions (id)"
    )  # alembic cannot add a reference in SQLite
    for name in ("in_doubt", "alone"):
        op.add_column("settlements", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("settlements", sa.Column("failure", sa.String(), nullable=True))
    for name in ("fee_micro_usd", "receipts", "first_issued_at"):
        op.add_column("settlements", sa.Column(name, sa.BigInteger(), nullable=True))
    _move_what_was_signed()
    for name in ("nonce_key", "nonce", "valid_before", "signed_at_block", "raw_transaction"):
        op.drop_column("settlements", name)
    op.create_index("ix_settlements_transaction_id", "settlements", ["transaction_id"])
    op.create_index("settlements_of_block", "settlements", ["block_number"])
    op.create_index(
        "settlements_under_way",
        "settlements",
        ["planned_at"],
        sqlite_where=sa.text("state IN ('planned', 'signed')"),
        postgresql_where=sa.text("state IN ('planned', 'signed')"),
    )


def _move_what_was_signed() -> None:
    connection = op.get_bind()
    connection.execute(sa.text("UPDATE settlements SET failure = 'reverted' WHERE state = 'failed'"))
    signed = connection.execute(sa.text("SELECT * FROM settlements WHERE raw_transaction IS NOT NULL")).mappings().all()
    for row in signed:
        statement = json.loads(row["statement"])
        under_way = row["state"] == "signed"
        values = {
            "id": f"stx_{row['id'].removeprefix('stl_')}",
            "chain_id": statement["chain_id"],
            "payer": statement["payer"],
            "nonce_key": row["nonce_key"],
            "nonce": row["nonce"],
            "valid_before": row["valid_before"],
            "max_fee_per_gas": _USUAL_PRICE,
            "signed_at_block": row["signed_at_block"],
            "attempt": 1,
            "raw": row["raw_transaction"],
            "tx_hash": row["tx_hash"],
            "signed_at": row["planned_at"],
            "ended_at": None if under_way else row["ended_at"] or row["planned_at"],
        }
        names = ", ".join(values)
        insert = f"INSERT INTO settlement_transactions ({names}) VALUES ({', '.join(f':{name}' for name in values)})"
        connection.execute(sa.text(insert), values)
        connection.execute(
            sa.text("UPDATE settlements SET transaction_id = :transaction WHERE id = :id"),
            {"transaction": values["id"], "id": row["id"]},
        )
