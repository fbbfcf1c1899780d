"""Where spend is heading: ``GET /v1/forecast``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from aiohttp import web

from p402.collector.api.auth import Authenticator
from p402.collector.api.pages import organisation_of
from p402.collector.api.problem import BadRequest
from p402.collector.budgets.period import Period, PeriodKind
from p402.collector.forecast.project import INTERVAL, Projection
from p402.collector.forecast.service import Forecasts
from p402.vocabulary import Clock, Level, Money, is_valid_id, rfc3339

__all__ = ["ForecastApi"]

_Name = TypeVar("_Name", bound=StrEnum)

_PERIODS = (PeriodKind.DAY, PeriodKind.WEEK, PeriodKind.MONTH)
_LEVELS = tuple(level for level in Level if level is not Level.REQUEST)


@dataclass(frozen=True, slots=True)
class ForecastApi:
    """What the handler needs."""

    forecasts: Forecasts
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the route; the README's table is checked against it."""
        return [web.get("/v1/forecast", self.forecast, allow_head=False)]

    async def forecast(self, request: web.Request) -> web.Response:
        """Project what a node will have spent at the end of the period under way."""
        principal = await self.authenticator.authenticate(request, "spend:read")
        organisation = organisation_of(request, principal, self.default_organisation)
        level = _choice(request, "level", Level.ORGANISATION, _LEVELS)
        node = _node(request, level, organisation)
        principal.require_node(level, node)
        kind = _choice(request, "period", PeriodKind.MONTH, _PERIODS)
        time_zone = _time_zone(request)
        cap = _amount(request, "cap_usd")
        now = self.clock.now()
        window = Period(kind=kind, time_zone=time_zone).window(now)
        assert window.end is not None, "calendar periods end"
        found = await self.forecasts.project(organisation, level, node, window.start, window.end, time_zone, cap, now)
        asked = {
            "organisation": organisation,
            "level": level.value,
            "node": node,
            "period": kind.value,
            "time_zone": time_zone,
        }
        return web.json_response(asked | _view(found))


def _view(found: Projection) -> dict[str, Any]:
    velocity, forecast = found.velocity, found.forecast
    return {
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
            "method": forecast.method.value,
            "basis_days": forecast.basis_days,
            "projected_usd": str(forecast.projected),
            "interval": INTERVAL,
            "low_usd": _text(forecast.low),
            "high_usd": _text(forecast.high),
            "cap_reached_on": _text(forecast.cap_reached_on),
            "cap_passed_probability": forecast.cap_passed_probability,
        },
        "days": [
            {"date": _text(day.date), "spent_usd": str(day.spent), "expected_usd": str(day.expected)}
            for day in found.days
        ],
    }


def _text(value: Money | date | None) -> str | None:
    return None if value is None else str(value)


def _choice(request: web.Request, name: str, default: _Name, names: Sequence[_Name]) -> _Name:
    asked = request.query.get(name, default.value)
    found = next((known for known in names if known.value == asked), None)
    if found is None:
        listed = ", ".join(known.value for known in names)
        raise BadRequest(f"The query parameter {name} must be one of {listed}; got {asked[:40]!r}.")
    return found


def _node(request: web.Request, level: Level, organisation: str) -> str | None:
    """Read the id of a node; an empty one is the unattributed node, and the organisation needs none."""
    asked = request.query.get("node")
    if level is Level.ORGANISATION and asked in (None, organisation):
        return organisation
    if level is Level.ORGANISATION:
        raise BadRequest(
            "The query parameter node must be left out at the level organisation; say organisation= instead."
        )
    if asked is None or not (asked == "" or is_valid_id(asked)):
        raise BadRequest(
            f"The query parameter node must be the id of a {level.value}: 1 to 256 printable characters,"
            " or empty for what is unattributed."
        )
    return asked or None


def _time_zone(request: web.Request) -> str:
    asked = request.query.get("time_zone", "UTC")
    try:
        return ZoneInfo(asked).key
    except (LookupError, ValueError, OSError) as error:  # unknown; not a name; a folder, or a name too long
        raise BadRequest(
            f"The query parameter time_zone must be a name of the IANA database, such as Europe/Berlin; got {asked[:40]!r}."
        ) from error


def _amount(request: web.Request, name: str) -> Money | None:
    asked = request.query.get(name)
    if asked is None:
        return None
    try:
        amount = Money.parse(asked)
    except ValueError as error:
        raise BadRequest(f"The query parameter {name}: {error}") from error
    if amount < Money(0):
        raise BadRequest(f"The query parameter {name} must not be negative; got {asked[:40]!r}.")
    return amount
