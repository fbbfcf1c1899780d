"""Which kind of document it is that somebody sends (pure)."""

from __future__ import annotations

from p402.collector.directory.csv_document import read_csv
from p402.collector.directory.entries import Document
from p402.collector.directory.scim_document import EmployeeFrom, read_scim

__all__ = ["CSV", "JSON", "SCIM", "read_document"]

CSV, SCIM, JSON = "text/csv", "application/scim+json", "application/json"
"""The media types of documents."""


def read_document(data: bytes, media_type: str, employee_from: EmployeeFrom) -> Document:
    """Read a document of the directory.

    Raises:
        DocumentUnusable: naming the place of all that is wrong.
    """
    return read_csv(data) if media_type == CSV else read_scim(data, employee_from)
