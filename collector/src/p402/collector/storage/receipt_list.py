"""The receipts of an organisation for people: the newest first, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, or_, select

from p402.collector.storage.calls import Place
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.charges import within_scope
from p402.collector.storage.narrowing import few, few_owners, is_few, unindexed
from p402.collector.storage.receipts import ReceiptFilter, StoredReceipt, stored_receipt
from p402.collector.storage.tables import receipts, scopes
from p402.vocabulary import Attribution, Money

__all__ = ["MOST_SUMMED", "ReceiptTotals", "newest_receipts", "receipt_totals"]

MOST_SUMMED = 50_000
"""Receipts of a sum."""

_MOST_LOOKED_THROUGH = 200_000  # for the sum of a part that is neither few nor all


@dataclass(frozen=True, slots=True)
class ReceiptTotals:
    """What receipts come to."""

    count: int
    anchored: int
    cost: Money

    @property
    def is_all(self) -> bool:
        """Whether there are no more than those that were summed."""
        return self.count < MOST_SUMMED


def newest_receipts(
    connection: Connection,
    organisation: str,
    bound_to: Attribution,
    before: Place | None,
    limit: int,
    asked: ReceiptFilter,
) -> list[tuple[Place, StoredReceipt]]:
    """Give the receipts of an organisation that a key may see, the newest first, each with its place for the next page."""
    query, _ = _narrowed(connection, organisation, bound_to, asked, select(receipts))
    if before is not None:
        same = and_(receipts.c.issued_at == before.started_at, receipts.c.seq < before.seq)
        query = query.where(
            receipts.c.issued_at <= before.started_at, or_(receipts.c.issued_at < before.started_at, same)
        )
    newest = query.order_by(receipts.c.issued_at.desc(), receipts.c.seq.desc()).limit(limit)
    return [
        (Place(row.issued_at, row.seq), stored_receipt(connection, row)) for row in connection.execute(newest).all()
    ]


def receipt_totals(
    connection: Connection, organisation: str, bound_to: Attribution, asked: ReceiptFilter
) -> ReceiptTotals | None:
    """Sum up the receipts that a key may see; of very many only the newest. None: too many would have to be looked through."""
    columns = (receipts.c.cost_nano_usd, receipts.c.settlement_id)
    query, looks_through = _narrowed(connection, organisation, bound_to, asked, select(*columns))
    if looks_through:
        in_period = select(receipts.c.seq).where(receipts.c.organisation == organisation, *_issued(asked))
        if not is_few(connection, in_period, _MOST_LOOKED_THROUGH):
            return None
    some = query.order_by(receipts.c.issued_at.desc(), receipts.c.seq.desc()).limit(MOST_SUMMED).subquery()
    sums = (func.count(), func.count(some.c.settlement_id), func.coalesce(func.sum(some.c.cost_nano_usd), 0))
    count, anchored, cost = connection.execute(select(*sums).select_from(some)).one()
    return ReceiptTotals(int(count), int(anchored), Money(int(cost)))


def _narrowed(
    connection: Connection, organisation: str, bound_to: Attribution, asked: ReceiptFilter, query: Select[Any]
) -> tuple[Select[Any], bool]:
    """Keep a query to the receipts that are asked for and may be seen, so that few rows are read for a page.

    It goes by the receipts of owners, or by those that are not anchored, if they are few; else by time. Tells whether many
    receipts may have to be looked through that are not asked for.
    """
    whose = [*within_scope(_below(bound_to)), *within_scope(_below(asked.of))]
    besides = asked.besides()
    mine = receipts.c.organisation == organisation
    if bound_to.organisation not in (None, organisation):
        return query.where(false()), False
    if whose:
        query = query.join(scopes, receipts.c.scope_id == scopes.c.id).where(*whose)
    owners = few_owners(connection, organisation, whose)
    if owners is not None:
        return query.where(receipts.c.scope_id.in_(owners), *_issued(asked, by_index=False), *besides), False
    if asked.anchored is False:
        waiting = few(connection, select(receipts.c.id).where(mine, receipts.c.settlement_id.is_(None)))
        if waiting is not None:
            return query.where(receipts.c.id.in_(waiting), *_issued(asked, by_index=False), *besides), False
    return query.where(mine, *_issued(asked), *besides), bool(whose or besides)


def _issued(asked: ReceiptFilter, *, by_index: bool = True) -> list[ColumnElement[bool]]:
    issued_at = receipts.c.issued_at if by_index else unindexed(receipts.c.issued_at)
    begin = [] if asked.begin is None else [issued_at >= to_millis(asked.begin)]
    return begin if asked.end is None else [*begin, issued_at < to_millis(asked.end)]


def _below(whose: Attribution) -> Attribution:
    """Give the levels below the organisation, which receipts name themselves."""
    return replace(whose, organisation=None)
