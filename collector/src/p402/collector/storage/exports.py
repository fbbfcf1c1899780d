"""Exports and how far they are: implements `exports.ports.ExportStore`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, or_, select, update

from p402.collector.exports.ports import Export, ExportRequest, ExportState, Pages, Part, Progress
from p402.collector.exports.requests import progress_of, progress_value, request_of, request_value
from p402.collector.exports.sight import Sight
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import Disclosures, Reader
from p402.collector.storage.export_pages import ExportPages, MakePages
from p402.collector.storage.export_tables import exports
from p402.collector.storage.tables import api_keys
from p402.exporters.documents.manifest import ManifestFile
from p402.vocabulary import IdFactory, Permanent

__all__ = ["SqlExports", "TooManyExports", "export_by_id", "exports_page", "forget_disclosing", "request_export"]

_UNDER_WAY = (ExportState.QUEUED.value, ExportState.RUNNING.value)
_MOST_UNDER_WAY = 20


class TooManyExports(Permanent):
    """An organisation has asked for more exports than can wait at a time."""


class SqlExports:
    """The exports of this collector, and of those that share its database."""

    def __init__(self, database: Database, make_pages: MakePages, disclosures: Disclosures) -> None:
        self._database = database
        self._make_pages = make_pages
        self._disclosures = disclosures

    async def next(self, at: datetime) -> Export | None:
        """Give the export that is to be worked on."""
        query = select(exports).where(exports.c.state.in_(_UNDER_WAY))
        query = query.order_by(exports.c.state.desc(), exports.c.created_at, exports.c.id).limit(
            1
        )  # running ones first

        def read(connection: Connection) -> tuple[Export, bool] | None:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            return _export(row), row.key_id is None or _is_valid(connection, row.key_id)

        found = await self._database.read(read)
        if found is None:
            return None  # as nearly always
        export, may_go_on = found
        if not may_go_on:
            await self.fail(export, "The API key that asked for it was revoked.", at)
            return None
        return export if export.state is ExportState.RUNNING else await self._begin(export)

    async def _begin(self, export: Export) -> Export | None:
        """Count what an export covers, beside the writer; None if it is not waiting any more."""
        begun = await self._database.read(lambda connection: self._make_pages(connection, export).begun(), long=True)
        change = update(exports).where(exports.c.id == export.id, exports.c.state == ExportState.QUEUED.value)
        change = change.values(
            state=begun.state.value,
            charges_through=begun.charges_through,
            log_size=begun.log_size,
            checkpoint=begun.checkpoint,
            total=begun.total,
        )
        return begun if await self._database.write(lambda connection: connection.execute(change).rowcount) else None

    async def make(self, export: Export, make: Callable[[Pages], Part]) -> Part:
        """Make a part from one snapshot of the database; what it discloses is noted before it is given away."""

        def query(connection: Connection) -> tuple[Part, ExportPages]:
            pages = self._make_pages(connection, export)
            return make(pages), pages

        part, pages = await self._database.read(query, long=True)
        reader = Reader(export.key_id, None, "POST /v1/exports")
        await self._disclosures.note(reader, export.organisation, pages.disclosed)
        return part

    async def commit(self, export: Export, progress: Progress) -> Export | None:
        """Note that a part is on disk."""
        before = exports.c.progress == json.dumps(progress_value(export.progress))
        change = update(exports).where(exports.c.id == export.id, exports.c.state == ExportState.RUNNING.value, before)
        change = change.values(progress=json.dumps(progress_value(progress)))
        if not await self._database.write(lambda connection: connection.execute(change).rowcount):
            return None
        return replace(export, progress=progress)

    async def finish(self, export: Export, files: Sequence[ManifestFile], at: datetime, expires_at: datetime) -> bool:
        """Note that all files are there."""
        before = exports.c.progress == json.dumps(progress_value(export.progress))
        change = update(exports).where(exports.c.id == export.id, exports.c.state == ExportState.RUNNING.value, before)
        change = change.values(
            state=ExportState.DONE.value,
            files=json.dumps([asdict(file) for file in files]),
            finished_at=to_millis(at),
            expires_at=to_millis(expires_at),
        )
        return bool(await self._database.write(lambda connection: connection.execute(change).rowcount))

    async def fail(self, export: Export, problem: str, at: datetime) -> None:
        """Give an export up."""
        values = {"state": ExportState.FAILED.value, "problem": problem, "finished_at": to_millis(at)}
        await self._database.write(lambda connection: _settle(connection, export.id, **values))

    async def expired(self, at: datetime) -> Sequence[str]:
        """Expire what is past its time."""
        return await self._expire(exports.c.expires_at <= to_millis(at), None)

    async def expire_oldest(self, but: str) -> str | None:
        """Expire the finished export that is oldest."""
        return next(iter(await self._expire(exports.c.id != but, 1)), None)

    async def live(self) -> frozenset[str]:
        """Give the ids of exports that have or will have files."""
        query = select(exports.c.id).where(exports.c.state.in_((*_UNDER_WAY, ExportState.DONE.value)))
        return await self._database.read(lambda connection: frozenset(connection.execute(query).scalars()))

    async def _expire(self, which: ColumnElement[bool], limit: int | None) -> Sequence[str]:
        query = select(exports.c.id).where(exports.c.state == ExportState.DONE.value, which)
        query = query.order_by(exports.c.finished_at, exports.c.id).limit(limit)

        def change(connection: Connection) -> Sequence[str]:
            found = connection.execute(query).scalars().all()
            for export_id in found:
                _settle(connection, export_id, state=ExportState.EXPIRED.value)
            return found

        if not await self._database.read(lambda connection: connection.execute(query).first()):
            return ()
        return await self._database.write(change)


def request_export(
    connection: Connection, request: ExportRequest, key_id: str | None, new_id: IdFactory, at: datetime
) -> Export:
    """Take a request, inside a change.

    Raises:
        TooManyExports: if its organisation has too many under way.
    """
    export = Export(id=new_id("exp", at), request=request, key_id=key_id, state=ExportState.QUEUED, created_at=at)
    of_organisation = exports.c.organisation == export.organisation
    waiting = select(exports.c.id).where(of_organisation, exports.c.state.in_(_UNDER_WAY)).limit(_MOST_UNDER_WAY)
    if len(connection.execute(waiting).all()) == _MOST_UNDER_WAY:
        raise TooManyExports(
            f"{_MOST_UNDER_WAY} exports of {export.organisation!r} are under way: wait for one of them."
        )
    connection.execute(
        insert(exports).values(
            id=export.id,
            organisation=export.organisation,
            key_id=key_id,
            request=json.dumps(request_value(request)),
            discloses=int(request.discloses),
            state=export.state.value,
            created_at=to_millis(at),
            charges_through=0,
            log_size=0,
            total=0,
            progress=json.dumps(progress_value(export.progress)),
            files="[]",
        )
    )
    return export


def export_by_id(connection: Connection, export_id: str, sight: Sight) -> Export | None:
    """Give one export, None if there is none that may be seen."""
    row = connection.execute(select(exports).where(exports.c.id == export_id)).one_or_none()
    export = None if row is None else _export(row)
    return export if export is not None and sight.has(export) else None


def exports_page(
    connection: Connection,
    organisation: str,
    sight: Sight,
    before: tuple[int, str] | None,
    limit: int,
) -> list[Export]:
    """Give the exports of an organisation that may be seen, the newest first, before a time and an id."""
    found: list[Export] = []
    while len(found) < limit:
        query = select(exports).where(exports.c.organisation == organisation)
        if before is not None:
            earlier = and_(exports.c.created_at == before[0], exports.c.id < before[1])
            query = query.where(or_(exports.c.created_at < before[0], earlier))
        rows = connection.execute(query.order_by(exports.c.created_at.desc(), exports.c.id.desc()).limit(limit)).all()
        found += [export for export in map(_export, rows) if sight.has(export)]
        if len(rows) < limit:
            break
        before = rows[-1].created_at, rows[-1].id
    return found[:limit]


def forget_disclosing(connection: Connection, organisation: str) -> None:
    """Take back what exports have disclosed, inside a change that erases somebody.

    Files expire, and what is under way begins anew. Requests that name a person or a session are forgotten.
    """
    query = select(exports).where(exports.c.organisation == organisation, exports.c.discloses == 1)
    for row in connection.execute(query).all():
        within = request_of(json.loads(row.request)).within
        if within.employee is not None or within.session is not None:
            connection.execute(delete(exports).where(exports.c.id == row.id))
        elif row.state == ExportState.DONE.value:
            _settle(connection, row.id, state=ExportState.EXPIRED.value)
        elif row.state == ExportState.RUNNING.value:
            fresh = json.dumps(progress_value(Progress()))
            _settle(connection, row.id, state=ExportState.QUEUED.value, progress=fresh)


def _is_valid(connection: Connection, key_id: str) -> bool:
    query = select(api_keys.c.id).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    return connection.execute(query).first() is not None


def _settle(connection: Connection, export_id: str, **values: Any) -> None:
    connection.execute(update(exports).where(exports.c.id == export_id).values(values))


def _export(row: Row[Any]) -> Export:
    return Export(
        id=row.id,
        request=request_of(json.loads(row.request)),
        key_id=row.key_id,
        state=ExportState(row.state),
        created_at=from_millis(row.created_at),
        finished_at=None if row.finished_at is None else from_millis(row.finished_at),
        expires_at=None if row.expires_at is None else from_millis(row.expires_at),
        charges_through=row.charges_through,
        log_size=row.log_size,
        checkpoint=row.checkpoint,
        total=row.total,
        progress=progress_of(json.loads(row.progress)),
        files=tuple(ManifestFile(**file) for file in json.loads(row.files)),
        problem=row.problem,
    )
