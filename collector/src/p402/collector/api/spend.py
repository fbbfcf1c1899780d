"""What calls cost, over HTTP: each charge, and sums by a level of the tree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Node, Time
from p402.collector.api.query import Moment, NodeLevel, Page, Query
from p402.collector.api.views import ChargePage, SpendNode, charge_view, spend_view
from p402.collector.storage.charges import charges_page, spend_by
from p402.collector.storage.database import Database
from p402.vocabulary import Clock, Level, rfc3339

__all__ = ["SpendApi"]


class SpendQuery(Query):
    """Which sums."""

    level: Annotated[NodeLevel, Field(description="Whose sums.")] = Level.DEPARTMENT
    begin: Annotated[
        Moment | None, Field(alias="from", description="From this hour on; default: the first of this month (UTC).")
    ] = None
    end: Annotated[Moment | None, Field(alias="to", description="Up to this hour, which is left out.")] = None


SpendByLevel = TypedDict(
    "SpendByLevel",
    {"organisation": Node, "from": Time, "to": Time, "level": Level, "spend": list[SpendNode]},
)
"""Sums of a period, the dearest first."""


@dataclass(frozen=True, slots=True)
class SpendApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/charges", scope="spend:read", answers={200: ChargePage})
    async def charges(self, caller: Caller, query: Page) -> web.Response:
        """List charges in the order in which they were recorded; ``next_after`` continues."""
        within = caller.principal.within(caller.organisation)
        found = await self.database.read(lambda connection: charges_page(connection, within, query.after, query.limit))
        page: ChargePage = {
            "charges": [charge_view(seq, charge) for seq, charge in found],
            "next_after": found[-1][0] if len(found) == query.limit else None,
        }
        return web.json_response(page)

    @endpoint("GET /v1/spend", scope="spend:read", answers={200: SpendByLevel})
    async def spend(self, caller: Caller, query: SpendQuery) -> web.Response:
        """Sum the spend of a period by a level of the tree, hour by hour from the counters."""
        caller.principal.require_whole_organisation()
        organisation = caller.organisation
        now = self.clock.now().astimezone(UTC)
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        begin, end = _hour(query.begin or month), _hour(query.end or now + timedelta(hours=1))
        hours = int(begin.timestamp()) // 3600, int(end.timestamp()) // 3600
        found = await self.database.read(lambda connection: spend_by(connection, query.level, organisation, *hours))
        sums: SpendByLevel = {
            "organisation": organisation,
            "from": rfc3339(begin),
            "to": rfc3339(end),
            "level": query.level,
            "spend": spend_view(query.level, found),
        }
        return web.json_response(sums)


def _hour(moment: datetime) -> datetime:
    """Go down to the hour: that is how finely spend is counted."""
    return moment.replace(minute=0, second=0, microsecond=0)
