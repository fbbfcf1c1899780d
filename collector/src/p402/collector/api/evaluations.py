"""How good answers were, over HTTP: what evaluators found, by what the calls were for and by model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Annotated

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Node, Time, shape
from p402.collector.api.query import Moment, Query
from p402.collector.pipeline.evaluate import MILLIONTHS
from p402.collector.storage.database import Database
from p402.collector.storage.evaluations import Quality, evaluations_between, quality_by_task_and_model
from p402.vocabulary import Clock, Level, rfc3339

__all__ = ["EvaluationsApi"]

_DAYS = timedelta(days=30)
_EARLIEST = datetime.min.replace(tzinfo=UTC)

Score = Annotated[str, Field(pattern=r"^-?\d+(\.\d{1,6})?$", examples=["0.921"])]
"""As evaluators give it, to the millionth."""


class EvaluationsQuery(Query):
    """Of which time."""

    begin: Annotated[
        Moment | None, Field(alias="from", description="Made from this time on; default: 30 days before its end.")
    ] = None
    end: Annotated[
        Moment | None, Field(alias="to", description="Up to this time, which is left out; default: now.")
    ] = None


@shape
class QualityView(TypedDict):
    """What evaluators found about one model at one kind of work."""

    task_type: str | None
    provider: str
    model: str
    name: Annotated[str, Field(examples=["quality"])]
    """What was looked at: `gen_ai.evaluation.name`."""
    evaluations: Count
    mean: Score
    lowest: Score
    highest: Score


EvaluationsView = TypedDict(
    "EvaluationsView",
    {"organisation": Node, "from": Time, "to": Time, "evaluations": list[QualityView], "unmatched": Count | None},
)
"""Evaluations of a period. `unmatched` are those whose call is not known, or not one that their API key may tell about; null
where the caller does not see the whole organisation."""


@dataclass(frozen=True, slots=True)
class EvaluationsApi:
    """What the handler needs."""

    database: Database
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/evaluations", scope="spend:read", answers={200: EvaluationsView})
    async def evaluations(self, caller: Caller, query: EvaluationsQuery) -> web.Response:
        """Show how many answers were evaluated and the mean of their scores, by task type and model."""
        end = query.end or self.clock.now()
        begin = query.begin or max(end, _EARLIEST + _DAYS) - _DAYS
        within = caller.principal.within(caller.organisation)
        sees_all = all(value is None for level, value in within if level is not Level.ORGANISATION)

        def read(connection: Connection) -> tuple[list[Quality], int]:
            return (
                quality_by_task_and_model(connection, within, begin, end),
                evaluations_between(connection, within, begin, end),
            )

        found, made = await self.database.read(read, long=True)
        view: EvaluationsView = {
            "organisation": caller.organisation,
            "from": rfc3339(begin),
            "to": rfc3339(end),
            "evaluations": [_view(quality) for quality in found],
            "unmatched": made - sum(quality.evaluations for quality in found) if sees_all else None,
        }
        return web.json_response(view)


def _view(quality: Quality) -> QualityView:
    return {
        "task_type": quality.task_type,
        "provider": quality.provider,
        "model": quality.model,
        "name": quality.name,
        "evaluations": quality.evaluations,
        "mean": _score(round(Fraction(quality.total, quality.evaluations))),
        "lowest": _score(quality.lowest),
        "highest": _score(quality.highest),
    }


def _score(millionths: int) -> str:
    """Write a score as a decimal, without zeros at its end."""
    whole, rest = divmod(abs(millionths), MILLIONTHS)
    sign = "-" if millionths < 0 else ""
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else f"{sign}{whole}"
