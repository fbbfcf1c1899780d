"""Calls as OCSF events over HTTP, for a SIEM that asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from aiohttp import web
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Json, shape
from p402.collector.api.query import Page
from p402.collector.storage.charges import charges_page
from p402.collector.storage.database import Database
from p402.exporters.documents.ocsf import ocsf_event

__all__ = ["OcsfApi"]


@shape
class OcsfPage(TypedDict):
    """Events in the order of recording."""

    events: list[Json]
    """OCSF API Activity, version 1.8.0."""
    next_after: int | None


@dataclass(frozen=True, slots=True)
class OcsfApi:
    """What the handler needs."""

    database: Database
    authenticator: Authenticator
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the route; the README's table is checked against it."""
        return routes_of(self)

    @endpoint("GET /v1/ocsf/events", scope="spend:read", answers={200: OcsfPage})
    async def events(self, caller: Caller, query: Page) -> web.Response:
        """List charged calls as OCSF events, in the order in which they were recorded; ``next_after`` continues.

        A call that is recorded later comes later, so a SIEM that keeps the last ``next_after`` misses none.
        """
        within = caller.principal.within(caller.organisation)
        found = await self.database.read(lambda connection: charges_page(connection, within, query.after, query.limit))
        product = version("p402-collector")
        page: OcsfPage = {
            "events": [ocsf_event(seq, charge, product) for seq, charge in found],
            "next_after": found[-1][0] if len(found) == query.limit else None,
        }
        return web.json_response(page)
