"""Exports over HTTP: asked for, watched, and downloaded in as many pieces as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator, Principal, reader_of
from p402.collector.api.endpoint import Caller, HeaderParameter, Media, endpoint, routes_of
from p402.collector.api.fields import Count, Hex32, Id, Json, Time, shape
from p402.collector.api.problem import Conflict, Forbidden, NotFound
from p402.collector.api.query import Cursor, Limit, Moment, NodeId, Query
from p402.collector.exports.folder import ExportFolder
from p402.collector.exports.ports import Export, ExportFormat, ExportRequest, ExportState
from p402.collector.exports.requests import request_value
from p402.collector.exports.sight import Sight
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import Disclosures
from p402.collector.storage.exports import TooManyExports, export_by_id, exports_page, request_export
from p402.collector.storage.log import checkpoint_at
from p402.exporters.documents.manifest import ManifestFile
from p402.vocabulary import Attribution, Clock, IdFactory, Level, rfc3339

__all__ = ["ExportBody", "ExportView", "ExportsApi", "export_view", "sight_of"]

_PERSONAL = "receipts:personal"
_OF_EVIDENCE = ("holds", "spend:read")  # what GET /v1/access-log, /v1/audit and /v1/anomalies need
_FILE = "GET /v1/exports/{export_id}/files/{name}"
_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "zip": "application/zip",
}
_Seq = Annotated[int, Field(ge=0, le=2**53)]


class ExportBody(BaseModel):
    """What is to be exported."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    format: Annotated[ExportFormat, Field(description="`evidence` needs the scopes `holds` and `spend:read` too.")]
    from_: Annotated[
        Moment | None,
        Field(alias="from", description="First time: of receipts by their issue, of charges by what they post to."),
    ] = None
    to: Annotated[Moment | None, Field(description="First time that is not covered.")] = None
    department: NodeId | None = None
    project: NodeId | None = None
    client: NodeId | None = None
    employee: Annotated[NodeId | None, Field(description="Needs the scope `receipts:personal`.")] = None
    model: Annotated[
        NodeId | None, Field(description="Only charges of this model; for `charges-csv`, `focus` and `ocsf`.")
    ] = None
    after_seq: Annotated[
        _Seq | None,
        Field(
            description="Only what comes after this one: receipts by their place in the log, charges by their `seq`."
        ),
    ] = None
    before_seq: _Seq | None = None
    disclose: Annotated[
        list[Literal["employee", "session_id"]],
        Field(max_length=2, description="Personal fields to disclose; needs the scope `receipts:personal`."),
    ] = []

    checkpoint: Annotated[
        int | None,
        Field(
            ge=1,
            le=2**53,
            description="Size of a signed checkpoint, such as one that you pinned: proofs lead to it, and what came later is "
            "left out. For formats of receipts; default: the newest.",
        ),
    ] = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.from_ and self.to and self.from_ >= self.to:
            raise ValueError("to must be later than from")
        if self.model is not None and not self.format.is_of_charges:
            raise ValueError("model goes with charges-csv, focus and ocsf: a receipt may be of several models")
        if self.checkpoint is not None and self.format.is_of_charges:
            raise ValueError("checkpoint goes with the formats of receipts: charges have no place in the log")
        return self


@shape
class ExportFile(TypedDict):
    """A file that can be downloaded."""

    name: str
    url: str
    sha256: Hex32
    bytes: Count
    rows: Count
    """Records in it."""
    first_seq: int | None
    last_seq: int | None


@shape
class ExportRows(TypedDict):
    """How far an export is."""

    done: Count
    total: Count


@shape
class ExportView(TypedDict):
    """An export."""

    export_id: Id
    organisation: str
    format: str
    state: Literal["queued", "running", "done", "failed", "expired"]
    request: Json
    """What was asked for, narrowed to the key's part of the tree."""
    created_at: Time
    finished_at: Time | None
    expires_at: Time | None
    """When its files are removed."""
    rows: ExportRows
    files: list[ExportFile]
    """Once it is done; `manifest.json` has the SHA-256 of the others."""
    problem: str | None
    """Why it failed."""


@shape
class ExportList(TypedDict):
    """Exports, the newest first."""

    exports: list[ExportView]
    next_after: str | None


class ExportsQuery(Query):
    """Which exports."""

    after: Annotated[Cursor | None, Field(description="Goes on after this one: `next_after` of the page before.")] = (
        None
    )
    limit: Limit = 100


