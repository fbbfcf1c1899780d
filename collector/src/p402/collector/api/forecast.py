"""Where spend is heading: ``GET /v1/forecast``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Date, Node, Time, Usd, shape
from p402.collector.api.query import NodeLevel, Query, wrong_parameter
from p402.collector.budgets.period import Period, PeriodKind
from p402.collector.forecast.project import INTERVAL, Method, Projection
from p402.collector.forecast.service import Forecasts
from p402.vocabulary import Clock, Level, Money, is_valid_id, rfc3339

__all__ = ["ForecastApi"]


class ForecastQuery(Query):
    """What is projected."""

    level: NodeLevel = Level.ORGANISATION
    node: Annotated[
        str | None,
        Field(
            description="The id of a node of the level; empty: what is unattributed.",
            examples=["legal"],
        ),
    ] = None
    period: Literal[PeriodKind.DAY, PeriodKind.WEEK, PeriodKind.MONTH] = PeriodKind.MONTH
    time_zone: Annotated[str, Field(description="A name of the IANA database.", examples=["Europe/Berlin"])] = "UTC"
    cap_usd: Annotated[str | None, Field(description="A decimal amount.", examples=["2500.00"])] = None


@shape
class Velocity(TypedDict):
    """What was spent so far, over the time that is over, times the time that remains."""

    usd_per_day: Usd
    projected_usd: Usd
    cap_reached_on: Date | None


@shape
class Rhythm(TypedDict):
    """What the last weeks say about the days to come."""

    method: Method
    basis_days: Count
    projected_usd: Usd
    interval: float
    low_usd: Usd | None
    high_usd: Usd | None
    cap_reached_on: Date | None
    cap_passed_probability: float | None


@shape
class DayView(TypedDict):
    """A day of the period."""

    date: Date
    spent_usd: Usd
    expected_usd: Usd


ForecastView = TypedDict(
    "ForecastView",
    {
        "organisation": Node,
        "level": Level,
        "node": Node | None,
        "period": PeriodKind,
        "time_zone": str,
        "from": Time,
        "to": Time,
        "at": Time,
        "elapsed": float,
        "spent_usd": Usd,
        "cap_usd": Usd | None,
        "velocity": Velocity,
        "forecast": Rhythm,
        "days": list[DayView],
    },
)
"""Where spend is heading."""


@dataclass(frozen=True, slots=True)
class ForecastApi:
    """What the handler needs."""

    forecasts: Forecasts
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the route; the README's table is checked against it."""
        return routes_of(self)

    @endpoint("GET /v1/forecast", scope="spend:read", answers={200: ForecastView})
    async def forecast(self, caller: Caller, query: ForecastQuery) -> web.Response:
        """Project what a node will have spent at the end of the period under way."""
        organisation, level, kind = caller.organisation, query.level, query.period
        node = _node(query.node, level, organisation)
        caller.principal.require_node(level, node)
        time_zone, cap = _time_zone(query.time_zone), _amount(query.cap_usd)
        now = self.clock.now()
        window = Period(kind=kind, time_zone=time_zone).window(now)
        assert window.end is not None, "calendar periods end"
        found = await self.forecasts.project(organisation, level, node, window.start, window.end, time_zone, cap, now)
        return web.json_response(_view(found, organisation, level, node, kind, time_zone))


def _view(
    found: Projection, organisation: str, level: Level, node: str | None, kind: PeriodKind, time_zone: str
) -> ForecastView:
    velocity, forecast = found.velocity, found.forecast
    return {
        "organisation": organisation,
        "level": level,
        "node": node,
        "period": kind,
        "time_zone": time_zone,
        "from": rfc3339(found.start),
        "to": rfc3339(found.end),
        "at": rfc3339(found.now),
        "elapsed": round(found.elapsed / (found.end - found.start), 6),
        "spent_usd": str(found.spent),
        "cap_usd": _text(found.cap),
        "velocity": {
            "usd_per_day": str(velocity.per_day),
            "projected_usd": str(velocity.projected),
            "cap_reached_on": _text(velocity.cap_reached_on),
        },
        "forecast": {
            "method": forecast.method,
            "basis_days": forecast.basis_days,
            "projected_usd": str(forecast.projected),
            "interval": INTERVAL,
            "low_usd": _text(forecast.low),
            "high_usd": _text(forecast.high),
            "cap_reached_on": _text(forecast.cap_reached_on),
            "cap_passed_probability": forecast.cap_passed_probability,
        },
        "days": [
            {"date": str(day.date), "spent_usd": str(day.spent), "expected_usd": str(day.expected)}
            for day in found.days
        ],
    }


def _text(value: Money | date | None) -> str | None:
    return None if value is None else str(value)


def _node(asked: str | None, level: Level, organisation: str) -> str | None:
    """Check the id of a node; an empty one is the unattributed node, and the organisation needs none."""
    if level is Level.ORGANISATION and asked in (None, organisation):
        return organisation
    if level is Level.ORGANISATION:
        raise wrong_parameter({"node": "must be left out at the level organisation; say organisation= instead"})
    if asked is None or not (asked == "" or is_valid_id(asked)):
        must = f"must be the id of a {level.value}: 1 to 256 printable characters, or empty for what is unattributed"
        raise wrong_parameter({"node": must})
    return asked or None


def _time_zone(asked: str) -> str:
    try:
        return ZoneInfo(asked).key
    except (LookupError, ValueError, OSError) as error:  # unknown; not a name; a folder, or a name too long
        must = f"must be a name of the IANA database, such as Europe/Berlin; got {asked[:40]!r}"
        raise wrong_parameter({"time_zone": must}) from error


def _amount(asked: str | None) -> Money | None:
    if asked is None:
        return None
    try:
        amount = Money.parse(asked)
    except ValueError as error:
        raise wrong_parameter({"cap_usd": f"must be an amount: {str(error).rstrip('.')}"}) from error
    if amount < Money(0):
        raise wrong_parameter({"cap_usd": f"must not be negative; got {asked[:40]!r}"})
    return amount
