"""The tables of spans that wait to be sent on; the rest is in `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table

from p402.collector.storage.tables import metadata

__all__ = ["forward_batches", "forward_places"]

_Number = BigInteger().with_variant(Integer, "sqlite")

forward_batches = Table(
    "forward_batches",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),  # of the request: one that is sent again waits once
    Column("spans", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("body", LargeBinary),  # OTLP without content; null: every backend has it, and only the digest is remembered
    Column("recorded_at", BigInteger, nullable=False),
)

forward_places = Table(
    "forward_places",
    metadata,
    Column("backend", String, primary_key=True),
    Column("seq", _Number, nullable=False),  # of the last batch that it has
)
