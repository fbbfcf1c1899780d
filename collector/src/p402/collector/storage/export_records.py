"""Records beside receipts that an evidence pack has: page by page, each with its place, as cells of a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

from p402.collector.exports.ports import ExportRequest
from p402.collector.storage.budget_tables import audit
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.event_tables import anomalies
from p402.collector.storage.privacy_tables import access_log, receipt_reviews
from p402.collector.storage.settlement_rows import settlement_by_id
from p402.collector.storage.settlement_tables import settlements
from p402.collector.storage.tables import checkpoints, scopes
from p402.exporters.documents.csv_lines import Cell
from p402.vocabulary import Money

__all__ = ["records_page"]

_ACCESS_CELLS = ("key_id", "who", "what", "items", "count", "seq")
Record = tuple[int, tuple[Cell, ...]]
_Read = Callable[[Connection, ExportRequest, int, int, int], Sequence[Record]]


def records_page(
    connection: Connection, kind: str, request: ExportRequest, log_size: int, after: int, limit: int
) -> Sequence[Record]:
    """Give the next records of a kind.

    Args:
        connection: where to read.
        kind: one of `exports.ports.RECORDS`.
        request: whose, and of which time.
        log_size: of the log that the export covers.
        after: place of the last one that is known.
        limit: how many at most.
    """
    return _KINDS[kind](connection, request, log_size, after, limit)


def _checkpoints(connection: Connection, request: ExportRequest, log_size: int, after: int, limit: int) -> list[Record]:
    query = select(checkpoints).where(checkpoints.c.organisation == request.within.organisation)
    query = query.where(checkpoints.c.size > after, checkpoints.c.size <= log_size).order_by(checkpoints.c.size)
    return [
        (row.size, (row.size, from_millis(row.signed_at), row.note))
        for row in connection.execute(_timed(query, checkpoints.c.signed_at, request).limit(limit))
    ]


def _settlements(connection: Connection, request: ExportRequest, _: int, after: int, limit: int) -> list[Record]:
    query = select(settlements.c.id).where(settlements.c.organisation == request.within.organisation)
    query = _timed(query, settlements.c.planned_at, request).order_by(settlements.c.planned_at, settlements.c.id)
    found: list[Record] = []
    for number, settlement_id in enumerate(
        connection.execute(query.offset(after + 1).limit(limit)).scalars(), start=after + 1
    ):
        one = settlement_by_id(connection, settlement_id)
        anchor = one.anchor
        cells: tuple[Cell, ...] = (
            one.settlement_id,
            one.state.value,
            one.checkpoint_size,
            one.statement.memo().hex(),
            anchor.tx_hash if anchor else None,
            anchor.block_number if anchor else None,
            one.planned_at,
        )
        found.append((number, cells))
    return found


def _audit(connection: Connection, request: ExportRequest, _: int, after: int, limit: int) -> list[Record]:
    query = select(audit).where(audit.c.organisation == request.within.organisation, audit.c.id > after)
    return [
        (row.id, (row.id, from_millis(row.at), row.actor or None, row.action, row.subject))
        for row in connection.execute(_timed(query, audit.c.at, request).order_by(audit.c.id).limit(limit))
    ]


def _anomalies(connection: Connection, request: ExportRequest, _: int, after: int, limit: int) -> list[Record]:
    query = select(anomalies, scopes.c.department, scopes.c.project, scopes.c.client).join(scopes)
    query = query.where(scopes.c.organisation == request.within.organisation, anomalies.c.seq > after)
    query = _timed(query, anomalies.c.flagged_at, request).order_by(anomalies.c.seq).limit(limit)
    return [
        (
            row.seq,
            (
                row.seq,
                row.id,
                row.department or None,
                row.project or None,
                row.client or None,
                row.rule,
                Money(row.cost_nano_usd),
                from_millis(row.flagged_at),
                row.state,
                row.reviewed_by,
                None if row.reviewed_at is None else from_millis(row.reviewed_at),
            ),
        )
        for row in connection.execute(query)
    ]


def _access_log(connection: Connection, request: ExportRequest, _: int, after: int, limit: int) -> list[Record]:
    query = select(access_log).where(access_log.c.organisation == request.within.organisation)
    query = _timed(query.where(access_log.c.number > after), access_log.c.at, request).order_by(access_log.c.number)
    return [
        (row["number"], (row["number"], from_millis(row["at"]), *(row[name] for name in _ACCESS_CELLS)))
        for row in connection.execute(query.limit(limit)).mappings()
    ]


def _reviews(connection: Connection, request: ExportRequest, _: int, after: int, limit: int) -> list[Record]:
    query = select(receipt_reviews).where(receipt_reviews.c.organisation == request.within.organisation)
    query = _timed(query.where(receipt_reviews.c.id > after), receipt_reviews.c.at, request).order_by(
        receipt_reviews.c.id
    )
    return [
        (
            row.id,
            (
                row.id,
                row.review_id,
                row.receipt_id,
                row.action,
                "true" if row.self_review else "false",
                from_millis(row.at),
                row.key_id,
                row.seq,
            ),
        )
        for row in connection.execute(query.limit(limit))
    ]


def _timed(query: Select[Any], moment: ColumnElement[Any], request: ExportRequest) -> Select[Any]:
    if request.begin is not None:
        query = query.where(moment >= to_millis(request.begin))
    if request.end is not None:
        query = query.where(moment < to_millis(request.end))
    return query


_KINDS: Mapping[str, _Read] = {
    "checkpoints": _checkpoints,
    "settlements": _settlements,
    "audit": _audit,
    "anomalies": _anomalies,
    "access_log": _access_log,
    "reviews": _reviews,
}
