"""The table of exports, beside `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from p402.collector.storage.tables import metadata

__all__ = ["exports", "metadata"]

_Number = BigInteger().with_variant(Integer, "sqlite")  # as in `tables`

exports = Table(
    "exports",
    metadata,
    Column("id", String, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("key_id", String),  # of the API key that asked; null: somebody on this machine
    Column("request", String, nullable=False),  # JSON
    Column("discloses", Integer, nullable=False),  # 1: it has personal data, or its request has
    Column("state", String, nullable=False, index=True),  # queued, running, done, failed, expired
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("charges_through", _Number, nullable=False),
    Column("log_size", _Number, nullable=False),
    Column("checkpoint", String),
    Column("total", _Number, nullable=False),
    Column("progress", String, nullable=False),  # JSON
    Column("files", String, nullable=False),  # JSON
    Column("problem", String),
    Index("exports_of_organisation", "organisation", "created_at"),
)
