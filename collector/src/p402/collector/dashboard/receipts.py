"""The receipts of a period, the newest first, with what they come to."""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from p402.collector.api.auth import reader_of
from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.views import receipt_view
from p402.collector.dashboard.names import Naming, asked_for, nodes_of
from p402.collector.dashboard.places import place_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import Pageful
from p402.collector.storage.calls import Place
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import FIELDS, Beside, Disclosures
from p402.collector.storage.receipt_list import ReceiptTotals, newest_receipts, receipt_totals
from p402.collector.storage.receipts import ReceiptFilter, StoredReceipt
from p402.collector.usage.slices import Dimension
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Attribution, Level

__all__ = ["ReceiptsPage"]

_WHAT = "GET /receipts"
_AT_ONCE = 50
_PERSONAL = "receipts:personal"
_LEVELS = (Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE)


class ReceiptsView(Pageful):
    """The query of the page."""

    state: Annotated[
        Literal["anchored", "waiting"] | None, Field(description="`waiting`: not yet anchored on the chain.")
    ] = None
    reviewed: Annotated[
        Literal["yes", "no"] | None, Field(description="Whether a review of it was asked for, decided or commented.")
    ] = None


class ReceiptsPage(Pages):
    """The handler."""

    def __init__(
        self,
        shell: Shell,
        database: Database,
        naming: Naming,
        network: TempoNetwork | None,
        disclosures: Disclosures,
    ) -> None:
        super().__init__(shell)
        self._database = database
        self._naming = naming
        self._network = network
        self._disclosures = disclosures

    @endpoint("GET /receipts", scope="receipts:read", answers={200: HTML})
    async def receipts(self, request: web.Request, caller: Caller, query: ReceiptsView) -> web.Response:
        """List the receipts that were made in the period, the newest first, with their sum."""
        principal, organisation = caller.principal, caller.organisation
        if query.employee is not None:
            principal.require(_PERSONAL)
        place, days = place_of(query.before), query.days(self._shell.clock.now())
        asked = ReceiptFilter(
            of=Attribution(**{level.value: query.only.get(Dimension(level.value)) for level in _LEVELS}),
            model=query.model,
            begin=days.begin,
            end=days.end,
            anchored=None if query.state is None else query.state == "anchored",
            reviewed=None if query.reviewed is None else query.reviewed == "yes",
        )
        fields = FIELDS if principal.may(_PERSONAL) else frozenset[str]()

        def read(connection: Connection) -> tuple[list[tuple[Place, StoredReceipt]], Beside, ReceiptTotals | None]:
            found = newest_receipts(connection, organisation, principal.bound_to, place, _AT_ONCE, asked)
            beside = self._disclosures.beside(connection, [receipt for _, receipt in found], fields=fields)
            return found, beside, receipt_totals(connection, organisation, principal.bound_to, asked)

        found, beside, totals = await self._database.read(read)
        receipts = [receipt for _, receipt in found]
        await self._disclosures.note_receipts(reader_of(principal, _WHAT), receipts, beside)
        views = [receipt_view(receipt, self._network, beside) for receipt in receipts]
        owners = (Attribution(department=view["department"], employee=view["employee"]) for view in views)
        names = await self._naming.look_up(
            caller, query, _WHAT, [*nodes_of(*owners), *asked_for(caller, query.only, shown=bool(views))]
        )
        return self._shell.page(
            request,
            caller,
            query,
            "receipts.html",
            live=False,  # who looks once is noted once
            receipts=views,
            names=names,
            totals=totals,
            more=str(found[-1][0]) if len(found) == _AT_ONCE else None,
            only=query.only,
            is_narrowed=bool(query.only or query.state or query.reviewed),
        )
