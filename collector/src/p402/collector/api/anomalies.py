"""The review queue of flagged sessions over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from typing_extensions import TypedDict

from p402.collector.anomalies.detect import Rule
from p402.collector.anomalies.ports import AlreadyReviewed, Anomaly, AnomalyState
from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Id, Levels, Time, Usd, levels_view, shape
from p402.collector.api.problem import Conflict, NotFound
from p402.collector.api.query import NodeId, Page
from p402.collector.storage.database import Database
from p402.collector.storage.reviews import AnomalyFilter, anomalies_page, review
from p402.vocabulary import Attribution, Clock, Money, rfc3339

__all__ = ["AnomaliesApi"]


def _readable(note: str) -> str:
    if not all(character.isprintable() or character in "\n\t" for character in note):
        raise ValueError("a note is printable text")
    return note


class AnomaliesQuery(Page):
    """Which flagged sessions."""

    state: AnomalyState | None = None
    rule: Rule | None = None
    department: NodeId | None = None
    project: NodeId | None = None
    client: NodeId | None = None
    employee: NodeId | None = None
    session: NodeId | None = None


class AnomalyReview(BaseModel):
    """What a reviewer says about a flagged session."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["dismissed", "confirmed"]
    note: Annotated[str, StringConstraints(max_length=2000), AfterValidator(_readable)] | None = None


@shape
class Baseline(TypedDict):
    """What the session was compared with."""

    sessions: Count
    mean_usd: Usd
    total_usd: Usd


class AnomalyView(Levels):
    """A flagged session."""

    anomaly_id: Id
    seq: int
    rule: Rule
    cost_usd: Usd
    baseline: Baseline
    flagged_at: Time
    state: AnomalyState
    reviewed_by: Id | None
    reviewed_at: Time | None
    note: str | None
    receipt_id: Id | None
    """The session's first receipt, which people can review; null until there is one."""


@shape
class AnomalyPage(TypedDict):
    """Flagged sessions in the order in which they were flagged."""

    anomalies: list[AnomalyView]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class AnomaliesApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/anomalies", scope="spend:read", answers={200: AnomalyPage})
    async def anomalies(self, caller: Caller, query: AnomaliesQuery) -> web.Response:
        """List flagged sessions in the order in which they were flagged; ``next_after`` continues."""
        asked = AnomalyFilter(query.state, query.rule)
        narrowed = Attribution(None, query.department, query.project, query.client, query.employee, query.session)
        within = caller.principal.within(caller.organisation)
        found = await self.database.read(
            lambda connection: anomalies_page(connection, within, narrowed, asked, query.after, query.limit)
        )
        page: AnomalyPage = {
            "anomalies": [_view(anomaly) for anomaly in found],
            "next_after": found[-1].seq if len(found) == query.limit else None,
        }
        return web.json_response(page)

    @endpoint("POST /v1/anomalies/{anomaly_id}/review", scope="review", answers={200: AnomalyView}, problems=(409,))
    async def review(self, caller: Caller, anomaly_id: str, body: AnomalyReview) -> web.Response:
        """Note what a reviewer says about a flagged session; it is said once."""
        within, reviewer = caller.principal.within(caller.organisation), caller.principal.actor
        state, now = AnomalyState(body.decision), self.clock.now()
        try:
            found = await self.database.write(
                lambda connection: review(connection, within, anomaly_id, state, reviewer, body.note, now)
            )
        except AlreadyReviewed as error:
            raise Conflict(str(error)) from error
        if found is None:
            raise NotFound(f"There is no anomaly {anomaly_id[:40]!r} that you may see. GET /v1/anomalies lists them.")
        return web.json_response(_view(found))


def _view(anomaly: Anomaly) -> AnomalyView:
    return {
        "anomaly_id": anomaly.anomaly_id,
        "seq": anomaly.seq,
        **levels_view(anomaly.session),
        "rule": anomaly.rule,
        "cost_usd": str(anomaly.cost),
        "baseline": {
            "sessions": anomaly.baseline.sessions,
            "mean_usd": str(Money(anomaly.baseline.mean)),
            "total_usd": str(Money(anomaly.baseline.cost)),
        },
        "flagged_at": rfc3339(anomaly.flagged_at),
        "state": anomaly.state,
        "reviewed_by": anomaly.reviewed_by,
        "reviewed_at": None if anomaly.reviewed_at is None else rfc3339(anomaly.reviewed_at),
        "note": anomaly.note,
        "receipt_id": anomaly.receipt_id,
    }
