"""The table of the sessions of people at the pages, beside `tables`. Sessions of LLM calls are another thing."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, String, Table

from p402.collector.storage.tables import metadata

__all__ = ["metadata", "web_sessions"]

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("key_id", ForeignKey("api_keys.id"), index=True),  # what it stands for: a key …
    Column("role", String),  # … or somebody whom the identity provider knows, with what they are here
    Column("subject", String),  # who they are there
    Column("known_as", String),  # who they are here
    Column("name", String),  # for people to read; that of a key is read from the key
    *(Column(level, String) for level in ("organisation", "department", "employee")),  # what it is bound to
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),  # to the minute
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index("web_sessions_of_organisation", "organisation"),
)
