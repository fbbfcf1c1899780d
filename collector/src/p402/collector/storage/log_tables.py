"""Tables of the logs beside entries, nodes and checkpoints, which are in `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table

from p402.collector.storage.tables import metadata

__all__ = ["closed_periods", "log_keys", "logs"]

_Number = BigInteger().with_variant(Integer, "sqlite")

logs = Table(  # where each log ends; it follows from the entries, and saves counting them
    "logs",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("size", _Number, nullable=False),
    Column("last_leaf", LargeBinary, nullable=False),
    Column("edge", LargeBinary, nullable=False),  # roots of the tree's complete subtrees, the largest first
    Column("appended_at", BigInteger, nullable=False, index=True),
)

log_keys = Table(
    "log_keys",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("vkey", String, primary_key=True),
    Column("since_size", _Number, nullable=False),  # of the first checkpoint that it signs
    Column("until_size", _Number),  # of the last one; null: it signs
    Column("sign_until", BigInteger),  # it has a successor, and signs beside it until then
)

closed_periods = Table(
    "closed_periods",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("period", String, primary_key=True),  # 2026-10
    Column("closed_at", BigInteger, nullable=False),
    Column("closed_by", String),  # id of the API key
    Column("charges", BigInteger, nullable=False),
    Column("unpriced_charges", BigInteger, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("through_seq", _Number, nullable=False),
    Column("entry_seq", _Number, nullable=False),  # the log's entry about it
)
