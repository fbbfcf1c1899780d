"""The review queue of flagged sessions over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from p402.collector.anomalies.detect import Rule
from p402.collector.anomalies.ports import AlreadyReviewed, Anomaly, AnomalyState
from p402.collector.api.auth import Authenticator
from p402.collector.api.bodies import json_body
from p402.collector.api.pages import MAX_LIMIT, choice, identifier, integer, organisation_of
from p402.collector.api.problem import Conflict, NotFound
from p402.collector.storage.database import Database
from p402.collector.storage.reviews import AnomalyFilter, anomalies_page, review
from p402.vocabulary import Attribution, Clock, Money, rfc3339

__all__ = ["AnomaliesApi"]


def _readable(note: str) -> str:
    if not all(character.isprintable() or character in "\n\t" for character in note):
        raise ValueError("a note is printable text")
    return note


class _Review(BaseModel):
    model_config = ConfigDict(extra="forbid")

    decision: Literal["dismissed", "confirmed"]
    note: Annotated[str, StringConstraints(max_length=2000), AfterValidator(_readable)] | None = None


@dataclass(frozen=True, slots=True)
class AnomaliesApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return [
            web.get("/v1/anomalies", self.anomalies, allow_head=False),
            web.post("/v1/anomalies/{anomaly_id}/review", self.review),
        ]

    async def anomalies(self, request: web.Request) -> web.Response:
        """List flagged sessions in the order in which they were flagged; ``next_after`` continues."""
        principal = await self.authenticator.authenticate(request, "spend:read")
        organisation = organisation_of(request, principal, self.default_organisation)
        asked = AnomalyFilter(choice(request, "state", AnomalyState), choice(request, "rule", Rule))
        narrowed = Attribution(
            **{name: identifier(request, name) for name in ("department", "project", "client", "employee", "session")}
        )
        within = principal.within(organisation)
        after = integer(request, "after", 0, least=0, most=2**53)
        limit = integer(request, "limit", 100, least=1, most=MAX_LIMIT)
        found = await self.database.read(
            lambda connection: anomalies_page(connection, within, narrowed, asked, after, limit)
        )
        return web.json_response(
            {
                "anomalies": [_view(anomaly) for anomaly in found],
                "next_after": found[-1].seq if len(found) == limit else None,
            }
        )

    async def review(self, request: web.Request) -> web.Response:
        """Note what a reviewer says about a flagged session; it is said once."""
        principal = await self.authenticator.authenticate(request, "review")
        organisation = organisation_of(request, principal, self.default_organisation)
        within, reviewer, now = principal.within(organisation), principal.key_id, self.clock.now()
        said = await json_body(request, _Review)
        anomaly_id, state = request.match_info["anomaly_id"], AnomalyState(said.decision)
        try:
            found = await self.database.write(
                lambda connection: review(connection, within, anomaly_id, state, reviewer, said.note, now)
            )
        except AlreadyReviewed as error:
            raise Conflict(str(error)) from error
        if found is None:
            raise NotFound(f"There is no anomaly {anomaly_id[:40]!r} that you may see. GET /v1/anomalies lists them.")
        return web.json_response(_view(found))


def _view(anomaly: Anomaly) -> dict[str, Any]:
    return {
        "anomaly_id": anomaly.anomaly_id,
        "seq": anomaly.seq,
        **{level.value: value for level, value in anomaly.session},
        "rule": anomaly.rule.value,
        "cost_usd": str(anomaly.cost),
        "baseline": {
            "sessions": anomaly.baseline.sessions,
            "mean_usd": str(Money(anomaly.baseline.mean)),
            "total_usd": str(Money(anomaly.baseline.cost)),
        },
        "flagged_at": rfc3339(anomaly.flagged_at),
        "state": anomaly.state.value,
        "reviewed_by": anomaly.reviewed_by,
        "reviewed_at": None if anomaly.reviewed_at is None else rfc3339(anomaly.reviewed_at),
        "note": anomaly.note,
    }