@dataclass(frozen=True, slots=True)
class ExportsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    disclosures: Disclosures
    folder: ExportFolder
    wake: Callable[[], None]
    clock: Clock
    ids: IdFactory
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("POST /v1/exports", scope="exports", answers={202: ExportView}, problems=(404, 409), sends=("Location",))
    async def create(self, caller: Caller, body: ExportBody) -> web.Response:
        """Ask for an export; it is made in the background, a small one at once.

        It covers what is there now, as far as the key may see it. ``Location`` is where to watch it.
        """
        export = await self.ask(caller, body)
        return web.json_response(export_view(export), status=202, headers={"Location": f"/v1/exports/{export.id}"})

    async def ask(self, caller: Caller, body: ExportBody) -> Export:
        """Ask for an export, for whoever has the scope; it covers what they may see.

        Raises:
            Forbidden: if they may not have what is asked for.
            Conflict: if too many are under way.
        """
        principal = caller.principal
        request = ExportRequest(
            format=body.format,
            within=_within(body, principal, caller.organisation),
            begin=body.from_,
            end=body.to,
            model=body.model,
            after_seq=body.after_seq,
            before_seq=body.before_seq,
            disclose=tuple(sorted(set(body.disclose))),
            checkpoint=body.checkpoint,
        )
        if request.disclose or body.employee is not None:
            principal.require(_PERSONAL)
        if request.format is ExportFormat.EVIDENCE:
            for scope in _OF_EVIDENCE:
                principal.require(scope)
            principal.require_whole_organisation()
        now = self.clock.now()

        def change(connection: Connection) -> Export:
            size = request.checkpoint
            if size is not None and checkpoint_at(connection, caller.organisation, size) is None:
                raise NotFound(
                    f"No checkpoint was signed when the log had {size} entries: /v1/checkpoints lists those that were."
                )
            return request_export(connection, request, principal.actor, self.ids, now)

        try:
            export = await self.database.write(change)
        except TooManyExports as error:
            raise Conflict(str(error)) from error
        self.wake()
        return export

    @endpoint("GET /v1/exports", scope="exports", answers={200: ExportList})
    async def exports(self, caller: Caller, query: ExportsQuery) -> web.Response:
        """List exports, the newest first."""
        sight = sight_of(caller.principal)
        found = await self.database.read(
            lambda connection: exports_page(connection, caller.organisation, sight, query.after, query.limit)
        )
        more = found[-1] if len(found) == query.limit else None
        page: ExportList = {
            "exports": [export_view(export) for export in found],
            "next_after": None if more is None else f"{to_millis(more.created_at)}~{more.id}",
        }
        return web.json_response(page)

    @endpoint("GET /v1/exports/{export_id}", scope="exports", answers={200: ExportView})
    async def export(self, caller: Caller, export_id: str) -> web.Response:
        """Show an export and how far it is."""
        return web.json_response(
            export_view(await self._export(caller, export_id)), headers={"Cache-Control": "no-cache"}
        )

    @endpoint(
        _FILE,
        scope="exports",
        answers={
            200: tuple(Media(kind, about="The file; its media type is that of its name.") for kind in _TYPES.values()),
            206: tuple(Media(kind, about="The part of it that `Range` asks for.") for kind in _TYPES.values()),
            304: None,
            412: None,
            416: None,
        },
        problems=(409,),
        headers=(HeaderParameter("Range", "Which bytes; to go on with a download that broke off.", "bytes=1048576-"),),
        sends=("ETag", "Cache-Control", "Content-Disposition"),
    )
    async def file(self, caller: Caller, export_id: str, name: str) -> web.StreamResponse:
        """Download a file of an export.

        A file never changes. Its SHA-256 is in the export and in ``manifest.json``. The access log has who downloads what is
        personal.
        """
        export = await self._export(caller, export_id)
        if export.state is not ExportState.DONE:
            raise Conflict(
                f"The export is {export.state}; its files can be downloaded when it is done, until it expires."
            )
        if not any(file.name == name for file in export.files):
            raise NotFound(
                f"The export has no file {name[:64]!r}; there are {', '.join(file.name for file in export.files)}."
            )
        path = self.folder.file(export.id, name)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound(
                "The file is not at this collector: another one made it. Collectors of one database must share "
                "P402_EXPORT_DIR."
            )
        if export.request.discloses:
            await self.disclosures.note(reader_of(caller.principal, _FILE), export.organisation, [export.id])
        headers = {
            "Content-Type": _TYPES[name.rpartition(".")[2]],
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "private, no-cache",
        }
        return web.FileResponse(path, headers=headers)

    async def _export(self, caller: Caller, export_id: str) -> Export:
        sight = sight_of(caller.principal)
        export = await self.database.read(lambda connection: export_by_id(connection, export_id, sight))
        if export is None:
            raise NotFound(f"There is no export {export_id[:64]!r}, or this API key may not see it.")
        return export


def sight_of(principal: Principal) -> Sight:
    """Say which exports somebody may see and download: the scopes that asking for one needs, seeing it needs too."""
    return Sight(
        principal.bound_to,
        personal=principal.may(_PERSONAL),
        evidence=all(principal.may(scope) for scope in _OF_EVIDENCE),
    )


def _within(body: ExportBody, principal: Principal, organisation: str) -> Attribution:
    """Give the part of the tree that is asked for, within the key's own."""
    own = principal.within(organisation)
    asked = Attribution(organisation, body.department, body.project, body.client, body.employee)
    for level, value in asked:
        bound = getattr(own, level.value)
        if value is not None and bound not in (None, value):
            raise Forbidden(f"The API key is bound to another {level.value}.")
    return own.over(asked)


def export_view(export: Export) -> ExportView:
    """Show an export."""
    asked = request_value(export.request)
    kind = asked.pop("format")
    return {
        "export_id": export.id,
        "organisation": export.organisation,
        "format": kind,
        "state": export.state.value,
        "request": {name: value for name, value in asked.items() if name != Level.ORGANISATION.value},
        "created_at": rfc3339(export.created_at),
        "finished_at": _time(export.finished_at),
        "expires_at": _time(export.expires_at),
        "rows": {"done": min(export.progress.done, export.total), "total": export.total},
        "files": [_file(export, file) for file in export.files] if export.state is ExportState.DONE else [],
        "problem": export.problem,
    }


def _file(export: Export, file: ManifestFile) -> ExportFile:
    return {
        "name": file.name,
        "url": f"/v1/exports/{export.id}/files/{file.name}",
        "sha256": file.sha256,
        "bytes": file.bytes,
        "rows": file.rows,
        "first_seq": file.first_seq,
        "last_seq": file.last_seq,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
