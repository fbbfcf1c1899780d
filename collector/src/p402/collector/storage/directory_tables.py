"""The tables of the directory, beside `tables`: people, each name sealed under the person's own key, and departments."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, String, Table, UniqueConstraint

from p402.collector.storage.tables import metadata

__all__ = ["departments", "metadata", "people"]

departments = Table(
    "departments",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("department", String, primary_key=True),
    Column("display_name", String),
)

people = Table(
    "people",
    metadata,
    Column("id", String, primary_key=True),  # by which the access log names whose name was read
    Column("organisation", String, nullable=False),
    Column("employee", String, nullable=False),
    Column("department", String),
    Column("active", Boolean, nullable=False),
    Column("subject_id", ForeignKey("subjects.id"), index=True),  # under whose key the name is; null: there is no name
    Column("sealed", LargeBinary),  # what people call them
    UniqueConstraint("organisation", "employee"),
    Index("people_of_department", "organisation", "department"),
)
