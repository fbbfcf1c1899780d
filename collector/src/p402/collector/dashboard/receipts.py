"""Receipts as people read them: one with its proof, and how to check it."""

from __future__ import annotations

from aiohttp import web

from p402.collector.api.auth import reader_of
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.problem import NotFound
from p402.collector.api.views import receipt_view
from p402.collector.dashboard.shell import HTML, Shell
from p402.collector.dashboard.view import View
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import FIELDS, Disclosures
from p402.collector.storage.receipts import receipt_by_id
from p402.receipts.settlement import TempoNetwork

__all__ = ["ReceiptPages"]


class ReceiptPages:
    """The handlers."""

    def __init__(
        self, shell: Shell, database: Database, network: TempoNetwork | None, disclosures: Disclosures
    ) -> None:
        self._shell = shell
        self._database = database
        self._network = network
        self._disclosures = disclosures
        self.authenticator = shell.authenticator
        self.default_organisation = shell.default_organisation

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return routes_of(self)

    @endpoint("GET /receipts/{receipt_id}", scope="receipts:read", answers={200: HTML})
    async def receipt(self, request: web.Request, caller: Caller, query: View, receipt_id: str) -> web.Response:
        """Show one receipt, how to get it, and how to check it."""
        principal = caller.principal
        found = await self._database.read(lambda connection: receipt_by_id(connection, receipt_id, principal.bound_to))
        if found is None:
            raise NotFound(f"There is no receipt {receipt_id[:64]!r}, or you may not see it.")
        fields = FIELDS if principal.may("receipts:personal") else frozenset[str]()
        beside = await self._database.read(
            lambda connection: self._disclosures.beside(connection, [found], fields=fields)
        )
        await self._disclosures.note_receipts(reader_of(principal, "GET /receipts/{receipt_id}"), [found], beside)
        view = receipt_view(found, self._network, beside)
        base = f"{request.scheme}://{request.host}"
        return self._shell.page(request, caller, query, "receipt.html", live=False, receipt=view, base=base)
