"""Ids of what repeats from charge to charge: scopes, models, price books.

Looked up once and remembered. What was remembered inside a change that is undone must be forgotten with it.
"""

from __future__ import annotations

from p402.collector.storage.driver import Driver
from p402.vocabulary import Attribution, Charge, PriceReference

__all__ = ["Interned"]

_MAX_REMEMBERED = 100_000  # attribution comes from outside; the memory for it is bounded

_SCOPE = ("scopes", ("organisation", "department", "project", "client", "employee", "session"))
_MODEL = ("models", ("provider", "operation", "request_model", "response_model"))
_PRICE_BOOK = ("price_books", ("book", "sha256"))


class Interned:
    """A memory of ids; used by the writer only."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, ...], int] = {}

    def forget(self) -> None:
        """Forget everything; the database is asked again."""
        self._ids.clear()

    def scope(self, driver: Driver, attribution: Attribution) -> int:
        """Give the id of an attribution."""
        return self._id(driver, *_SCOPE, tuple(value or "" for _, value in attribution))

    def model(self, driver: Driver, charge: Charge) -> int:
        """Give the id of a provider, operation, requested and answering model."""
        models = (charge.request_model or "", charge.response_model or "")
        return self._id(driver, *_MODEL, (charge.provider, charge.operation, *models))

    def price_book(self, driver: Driver, price: PriceReference) -> int:
        """Give the id of a price book."""
        return self._id(driver, *_PRICE_BOOK, (price.book, price.sha256))

    def _id(self, driver: Driver, table: str, columns: tuple[str, ...], values: tuple[str, ...]) -> int:
        known = self._ids.get((table, *values))
        if known is not None:
            return known
        driver.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            " ON CONFLICT DO NOTHING",
            values,
        )
        where = " AND ".join(f"{column} = ?" for column in columns)
        (found,) = driver.execute(f"SELECT id FROM {table} WHERE {where}", values).fetchone()
        if len(self._ids) >= _MAX_REMEMBERED:
            self._ids.clear()
        self._ids[table, *values] = found
        return int(found)
