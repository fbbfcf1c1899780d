"""One session: its requests and what was refused, in their order, why each model was used, and its receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.problem import NotFound
from p402.collector.api.query import DIGITS
from p402.collector.api.sessions import SessionsApi
from p402.collector.dashboard.format import in_path
from p402.collector.dashboard.names import Naming, nodes_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import View
from p402.collector.storage.decision_rows import Decided
from p402.collector.storage.session_list import charges_of_sessions, decisions_of_owner
from p402.collector.storage.session_log import LoggedSession, sessions_called
from p402.decisions import Code
from p402.vocabulary import Attribution, Charge

__all__ = ["SessionPage", "Step", "steps_of"]

_AT_ONCE = 200
_MOST_DECISIONS = 2_000
_AROUND = timedelta(hours=1)  # a decision is made before its call begins, and one that refuses has no call
_IN_WORDS = {
    Code.BUDGET_EXHAUSTED: "a budget is used up",
    Code.HOLDS_PENDING: "other calls hold what is left of a budget",
    Code.REQUEST_CEILING: "the call could cost more than a single one may",
    Code.RULE: "a rule of the policy",
    Code.MODEL_DENIED: "the policy forbids the model",
    Code.PROVIDER_DENIED: "the policy forbids the provider",
    Code.ABOVE_MAX_TIER: "the model is above the highest tier of the policy",
    Code.BELOW_MIN_TIER: "the model is below the lowest tier of the policy",
    Code.NO_SUITABLE_MODEL: "the policy permits no model that can do it",
    Code.UNPRICED_MODEL: "nobody knows the model's price, and a budget is hard",
    Code.COLLECTOR_UNREACHABLE: "the collector could not be asked",
}

_Number = Annotated[int | None, Field(ge=0, le=2**53), DIGITS]


class SessionView(View):
    """The query of the page."""

    owner: Annotated[_Number, Field(description="Which of several owners of the id; default: the last to call.")] = None
    after: Annotated[_Number, Field(description="Goes on with the requests after this one; as the page links.")] = None
    done: Annotated[Literal["closed"] | None, Field(description="What was done here just now.")] = None


@dataclass(frozen=True, slots=True)
class Step:
    """Something of a session in its place in time: a call, or one that was refused."""

    at: datetime
    charge: Charge | None
    refused: Decided | None

    @property
    def why(self) -> str | None:
        """Why a call was refused, in words."""
        return None if self.refused is None else _IN_WORDS.get(self.refused.decision.code, self.refused.decision.code)


@dataclass(frozen=True, slots=True)
class _Shown:
    session: LoggedSession
    others: Sequence[LoggedSession]
    """Of other owners of the same id."""
    steps: Sequence[Step]
    next_after: int | None


class SessionPage(Pages):
    """The handlers."""

    def __init__(self, shell: Shell, naming: Naming, api: SessionsApi, trace_url: str | None) -> None:
        super().__init__(shell)
        self._naming = naming
        self._api = api
        self._trace_url = trace_url

    @endpoint("GET /sessions/{session}", scope="spend:read", answers={200: HTML})
    async def session(self, request: web.Request, caller: Caller, query: SessionView, session: str) -> web.Response:
        """Show a session: its owner, what it cost, its requests in order with the refused ones, its receipts."""
        within = caller.principal.within(caller.organisation)
        name = _NO_PATHS.get(session, session)
        shown, names = await self._naming.read(
            caller,
            query,
            "GET /sessions/{session}",
            lambda connection: _read(connection, within, name, query.owner, query.after or 0),
            lambda shown: nodes_of(*(one.owner for one in (shown.session, *shown.others))),
        )
        is_all = query.after is None and shown.next_after is None
        return self._shell.page(
            request,
            caller,
            query,
            "session.html",
            live=is_all,
            shown=shown,
            session=shown.session,
            names=names,
            name=name,
            trace_url=self._trace_url,
            now=self._shell.clock.now(),
        )

    @endpoint(
        "POST /sessions/{session}/close",
        scope="ingest",
        answers={303: None},
    )
    async def close(self, request: web.Request, caller: Caller, session: str) -> web.Response:
        """Close a session, so that it gets its receipt; then show it."""
        name = _NO_PATHS.get(session, session)
        await self._api.ask_to_close(caller, name)
        return self._shell.see(request, f"/sessions/{in_path(name)}", done="closed")


def steps_of(charges: Sequence[Charge], decided: Sequence[Decided]) -> list[Step]:
    """Put calls, and those that were refused, into the order of time (pure)."""
    steps = [Step(charge.started_at, charge, None) for charge in charges]
    steps += [Step(one.decided_at, None, one) for one in decided if not one.decision.goes_ahead]
    return sorted(steps, key=lambda step: step.at)


_NO_PATHS = {"%2E": ".", "%2E%2E": ".."}
"""Ids that no browser asks for, since they mean another address; see `format.in_path`."""


def _read(connection: Connection, within: Attribution, session: str, owner: int | None, after: int) -> _Shown:
    found = sessions_called(connection, within, session)
    one = next((it for it in found if owner in (None, it.number)), None)
    if one is None:
        raise NotFound(f"There is no session {session[:64]!r} with calls that you may see; sessions lists them.")
    rows = charges_of_sessions(connection, [one.number], after, _AT_ONCE + 1)
    shown = [charge for _, _, charge in rows[:_AT_ONCE]]
    more = len(rows) > _AT_ONCE
    begin = min((charge.started_at for charge in shown), default=one.first_at)
    end = max((charge.ended_at for charge in shown), default=one.last_at)
    begin -= timedelta(0) if after else _AROUND
    end += timedelta(milliseconds=1) if more else _AROUND
    decided = decisions_of_owner(connection, one.owner, begin, end, _MOST_DECISIONS)
    return _Shown(
        session=one,
        others=[it for it in found if it is not one],
        steps=steps_of(shown, decided),
        next_after=rows[_AT_ONCE - 1][1] if more else None,
    )
