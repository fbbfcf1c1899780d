"""The review queue as a page: why each session was flagged, and what a reviewer says about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BeforeValidator, Field, ValidationError
from sqlalchemy import Connection

from p402.collector.anomalies.detect import AnomalyRules, Rule
from p402.collector.anomalies.ports import AlreadyReviewed, Anomaly, AnomalyState
from p402.collector.api.anomalies import AnomalyReview
from p402.collector.api.bodies import form_body
from p402.collector.api.endpoint import Caller, Media, endpoint
from p402.collector.api.problem import BadRequest, NotFound
from p402.collector.dashboard.anomaly_words import RULE_NAMES, in_words, is_own, rules_in_words
from p402.collector.dashboard.forms import FORM_TYPE
from p402.collector.dashboard.names import Naming, Nodes, asked_for, nodes_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import Pageful
from p402.collector.storage.database import Database
from p402.collector.storage.review_queue import (
    QueueFilter,
    QueuePlace,
    Reviewer,
    queue_counts,
    queue_departments,
    queue_page,
    reviewers_of,
)
from p402.collector.storage.reviews import review
from p402.vocabulary import Level

__all__ = ["AnomalyPages"]

_AT_ONCE = 25
_ANY = BeforeValidator(lambda value: None if value == "*" else value)  # the choice of a form that leaves all
_DONE = {
    AnomalyState.CONFIRMED: "Confirmed: it stays in the list with your name and note.",
    AnomalyState.DISMISSED: "Dismissed: it stays in the list with your name and note.",
}


class AnomalyView(Pageful):
    """The query of the queue; it is of all times."""

    state: AnomalyState | None = None
    rule: Annotated[Rule | None, _ANY] = None
    department: Annotated[
        Annotated[str, Field(max_length=256)] | None, _ANY, Field(description="Only this one; `*`: all.")
    ] = None
    done: Annotated[
        AnomalyState | None, Field(description="What was said a moment ago, as the page itself puts it.")
    ] = None

    @property
    def asked(self) -> QueueFilter:
        """Which anomalies are asked for."""
        return QueueFilter(self.state, self.rule, self.department, self.employee)


@dataclass(frozen=True, slots=True)
class Queue:
    """What the page shows."""

    anomalies: Sequence[Anomaly]
    counts: Mapping[AnomalyState, int]
    departments: Sequence[str]
    reviewers: Mapping[str, Reviewer]

    @property
    def more(self) -> str | None:
        """Where the next page goes on."""
        return str(QueuePlace.of(self.anomalies[-1])) if len(self.anomalies) == _AT_ONCE else None

    @property
    def nodes(self) -> Nodes:
        """What may have names."""
        departments = [(Level.DEPARTMENT, department) for department in self.departments]
        return [*departments, *nodes_of(*(anomaly.session for anomaly in self.anomalies))]

    def reviewer(self, anomaly: Anomaly) -> str:
        """Say who reviewed."""
        if anomaly.reviewed_by is None:
            return "somebody on the collector's own machine"
        known = self.reviewers.get(anomaly.reviewed_by)
        return known.name if known else anomaly.reviewed_by

    def was_own(self, anomaly: Anomaly) -> bool:
        """Tell whether the reviewer reviewed their own session."""
        known = self.reviewers.get(anomaly.reviewed_by or "")
        return known is not None and is_own(anomaly, known.employee)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A review that was not taken: what was typed, and what is wrong with it."""

    anomaly_id: str
    note: str
    problem: str


class AnomalyPages(Pages):
    """The handlers."""

    def __init__(self, shell: Shell, database: Database, naming: Naming, rules: AnomalyRules) -> None:
        super().__init__(shell)
        self._database = database
        self._naming = naming
        self._rules = rules

    @endpoint("GET /anomalies", scope="spend:read", answers={200: HTML})
    async def queue(self, request: web.Request, caller: Caller, query: AnomalyView) -> web.Response:
        """Show the sessions that cost more than usual: what awaits review first, then what was reviewed, by whom and when."""
        return await self._show(request, caller, query)

    @endpoint(
        "POST /anomalies/{anomaly_id}/review",
        scope="review",
        answers={303: None, 400: (HTML, Media("application/problem+json")), 409: HTML},
        takes={FORM_TYPE: "`decision`: `confirmed` or `dismissed`; `note`."},
    )
    async def review(self, request: web.Request, caller: Caller, query: AnomalyView, anomaly_id: str) -> web.Response:
        """Note what a reviewer says about a flagged session, and show the queue again."""
        form = await form_body(request)
        note = form.get("note", "").replace("\r\n", "\n").strip()
        try:
            said = AnomalyReview.model_validate({"decision": form.get("decision"), "note": note or None})
        except ValidationError as error:
            wrong = {str(one["loc"][0]) for one in error.errors()}
            problem = (
                "A note is printable text of 2000 characters at most."
                if "note" in wrong
                else "Confirm it or dismiss it."
            )
            return await self._show(request, caller, query, Attempt(anomaly_id, note, problem), status=400)
        within, reviewer = caller.principal.within(caller.organisation), caller.principal.actor
        state, now = AnomalyState(said.decision), self._shell.clock.now()
        try:
            found = await self._database.write(
                lambda connection: review(connection, within, anomaly_id, state, reviewer, said.note, now)
            )
        except AlreadyReviewed as error:
            return await self._show(request, caller, query, Attempt(anomaly_id, note, str(error)), status=409)
        if found is None:
            raise NotFound("There is no such anomaly, or you may not see it.")
        raise web.HTTPSeeOther(f"/anomalies?{urlencode(query.parameters(done=state.value))}")

    async def _show(
        self,
        request: web.Request,
        caller: Caller,
        query: AnomalyView,
        attempt: Attempt | None = None,
        status: int = 200,
    ) -> web.Response:
        within, place = caller.principal.within(caller.organisation), _place(query.before)

        def read(connection: Connection) -> Queue:
            found = queue_page(connection, within, query.asked, place, _AT_ONCE)
            return Queue(
                found,
                queue_counts(connection, within, query.asked),
                queue_departments(connection, within),
                reviewers_of(connection, found),
            )

        page, names = await self._naming.read(
            caller,
            query,
            "GET /anomalies",
            read,
            lambda page: [*page.nodes, *asked_for(caller, query.only, shown=bool(page.anomalies))],
        )
        return self._shell.page(
            request,
            caller,
            query,
            "anomalies.html",
            live=False,
            status=status,
            path="/anomalies",
            page=page,
            names=names,
            attempt=attempt,
            done=_DONE.get(query.done) if query.done else None,
            words=lambda anomaly: in_words(anomaly, self._rules),
            rules=rules_in_words(self._rules),
            rule_names=RULE_NAMES,
            states=tuple(AnomalyState),
            own=caller.principal.employee,
        )


def _place(before: str | None) -> QueuePlace | None:
    if before is None:
        return None
    try:
        return QueuePlace.parse(before)
    except ValueError as error:
        raise BadRequest("The query parameter before is not one that a page has linked to.") from error
