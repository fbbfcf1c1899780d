"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=True),
        sa.Column("department", sa.String(), nullable=True),
        sa.Column("project", sa.String(), nullable=True),
        sa.Column("client", sa.String(), nullable=True),
        sa.Column("employee", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_sha256"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "size"),
    )
    op.create_table(
        "closings",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "session"),
    )
    op.create_table(
        "cursors",
        sa.Column("follower", sa.String(), nullable=False),
        sa.Column("seq", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("follower"),
    )
    op.create_table(
        "lanes",
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("payer", sa.String(), nullable=False),
        sa.Column("nonce_key", sa.String(), nullable=False),
        sa.Column("next_nonce", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "payer", "nonce_key"),
    )
    op.create_table(
        "log_entries",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "seq"),
    )
    op.create_table(
        "log_nodes",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("position", NUMBER, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "level", "position"),
    )
    op.create_table(
        "models",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("request_model", sa.String(), nullable=False),
        sa.Column("response_model", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider", "operation", "request_model", "response_model"),
    )
    op.create_table(
        "price_books",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("book", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("book", "sha256"),
    )
    op.create_table(
        "scopes",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("employee", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organisation", "session", "employee", "client", "project", "department"),
    )
    op.create_table(
        "settlements",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("checkpoint_size", NUMBER, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("memo", sa.LargeBinary(), nullable=False),
        sa.Column("nonce_key", sa.String(), nullable=True),
        sa.Column("nonce", sa.BigInteger(), nullable=True),
        sa.Column("valid_before", sa.BigInteger(), nullable=True),
        sa.Column("signed_at_block", sa.BigInteger(), nullable=True),
        sa.Column("raw_transaction", sa.LargeBinary(), nullable=True),
        sa.Column("tx_hash", sa.String(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.String(), nullable=True),
        sa.Column("block_timestamp", sa.BigInteger(), nullable=True),
        sa.Column("log_index", sa.Integer(), nullable=True),
        sa.Column("planned_at", sa.BigInteger(), nullable=False),
        sa.Column("final_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("memo"),
    )
    with op.batch_alter_table("settlements", schema=None) as batch_op:
        batch_op.create_index("settlements_of_organisation", ["organisation", "planned_at"], unique=False)

    op.create_table(
        "span_links",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("span", sa.LargeBinary(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=True),
        sa.Column("charge_seq", NUMBER, nullable=True),
        sa.Column("scope", sa.String(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("span"),
    )
    with op.batch_alter_table("span_links", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_span_links_parent"), ["parent"], unique=False)

    op.create_table(
        "spend_hourly",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("charges", sa.Integer(), nullable=False),
        sa.Column("unpriced_charges", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "level", "node", "hour"),
    )
    op.create_table(
        "charges",
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("span_key", sa.LargeBinary(), nullable=False),
        sa.Column("call_key", sa.LargeBinary(), nullable=True),
        sa.Column("parent_span_id", sa.LargeBinary(), nullable=True),
        sa.Column("scope_id", NUMBER, nullable=False),
        sa.Column("model_id", NUMBER, nullable=False),
        sa.Column("price_book_id", NUMBER, nullable=True),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("verified_through", sa.String(), nullable=True),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("response_id", sa.String(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cache_read_input_tokens", sa.Integer(), nullable=False),
        sa.Column("cache_write_input_tokens", sa.Integer(), nullable=False),
        sa.Column("cache_write_1h_input_tokens", sa.Integer(), nullable=False),
        sa.Column("reasoning_output_tokens", sa.Integer(), nullable=False),
        sa.Column("audio_input_tokens", sa.Integer(), nullable=False),
        sa.Column("audio_output_tokens", sa.Integer(), nullable=False),
        sa.Column("audio_cache_read_input_tokens", sa.Integer(), nullable=False),
        sa.Column("image_input_tokens", sa.Integer(), nullable=False),
        sa.Column("image_output_tokens", sa.Integer(), nullable=False),
        sa.Column("usage_source", sa.String(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("unpriced_reason", sa.String(), nullable=True),
        sa.Column("rationale", sa.String(), nullable=True),
        sa.Column("task_type", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["models.id"],
        ),
        sa.ForeignKeyConstraint(
            ["price_book_id"],
            ["price_books.id"],
        ),
        sa.ForeignKeyConstraint(
            ["scope_id"],
            ["scopes.id"],
        ),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("call_key"),
        sa.UniqueConstraint("span_key"),
    )
    with op.batch_alter_table("charges", schema=None) as batch_op:
        batch_op.create_index(
            "charges_inside",
            ["parent_span_id"],
            unique=False,
            sqlite_where=sa.text("parent_span_id IS NOT NULL"),
            postgresql_where=sa.text("parent_span_id IS NOT NULL"),
        )
        batch_op.create_index("charges_of_scope", ["scope_id", "seq"], unique=False)

    op.create_table(
        "receipts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("scope_id", NUMBER, nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("settlement_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["scope_id"],
            ["scopes.id"],
        ),
        sa.ForeignKeyConstraint(
            ["settlement_id"],
            ["settlements.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organisation", "seq"),
    )
    op.create_table(
        "sessions",
        sa.Column("scope_id", NUMBER, nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("sealed_through_seq", NUMBER, nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("first_receipt_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["scope_id"],
            ["scopes.id"],
        ),
        sa.PrimaryKeyConstraint("scope_id"),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_due_at"), ["due_at"], unique=False)

    op.create_table(
        "disclosures",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("receipt_id", sa.String(), nullable=False),
        sa.Column("disclosure", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["receipt_id"],
            ["receipts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("disclosures", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_disclosures_receipt_id"), ["receipt_id"], unique=False)

    op.create_table(
        "set_aside",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("span_key", sa.LargeBinary(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("charge_seq", NUMBER, nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["charge_seq"],
            ["charges.seq"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("span_key", "reason", "detail"),
    )
