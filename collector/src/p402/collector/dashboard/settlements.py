"""Settlements for people: what was put onto the chain, what went wrong and what to do, and whether the chain agrees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.problem import Conflict
from p402.collector.api.settlement_views import settlement_view
from p402.collector.api.settlements import AcknowledgementBody, ResolutionBody, SettlementsApi
from p402.collector.dashboard.format import total
from p402.collector.dashboard.forms import FORM_TYPE, WrongForm, fields_of, read_fields, shown
from p402.collector.dashboard.places import cursor_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import Pageful
from p402.collector.settlement.ports import Settlement, SettlementState
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.settlements import settlements_page
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import NANO_PER_MICRO, Level, Money

__all__ = ["SettlementsPage"]

_AT_ONCE = 50
_MOST_IN_DOUBT = 20
_MOST_DIFFERENCES = 100
_LABELS = {"reason": "Reason", "outcome": "What became of it"}
Done = Literal["acknowledged", "resolved", "compared"]


class SettlementsView(Pageful):
    """The query of the page."""

    state: Annotated[SettlementState | None, Field(description="Only those in this state.")] = None
    done: Annotated[Done | None, Field(description="What was done here just now.")] = None


class SettlementsPage(Pages):
    """The handlers."""

    def __init__(self, shell: Shell, database: Database, network: TempoNetwork | None, api: SettlementsApi) -> None:
        super().__init__(shell)
        self._database = database
        self._network = network
        self._api = api

    @endpoint("GET /settlements", scope="receipts:read", answers={200: HTML})
    async def settlements(self, request: web.Request, caller: Caller, query: SettlementsView) -> web.Response:
        """List settlements, the newest first, what is in doubt, and how the chain differs from the ledger."""
        return await self._page(request, caller, query)

    @endpoint(
        "POST /settlements/compare",
        scope="admin receipts:read",
        answers={303: None, 400: HTML},
        problems=(503,),
    )
    async def compare(self, request: web.Request, caller: Caller, query: SettlementsView) -> web.Response:
        """Compare the chain with the ledger now, and show what differs."""
        try:
            await self._api.compare(caller)
        except Conflict as error:
            return await self._page(request, caller, query, status=400, problems={"compare": str(error)})
        return self._shell.see(request, "/settlements", done="compared")

    @endpoint(
        "POST /settlements/differences/{discrepancy_id}/acknowledge",
        scope="admin receipts:read",
        answers={303: None, 400: HTML},
        takes={FORM_TYPE: "`reason`, as the API takes it."},
    )
    async def acknowledge(
        self, request: web.Request, caller: Caller, query: SettlementsView, discrepancy_id: str
    ) -> web.Response:
        """Take a difference off the list; what is wrong in the form is said beside it."""
        caller.principal.require_whole_organisation()
        fields = await fields_of(request)
        try:
            body = read_fields(AcknowledgementBody, fields, _LABELS)
        except WrongForm as wrong:
            return await self._page(
                request, caller, query, status=400, problems={discrepancy_id: str(wrong)}, typed=fields
            )
        await self._api.take_off(caller, discrepancy_id, body)
        return self._shell.see(request, "/settlements", done="acknowledged")

    @endpoint(
        "POST /settlements/{settlement_id}/resolve",
        scope="admin receipts:read",
        answers={303: None, 400: HTML},
        takes={FORM_TYPE: "`outcome` and `reason`, as the API takes them."},
    )
    async def resolve(
        self, request: web.Request, caller: Caller, query: SettlementsView, settlement_id: str
    ) -> web.Response:
        """Say what became of a payment in doubt; what is wrong in the form is said beside it."""
        caller.principal.require_whole_organisation()
        fields = await fields_of(request)
        try:
            await self._api.say(caller, settlement_id, read_fields(ResolutionBody, fields, _LABELS))
        except (WrongForm, Conflict) as wrong:
            return await self._page(
                request, caller, query, status=400, problems={settlement_id: str(wrong)}, typed=fields
            )
        return self._shell.see(request, "/settlements", done="resolved")

    async def _page(
        self,
        request: web.Request,
        caller: Caller,
        query: SettlementsView,
        *,
        status: int = 200,
        problems: Mapping[str, str] | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> web.Response:
        if any(value for level, value in caller.principal.bound_to if level is not Level.ORGANISATION):
            return self._shell.page(request, caller, query, "settlements.html", live=False, of_whole=False)
        before, organisation = cursor_of(query.before), caller.organisation

        def read(connection: Connection) -> tuple[list[Settlement], list[Settlement]]:
            doubtful = settlements_page(connection, organisation, _MOST_IN_DOUBT, None, None, True)  # noqa: FBT003
            return settlements_page(connection, organisation, _AT_ONCE, before, query.state, None), doubtful

        found, doubtful = await self._database.read(read)
        views = [settlement_view(one, self._network) for one in found]
        return self._shell.page(
            request,
            caller,
            query,
            "settlements.html",
            live=False,
            status=status,
            of_whole=True,
            network=self._network,
            settlements=views,
            slowest=max((view["latency_seconds"] or 0.0 for view in views), default=0.0),
            fees=total(Money((one.fee_micro_usd or 0) * NANO_PER_MICRO) for one in found),
            doubtful=[settlement_view(one, self._network) for one in doubtful],
            more=f"{to_millis(found[-1].planned_at)}~{found[-1].settlement_id}" if len(found) == _AT_ONCE else None,
            states=list(SettlementState),
            compared=await self._api.reconciliation_of(organisation, _MOST_DIFFERENCES),
            problems=shown(problems),
            typed=shown(typed),
        )
