"""The table of comparisons with invoices; the rest is in `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table

from p402.collector.storage.tables import metadata

__all__ = ["reconciliations"]

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", String, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("begin", String, nullable=False),  # first day, ISO 8601
    Column("end", String, nullable=False),  # last day
    Column("time_zone", String, nullable=False),  # that the days are days of
    Column("keys", String, nullable=False),  # JSON: which part of the tree each of the provider's keys pays for
    Column("documents", String, nullable=False),  # JSON: name, SHA-256 and shape of each file; the files are not kept
    Column("totals", String, nullable=False),  # JSON
    Column("rows", String, nullable=False),  # JSON, see api/reconciliation_views.py
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),  # an API key's id; "": somebody on this machine
    Index("reconciliations_of_organisation", "organisation", "created_at"),
)
