"""Exports for people: asked for with a form, watched while they are made, and downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.exports import ExportBody, ExportsApi, export_view, sight_of
from p402.collector.api.problem import Conflict, Forbidden
from p402.collector.dashboard.forms import FORM_TYPE, WrongForm, fields_of, read_fields, shown
from p402.collector.dashboard.places import cursor_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import Pageful
from p402.collector.exports.ports import ExportState
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.exports import exports_page

__all__ = ["ExportsPage"]

_AT_ONCE = 50
_LEVELS = ("department", "project", "client", "employee")
_LABELS = {"from": "From", "from_": "From", "to": "To", "format": "What", "model": "Model", "disclose": "Disclose"}


class ExportsView(Pageful):
    """The query of the page."""

    asked: Annotated[
        str | None,
        Field(max_length=64, pattern=r"^exp_[0-9A-Z]+$", description="The export that was asked for just now."),
    ] = None


class ExportsPage(Pages):
    """The handlers."""

    def __init__(self, shell: Shell, database: Database, api: ExportsApi) -> None:
        super().__init__(shell)
        self._database = database
        self._api = api

    @endpoint("GET /exports", scope="exports", answers={200: HTML})
    async def exports(self, request: web.Request, caller: Caller, query: ExportsView) -> web.Response:
        """List exports, the newest first, with how far they are and their files; and ask for one."""
        return await self._page(request, caller, query)

    @endpoint(
        "POST /exports",
        scope="exports",
        answers={303: None, 400: HTML},
        takes={FORM_TYPE: "As `POST /v1/exports` takes it; `from` and `to` are days, and `to` is covered too."},
    )
    async def ask(self, request: web.Request, caller: Caller, query: ExportsView) -> web.Response:
        """Ask for an export, and show the list with it; what is wrong in the form is said beside it."""
        fields = await fields_of(request)
        try:
            export = await self._api.ask(caller, read_fields(ExportBody, _body_of(fields), _LABELS))
        except WrongForm as wrong:
            return await self._page(request, caller, query, status=400, problems=wrong.problems, typed=fields)
        except (Forbidden, Conflict) as error:
            return await self._page(request, caller, query, status=400, problems={"": str(error)}, typed=fields)
        return self._shell.see(request, "/exports", asked=export.id)

    async def _page(
        self,
        request: web.Request,
        caller: Caller,
        query: ExportsView,
        *,
        status: int = 200,
        problems: Mapping[str, str] | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> web.Response:
        sight, before = sight_of(caller.principal), cursor_of(query.before)
        found = await self._database.read(
            lambda connection: exports_page(connection, caller.organisation, sight, before, _AT_ONCE)
        )
        days = query.days(self._shell.clock.now())
        return self._shell.page(
            request,
            caller,
            query,
            "exports.html",
            live=False,
            status=status,
            exports=[export_view(export) for export in found],
            under_way=any(export.state in (ExportState.QUEUED, ExportState.RUNNING) for export in found),
            more=f"{to_millis(found[-1].created_at)}~{found[-1].id}" if len(found) == _AT_ONCE else None,
            problems=shown(problems),
            typed=shown(typed or {"from": days.first.isoformat(), "to": days.last.isoformat(), "format": "csv"}),
        )


def _body_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Write what was filled in as a body of the API: days become the times at which they begin and end, in UTC.

    Raises:
        WrongForm: if a day is none.
    """
    body: dict[str, Any] = {name: fields[name] for name in ("format", "model", *_LEVELS) if name in fields}
    for name, more in (("from", 0), ("to", 1)):
        if name in fields:
            try:
                day = datetime.combine(datetime.fromisoformat(fields[name]).date(), time(), UTC) + timedelta(days=more)
            except (ValueError, OverflowError) as error:
                raise WrongForm({name: f"{_LABELS[name]}: a day looks like 2026-05-31."}) from error
            body[name] = day
    body["disclose"] = [name for name in ("employee", "session_id") if f"disclose_{name}" in fields]
    return body
