"""Every table, once. The migrations create them; a test compares the two.

Times are UTC milliseconds since 1970, amounts whole nano-USD, hashes raw bytes. Missing levels are empty strings in
``scopes``, so that a scope is unique.
"""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from p402.vocabulary import Usage

__all__ = [
    "api_keys",
    "charges",
    "checkpoints",
    "closings",
    "cursors",
    "disclosures",
    "leaders",
    "log_entries",
    "log_nodes",
    "metadata",
    "models",
    "price_books",
    "receipts",
    "scopes",
    "sessions",
    "set_aside",
    "span_links",
    "spend_hourly",
]

metadata = MetaData()

_Number = BigInteger().with_variant(Integer, "sqlite")
"""Numbers rows in their order, and counts them: 64 bits everywhere. In SQLite only INTEGER numbers by itself."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False, unique=True),
    Column("scopes", String, nullable=False),  # separated by spaces
    *(
        Column(level, String)  # what the key is bound to
        for level in ("organisation", "department", "project", "client", "employee")
    ),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# --- the ledger

scopes = Table(
    "scopes",
    metadata,
    Column("id", _Number, primary_key=True),
    *(
        Column(level, String, nullable=False)
        for level in ("organisation", "department", "project", "client", "employee", "session")
    ),
    UniqueConstraint("organisation", "session", "employee", "client", "project", "department"),
    *(Index(f"scopes_of_{level}", "organisation", level) for level in ("department", "project", "client", "employee")),
    Index("scopes_of_session", "organisation", "session", postgresql_ops={"session": "text_pattern_ops"}),
)

models = Table(
    "models",
    metadata,
    Column("id", _Number, primary_key=True),
    *(Column(name, String, nullable=False) for name in ("provider", "operation", "request_model", "response_model")),
    UniqueConstraint("provider", "operation", "request_model", "response_model"),
)

price_books = Table(
    "price_books",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("book", String, nullable=False),
    Column("sha256", String, nullable=False),
    UniqueConstraint("book", "sha256"),
)

charges = Table(
    "charges",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("span_key", LargeBinary, nullable=False, unique=True),  # trace id and span id, 24 bytes
    Column("call_key", LargeBinary, unique=True),  # the provider's answer, whoever reports it; see pipeline/price.py
    Column("parent_span_id", LargeBinary),
    Column("scope_id", ForeignKey("scopes.id"), nullable=False),
    Column("model_id", ForeignKey("models.id"), nullable=False),
    Column("price_book_id", ForeignKey("price_books.id")),
    Column("key_id", String),
    Column("verified_through", String),
    Column("request", String, nullable=False),
    Column("response_id", String),
    Column("recorded_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    *(Column(field.name, Integer, nullable=False) for field in fields(Usage)),
    Column("usage_source", String, nullable=False),
    Column("cost_nano_usd", BigInteger),  # null: unpriced, with the reason beside it
    Column("unpriced_reason", String),
    Column("rationale", String),
    Column("task_type", String),
    Column("service_tier", String),
    Column("lease_id", String),  # under which hold the call was made
    Column("verdict", String),
    Column("complexity", Integer),
    Column("data_class", String),
    Column("original_model", String),  # that the application asked for, where another was called
    Column("first_chunk_ms", Integer),
    Index("charges_of_scope", "scope_id", "seq"),
    Index("charges_begun", "started_at"),  # for months and days: statements, comparisons, dry runs on history
)

_INSIDE = charges.c.parent_span_id.is_not(None)
Index("charges_inside", charges.c.parent_span_id, sqlite_where=_INSIDE, postgresql_where=_INSIDE)

_MOVED = charges.c.original_model.is_not(None)
Index("charges_moved", charges.c.started_at, sqlite_where=_MOVED, postgresql_where=_MOVED)

_UNDER_LEASE = charges.c.lease_id.is_not(None)
Index("charges_of_lease", charges.c.lease_id, sqlite_where=_UNDER_LEASE, postgresql_where=_UNDER_LEASE)

set_aside = Table(
    "set_aside",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("span_key", LargeBinary, nullable=False),
    Column("organisation", String, nullable=False),
    Column("reason", String, nullable=False),  # duplicate, quarantined, no_usage
    Column("charge_seq", ForeignKey("charges.seq")),
    Column("detail", String, nullable=False),  # usage and model as JSON; no content
    Column("recorded_at", BigInteger, nullable=False),
    UniqueConstraint("span_key", "reason", "detail"),
)

span_links = Table(  # see lineage.py; rows last for an hour
    "span_links",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("span", LargeBinary, nullable=False, unique=True),  # 8 bytes of sender and trace, 8 of span id
    Column("parent", LargeBinary, index=True),  # the same way
    Column("charge_seq", _Number),  # the charge whose call this span reports
    Column("scope", String),  # who reports it
    Column("recorded_at", BigInteger, nullable=False),
)

spend_hourly = Table(
    "spend_hourly",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("level", String, primary_key=True),
    Column("node", String, primary_key=True),  # "" is the unattributed one
    Column("hour", Integer, primary_key=True),  # hours since 1970, UTC
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("charges", Integer, nullable=False),
    Column("unpriced_charges", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
)

cursors = Table(
    "cursors",
    metadata,
    Column("follower", String, primary_key=True),
    Column("seq", _Number, nullable=False),
)

# --- sessions, their receipts, and the log of each organisation

sessions = Table(
    "sessions",
    metadata,
    Column("scope_id", ForeignKey("scopes.id"), primary_key=True),
    Column("opened_at", BigInteger, nullable=False),  # of the part that is open now
    Column("last_seen_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, index=True),  # when the open part is to be sealed; null: no part is open
    Column("sealed_through_seq", _Number, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("first_receipt_id", String),
)

closings = Table(
    "closings",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("session", String, primary_key=True),
    Column("requested_at", BigInteger, nullable=False),
)

log_entries = Table(
    "log_entries",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("seq", _Number, primary_key=True),
    Column("type", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

log_nodes = Table(
    "log_nodes",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("position", _Number, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("size", _Number, primary_key=True),
    Column("note", String, nullable=False),
    Column("signed_at", BigInteger, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", String, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("seq", _Number, nullable=False),
    Column("scope_id", ForeignKey("scopes.id"), nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("settlement_id", ForeignKey("settlements.id")),  # the one that anchored it
    UniqueConstraint("organisation", "seq"),
    Index("receipts_of_scope", "scope_id", "seq"),
    Index("receipts_issued", "organisation", "issued_at", "seq"),
)

_UNANCHORED = receipts.c.settlement_id.is_(None)
Index(
    "receipts_unanchored",
    receipts.c.organisation,
    receipts.c.seq,
    sqlite_where=_UNANCHORED,
    postgresql_where=_UNANCHORED,
)

disclosures = Table(
    "disclosures",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("receipt_id", ForeignKey("receipts.id"), nullable=False, index=True),
    Column("disclosure", String, nullable=False),
)

leaders = Table(
    "leaders",
    metadata,
    Column("task", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("until", BigInteger, nullable=False),
)
