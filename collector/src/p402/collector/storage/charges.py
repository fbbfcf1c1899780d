"""Reading the ledger: charges with their scope, model and price book; sums of the counters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select

from p402.collector.storage.charge_rows import charge_of, to_millis
from p402.collector.storage.tables import charges, models, price_books, scopes, set_aside, spend_hourly
from p402.vocabulary import Attribution, Charge, Level, Money

__all__ = [
    "SetAside",
    "Spend",
    "charges_between",
    "charges_joined",
    "charges_of",
    "charges_page",
    "newest_charges",
    "set_aside_page",
    "spend_by",
    "within_scope",
]


@dataclass(frozen=True, slots=True)
class Spend:
    """What a node of the tree spent in a period."""

    node: str | None
    """None is the unattributed one."""
    cost: Money
    charges: int
    unpriced_charges: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """A span that was kept apart instead of charged."""

    trace_id: str
    span_id: str
    reason: str
    charge_seq: int | None
    recorded_at: int


def charges_joined() -> Select[Any]:
    """Select charges with everything that `charge_of` reads."""
    levels = (scopes.c[level.value] for level in Level if level is not Level.REQUEST)
    named = (models.c.provider, models.c.operation, models.c.request_model, models.c.response_model)
    books = (price_books.c.book, price_books.c.sha256)
    return (
        select(charges, *levels, *named, *books)
        .join(scopes, charges.c.scope_id == scopes.c.id)
        .join(models, charges.c.model_id == models.c.id)
        .join(price_books, charges.c.price_book_id == price_books.c.id, isouter=True)
    )


def charges_of(rows: Iterable[RowMapping]) -> list[Charge]:
    """Read charges from rows of `charges_joined`."""
    return [charge_of(dict(row)) for row in rows]


def charges_page(connection: Connection, within: Attribution, after: int, limit: int) -> list[tuple[int, Charge]]:
    """Give the next charges within a part of the tree, in the order of recording, each with its sequence number."""
    query = charges_joined().where(charges.c.seq > after, *within_scope(within))
    rows = connection.execute(query.order_by(charges.c.seq).limit(limit)).mappings()
    return [(row["seq"], charge_of(dict(row))) for row in rows]


def charges_between(
    connection: Connection, within: Attribution, begin: datetime, end: datetime, limit: int
) -> list[tuple[int, Charge]]:
    """Give the charges of calls that began in a period (its end not included), the earliest first."""
    begun = charges.c.started_at >= to_millis(begin), charges.c.started_at < to_millis(end)
    query = charges_joined().where(*begun, *within_scope(within))
    rows = connection.execute(query.order_by(charges.c.started_at, charges.c.seq).limit(limit)).mappings()
    return [(row["seq"], charge_of(dict(row))) for row in rows]


def newest_charges(connection: Connection, within: Attribution, limit: int) -> list[tuple[int, Charge]]:
    """Give the charges within a part of the tree that were recorded last, the newest first."""
    query = charges_joined().where(*within_scope(within)).order_by(charges.c.seq.desc()).limit(limit)
    return [(row["seq"], charge_of(dict(row))) for row in connection.execute(query).mappings()]


def within_scope(within: Attribution) -> list[ColumnElement[bool]]:
    """Give the conditions on ``scopes`` that keep a query within a part of the tree."""
    return [scopes.c[level.value] == value for level, value in within if value is not None]


def set_aside_page(connection: Connection, organisation: str, limit: int) -> list[SetAside]:
    """Give the spans of an organisation that were kept apart, the newest first."""
    query = select(set_aside).where(set_aside.c.organisation == organisation)
    rows = connection.execute(query.order_by(set_aside.c.id.desc()).limit(limit))
    return [
        SetAside(row.span_key[:16].hex(), row.span_key[16:].hex(), row.reason, row.charge_seq, row.recorded_at)
        for row in rows
    ]


def spend_by(connection: Connection, level: Level, organisation: str, from_hour: int, to_hour: int) -> list[Spend]:
    """Sum the counters of every node at a level over hours since 1970 (the last one not included), dearest first."""
    columns = ("cost_nano_usd", "charges", "unpriced_charges", "input_tokens", "output_tokens")
    sums = [func.sum(spend_hourly.c[name]).label(name) for name in columns]
    query = (
        select(spend_hourly.c.node, *sums)
        .where(spend_hourly.c.organisation == organisation, spend_hourly.c.level == level.value)
        .where(spend_hourly.c.hour >= from_hour, spend_hourly.c.hour < to_hour)
        .group_by(spend_hourly.c.node)
        .order_by(sums[0].desc(), spend_hourly.c.node)
    )
    return [
        Spend(
            row.node or None,
            Money(int(row.cost_nano_usd)),
            *(int(row[at]) for at in range(2, 6)),
        )
        for row in connection.execute(query)
    ]
