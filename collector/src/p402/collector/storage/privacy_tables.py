"""The tables of personal data: the vault, erasures, legal holds, reviews, and who read what; beside `tables`.

Times are UTC milliseconds. A *place* is a keyed digest of a name (`privacy.vault_keys.VaultKeys.locate`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from p402.collector.storage.tables import metadata

__all__ = [
    "access_log",
    "erasures",
    "holds",
    "metadata",
    "receipt_reviews",
    "subjects",
    "suppressions",
    "vault",
]

_Number = BigInteger().with_variant(Integer, "sqlite")  # as in `tables`

subjects = Table(  # whom disclosures are about; without its key they are noise
    "subjects",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("place", LargeBinary, nullable=False, unique=True),
    Column("wrapped_key", LargeBinary, nullable=False),
)

vault = Table(
    "vault",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("seq", _Number),  # the entry of the log that commits to it; null: a row of the access log does
    Column("digest", String, nullable=False, unique=True),
    Column("name", String, nullable=False),  # of the field: employee, session_id, reviewer, …
    Column("subject_id", ForeignKey("subjects.id"), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Index("vault_of_entry", "organisation", "seq"),
)

suppressions = Table(  # names that come back as pseudonyms
    "suppressions",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("kind", String, nullable=False),  # person, session
    Column("place", LargeBinary, nullable=False, unique=True),
    Column("pseudonym", String, nullable=False),
    Column("erasure_id", String, nullable=False),
    Column("made_at", BigInteger, nullable=False),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("place", LargeBinary, nullable=False, unique=True),
    Column("pseudonym", String, nullable=False),
    Column("legal_basis", String, nullable=False),
    Column("key_id", String),  # of whoever asked
    Column("requested_at", BigInteger, nullable=False),
    Column("state", String, nullable=False),  # sweeping, held, done
    Column("erased", BigInteger, nullable=False),  # disclosures
    Column("held_back", BigInteger, nullable=False),  # disclosures
    Column("matters", String, nullable=False),  # JSON: of the holds that keep the rest
    Column("seq", _Number),  # of its first entry in the log
    Column("work", LargeBinary),  # names that are still to be replaced, encrypted; null when that is done
    Column("scrubbed_at", BigInteger),  # when freed pages of the database were overwritten
    Index("erasures_of_organisation", "organisation", "requested_at"),
)

holds = Table(
    "holds",
    metadata,
    Column("id", String, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("matter", String, nullable=False),
    Column("department", String),
    Column("project", String),
    Column("client", String),
    Column("person", LargeBinary),  # place of the employee
    Column("session", LargeBinary),  # place of the session
    Column("begins_at", BigInteger),
    Column("ends_at", BigInteger),
    Column("placed_at", BigInteger, nullable=False),
    Column("placed_seq", _Number, nullable=False),  # its entries in the log
    Column("released_at", BigInteger),
    Column("released_seq", _Number),
    Index("holds_of_organisation", "organisation", "placed_at"),
)

receipt_reviews = Table(  # a row is one step of a review
    "receipt_reviews",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("review_id", String, nullable=False),
    Column("organisation", String, nullable=False),
    Column("receipt_id", String, nullable=False, index=True),
    Column("action", String, nullable=False),
    Column("self_review", Boolean, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("key_id", String),
    Column("seq", _Number, nullable=False),  # of its entry in the log
    Index("receipt_reviews_of_entry", "organisation", "seq"),
)

access_log = Table(
    "access_log",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("number", _Number, primary_key=True, autoincrement=False),  # from 1, without gaps
    Column("at", BigInteger, nullable=False),
    Column("key_id", String),
    Column(
        "who", String
    ),  # digest of the reader's name, which is in the vault; null: the key is nobody's in particular
    Column("what", String, nullable=False),  # the endpoint
    Column("items", String, nullable=False),  # JSON: ids of receipts, or first and last
    Column("count", Integer, nullable=False),
    Column("seq", _Number),  # of the entry of the log that covers the row
)

_IN_NO_ENTRY = access_log.c.seq.is_(None)
Index(
    "access_log_open",
    access_log.c.organisation,
    access_log.c.number,
    sqlite_where=_IN_NO_ENTRY,
    postgresql_where=_IN_NO_ENTRY,
)
