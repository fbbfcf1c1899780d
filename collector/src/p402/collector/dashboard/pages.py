"""The pages: query → view model → template. Numbers are in tables, and no page needs JavaScript."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator, reader_of
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.problem import NotFound
from p402.collector.api.views import ReceiptView, SettlementView, receipt_view, settlement_view
from p402.collector.dashboard import format as formatting
from p402.collector.storage.charges import SetAside, Spend, newest_charges, set_aside_page, spend_by
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import FIELDS, Beside, Disclosures
from p402.collector.storage.receipts import StoredReceipt, newest_receipts, receipt_by_id
from p402.collector.storage.settlements import settlements_page
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Charge, Clock, Level

__all__ = ["Dashboard", "Overview"]

_SHOWN = 50
_PAGE = Media("text/html", about="A page for people.")
_LEVELS = tuple(level for level in Level if level is not Level.REQUEST)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'",
    "Referrer-Policy": "same-origin",
}

_CONTENT_TYPES = {"dashboard.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows, of one organisation and the current month (UTC)."""

    organisation: str
    month: str
    total: Spend | None
    """None before the first charge."""
    levels: dict[str, list[Spend]]
    charges: list[tuple[int, Charge]]
    set_aside: list[SetAside]
    receipts: list[ReceiptView]
    settlements: list[SettlementView]


class Dashboard:
    """The handlers of the pages."""

    def __init__(
        self,
        database: Database,
        authenticator: Authenticator,
        network: TempoNetwork | None,
        disclosures: Disclosures,
        clock: Clock,
        default_organisation: str,
    ) -> None:
        self._database = database
        self.authenticator = authenticator
        self._network = network
        self._disclosures = disclosures
        self._clock = clock
        self.default_organisation = default_organisation
        self._templates = Environment(
            loader=PackageLoader("p402.collector", "dashboard/templates"), autoescape=True, undefined=StrictUndefined
        )
        self._templates.filters |= {name: getattr(formatting, name) for name in formatting.__all__}
        self._static = {name: _static(name) for name in _CONTENT_TYPES}

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return routes_of(self)

    @endpoint("GET /", scope="spend:read receipts:read", answers={200: _PAGE})
    async def overview(self, caller: Caller) -> web.Response:
        """Show the month: spend by level, the newest calls, receipts and settlements."""
        principal, organisation = caller.principal, caller.organisation
        principal.require_whole_organisation()
        fields = FIELDS if principal.may("receipts:personal") else frozenset[str]()
        now = self._clock.now()
        within = principal.within(organisation)

        def query(connection: Connection) -> tuple[Overview, list[StoredReceipt], Beside]:
            found = newest_receipts(connection, organisation, within, _SHOWN)
            beside = self._disclosures.beside(connection, found, fields=fields)
            levels = {level.value: spend_by(connection, level, organisation, *_month(now)) for level in _LEVELS}
            overview = Overview(
                organisation=organisation,
                month=f"{now:%B %Y}",
                total=next(iter(levels[Level.ORGANISATION.value]), None),
                levels=levels,
                charges=newest_charges(connection, within, _SHOWN),
                set_aside=set_aside_page(connection, organisation, _SHOWN),
                receipts=[receipt_view(receipt, self._network, beside) for receipt in found],
                settlements=[
                    settlement_view(settlement, self._network)
                    for settlement in settlements_page(connection, organisation, _SHOWN)
                ],
            )
            return overview, found, beside

        overview, found, beside = await self._database.read(query)
        await self._disclosures.note_receipts(reader_of(principal, "GET /"), found, beside)
        return self._page("overview.html", page=overview)

    @endpoint("GET /receipts/{receipt_id}", scope="receipts:read", answers={200: _PAGE})
    async def receipt(self, request: web.Request, caller: Caller, receipt_id: str) -> web.Response:
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
        return self._page("receipt.html", receipt=view, base=f"{request.scheme}://{request.host}")

    @endpoint(
        "GET /static/{name}",
        answers={200: (Media("text/css"), Media("image/svg+xml"))},
        problems=(404,),
        sends=("Cache-Control",),
    )
    async def static(self, name: str) -> web.Response:
        """Give the style or the icon."""
        if name not in self._static:
            raise NotFound(f"There is no {name[:64]!r} here.")
        headers = {"Content-Type": _CONTENT_TYPES[name], "Cache-Control": "max-age=300"}
        return web.Response(body=self._static[name], headers=headers)

    def _page(self, template: str, **values: Any) -> web.Response:
        text = self._templates.get_template(template).render(**values)
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)


def _static(name: str) -> bytes:
    return files("p402.collector").joinpath("dashboard/static", name).read_bytes()


def _month(now: datetime) -> tuple[int, int]:
    """Give the hours since 1970 at which this month began and the next hour begins (UTC)."""
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(begin.timestamp()) // 3600, int(now.timestamp()) // 3600 + 1
