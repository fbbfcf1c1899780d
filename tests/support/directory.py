"""The directory of acme: small documents of people, imported as the API does."""

from __future__ import annotations

from sqlalchemy import Connection

from p402.collector.directory.csv_document import read_csv
from p402.collector.storage.directory import import_document
from p402.collector.storage.directory_names import opened_names, rows_of
from p402.collector.storage.directory_plan import Differences
from support.clock import CountingIds
from support.open_books import OpenBooks

__all__ = ["import_csv", "listed", "people_csv"]

_ids = CountingIds()


def people_csv(*lines: str) -> str:
    """People, one ``employee,display_name,department`` a line."""
    return "\n".join(["employee,display_name,department", *lines])


async def import_csv(books: OpenBooks, text: str, *, prune: bool = False, organisation: str = "acme") -> Differences:
    """Import a document."""
    document, now = read_csv(text.encode()), books.clock.now()
    return await books.database.write(
        lambda connection: import_document(
            connection, books.vault, organisation, document, prune=prune, actor="key_1", new_id=_ids, at=now
        )
    )


async def listed(books: OpenBooks, organisation: str = "acme") -> dict[str, tuple[str | None, str | None]]:
    """Name and department of everybody in the directory."""

    def read(connection: Connection) -> dict[str, tuple[str | None, str | None]]:
        rows = rows_of(connection, organisation)
        names = opened_names(books.vault, rows)
        return {row.employee: (names.get(row.employee), row.department) for row in rows}

    return await books.database.read(read)
