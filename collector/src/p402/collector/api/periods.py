"""Closed periods over HTTP: months whose totals are final."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Time, Usd, shape
from p402.collector.api.problem import BadRequest, Conflict
from p402.collector.storage.database import Database
from p402.collector.storage.log import Signers
from p402.collector.storage.periods import ClosedPeriod, PeriodNotOver, close_period, closed_periods_of, period_bounds
from p402.vocabulary import Clock, rfc3339

__all__ = ["PeriodsApi"]


@shape
class PeriodView(TypedDict):
    """A month whose totals are final; what is recorded later posts to the month of its recording."""

    period: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$", examples=["2026-10"])]
    """In UTC."""
    closed_at: Time
    closed_by: Annotated[str | None, Field(examples=["key_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]
    """The API key."""
    charges: Count
    """Of the calls that began in the period and were recorded by its close."""
    unpriced_charges: Count
    cost_usd: Usd
    through_seq: Count
    """The last charge of the ledger that was looked at."""
    entry_seq: Count
    """The entry of the log that says all this."""


@shape
class PeriodList(TypedDict):
    """Closed periods, the earliest first."""

    periods: list[PeriodView]


@dataclass(frozen=True, slots=True)
class PeriodsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    signers: Signers
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/periods", scope="spend:read", answers={200: PeriodList})
    async def periods(self, caller: Caller) -> web.Response:
        """List the closed periods of an organisation, the earliest first. Needs a key of the whole organisation."""
        caller.principal.require_whole_organisation()
        organisation = caller.organisation
        found = await self.database.read(lambda connection: closed_periods_of(connection, organisation))
        listed: PeriodList = {"periods": [_view(period) for period in found.values()]}
        return web.json_response(listed)

    @endpoint("POST /v1/periods/{period}/close", scope="admin", answers={200: PeriodView}, problems=(409,))
    async def close(self, caller: Caller, period: str) -> web.Response:
        """Close a month that is over: its totals are appended to the log and never change.

        Closing it again gives the totals of the first time. Needs a key of the whole organisation.
        """
        caller.principal.require_whole_organisation()
        organisation, keys = caller.organisation, self.signers.signer(caller.organisation)
        try:
            period_bounds(period)
        except ValueError as error:
            raise BadRequest(f"The path names no period: {error}.") from error
        now, by = self.clock.now(), caller.principal.actor
        try:
            closed = await self.database.write(
                lambda connection: close_period(connection, organisation, period, keys, now, by)
            )
        except PeriodNotOver as error:
            raise Conflict(str(error)) from error
        return web.json_response(_view(closed))


def _view(period: ClosedPeriod) -> PeriodView:
    return {
        "period": period.period,
        "closed_at": rfc3339(period.closed_at),
        "closed_by": period.closed_by,
        "charges": period.charges,
        "unpriced_charges": period.unpriced_charges,
        "cost_usd": str(period.cost),
        "through_seq": period.through_seq,
        "entry_seq": period.entry_seq,
    }
