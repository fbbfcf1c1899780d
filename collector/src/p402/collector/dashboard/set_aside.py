"""Spans that were seen and kept, but not charged: each with the reason."""

from __future__ import annotations

from aiohttp import web

from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import View
from p402.collector.storage.charges import set_aside_page
from p402.collector.storage.database import Database

__all__ = ["REASONS", "SetAsidePage"]

_SHOWN = 100
REASONS = {
    "duplicate": "another span of a call that is charged already",
    "quarantined": "it claims another usage for a call that is charged already",
    "no_usage": "a call that tells of no usage",
}
"""By what the ledger has, in words."""


class SetAsidePage(Pages):
    """The handler."""

    def __init__(self, shell: Shell, database: Database) -> None:
        super().__init__(shell)
        self._database = database

    @endpoint("GET /set-aside", scope="spend:read", answers={200: HTML})
    async def set_aside(self, request: web.Request, caller: Caller, query: View) -> web.Response:
        """List spans that were kept and not charged, the newest first; for whoever sees the whole organisation."""
        caller.principal.require_whole_organisation()
        organisation = caller.organisation
        found = await self._database.read(lambda connection: set_aside_page(connection, organisation, _SHOWN))
        return self._shell.page(request, caller, query, "set_aside.html", spans=found, most=_SHOWN, reasons=REASONS)
