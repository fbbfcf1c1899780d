"""The table of evaluations of answers; beside `tables`, and in its words."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from p402.collector.storage.tables import metadata

__all__ = ["evaluations", "metadata"]

_Number = BigInteger().with_variant(Integer, "sqlite")  # as in `tables`

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),  # see `pipeline.evaluate.Evaluation.digest`
    Column("organisation", String, nullable=False),
    Column("key_id", String),
    Column("trace_id", LargeBinary, nullable=False),
    Column(
        "span_key", LargeBinary
    ),  # of the call, as in `charges`; null: its answer's id is known, but not yet its span
    Column("response_id", String),
    Column("name", String, nullable=False),
    Column("evaluator", String, nullable=False),
    Column("score", BigInteger, nullable=False),  # in millionths
    Column("evaluated_at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Index("evaluations_made", "organisation", "evaluated_at"),
)

_UNKNOWN = evaluations.c.span_key.is_(None)
Index("evaluations_unmatched", evaluations.c.recorded_at, sqlite_where=_UNKNOWN, postgresql_where=_UNKNOWN)
