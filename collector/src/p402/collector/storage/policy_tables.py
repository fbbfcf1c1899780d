"""The table of policies; the rest is in `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table

from p402.collector.storage.tables import metadata

__all__ = ["policies"]

policies = Table(  # rows are only added: every change is a new version, and the old ones stay
    "policies",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("department", String, primary_key=True),  # "" is the organisation's default
    Column("version", Integer, primary_key=True),
    Column("definition", String),  # JSON as the API takes it; null: there is no policy from here on
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String),  # id of the API key
    Column("reason", String),
)
