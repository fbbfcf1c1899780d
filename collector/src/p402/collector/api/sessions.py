"""Sessions over HTTP: whose they are and what they cost; and one with its receipts, its charges and what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Id, Levels, Time, Usd, levels_view, shape
from p402.collector.api.oversight_views import StoredDecision, stored_decision_view
from p402.collector.api.problem import BadRequest, Forbidden, NotFound
from p402.collector.api.query import NodeId, Page
from p402.collector.api.views import ChargeView, charge_view
from p402.collector.sessions.seal import Sealer
from p402.collector.storage.database import Database
from p402.collector.storage.session_list import (
    ListedSession,
    charges_of_sessions,
    decisions_of_session,
    is_within,
    sessions_page,
)
from p402.vocabulary import Attribution, is_valid_id, rfc3339

__all__ = ["SessionsApi"]

_MOST_OWNERS = 100  # of one session id


class SessionsQuery(Page):
    """Which sessions."""

    department: NodeId | None = None
    project: NodeId | None = None
    client: NodeId | None = None
    employee: NodeId | None = None
    session: NodeId | None = None
    state: Annotated[
        Literal["open", "sealed"] | None,
        Field(description="`open`: a part waits for its receipt; `sealed`: none does."),
    ] = None


class SessionView(Levels):
    """A session of one owner at every level; the same id with another owner is another one."""

    number: Count
    state: Literal["open", "sealed"]
    opened_at: Time
    """Of the part that is open now, or was last."""
    last_seen_at: Time
    due_at: Time | None
    """When the open part gets its receipt."""
    calls: Count
    unpriced_calls: Count
    cost_usd: Usd
    receipts: list[Id]
    """In the order of the log."""


@shape
class SessionPage(TypedDict):
    """Sessions in the order in which they were first seen."""

    sessions: list[SessionView]
    next_after: int | None


class WholeSession(SessionView):
    """A session with its calls."""

    charges: list[ChargeView]
    decisions: list[StoredDecision]
    """About calls around the time of those charges, refusals too."""
    next_after: int | None
    """Of the charges, the same for all owners of a session id."""


@shape
class SessionOfOwners(TypedDict):
    """All that has one session id; mostly that is one."""

    sessions: list[WholeSession]


@shape
class Closing(TypedDict):
    """A session that is about to get its receipt."""

    session: str
    state: Literal["closing"]
    open_parts: Count
    """Of different owners."""


@dataclass(frozen=True, slots=True)
class SessionsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    sealer: Sealer
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/sessions", scope="spend:read", answers={200: SessionPage})
    async def sessions(self, caller: Caller, query: SessionsQuery) -> web.Response:
        """List sessions in the order in which they were first seen; ``next_after`` continues."""
        within = caller.principal.within(caller.organisation)
        narrowed = Attribution(None, query.department, query.project, query.client, query.employee, query.session)
        open_ = None if query.state is None else query.state == "open"
        found = await self.database.read(
            lambda connection: sessions_page(connection, within, narrowed, query.after, query.limit, open_=open_)
        )
        page: SessionPage = {
            "sessions": [_view(listed) for listed in found],
            "next_after": found[-1].number if len(found) == query.limit else None,
        }
        return web.json_response(page)

    @endpoint("GET /v1/sessions/{session}", scope="spend:read", answers={200: SessionOfOwners})
    async def session(self, caller: Caller, query: Page, session: str) -> web.Response:
        """Show a session with its receipts, its charges in pages, and what was decided about its calls.

        Where an id has several owners, a page is of the charges of all of them.
        """
        within = caller.principal.within(caller.organisation)
        narrowed = Attribution(session=session)

        def read(connection: Connection) -> list[WholeSession]:
            found = sessions_page(connection, within, narrowed, 0, _MOST_OWNERS, open_=None)
            return _whole(connection, found, query)

        found = await self.database.read(read)
        if not found:
            raise NotFound(f"There is no session {session[:64]!r} that you may see. GET /v1/sessions lists them.")
        return web.json_response(SessionOfOwners(sessions=found))

    @endpoint("POST /v1/sessions/{session}/close", scope="ingest", answers={202: Closing})
    async def close(self, caller: Caller, session: str) -> web.Response:
        """Note that a session is over; its receipt follows when spans on their way have had time to arrive.

        A key that is bound to a part of the tree closes only what is of its part alone.
        """
        closing: Closing = {
            "session": session,
            "state": "closing",
            "open_parts": await self.ask_to_close(caller, session),
        }
        return web.json_response(closing, status=202)

    async def ask_to_close(self, caller: Caller, session: str) -> int:
        """Note that a session is over, for whoever may; gives how many open parts that closes.

        Raises:
            BadRequest: if that can be no id.
            Forbidden: if calls of the session are outside of the caller's part of the tree.
        """
        if not is_valid_id(session):
            raise BadRequest("A session id has 1 to 256 printable characters.")
        organisation, within = caller.organisation, caller.principal.within(caller.organisation)
        if not await self.database.read(lambda connection: is_within(connection, organisation, session, within)):
            raise Forbidden("Calls of this session are outside of the part to which the API key is bound.")
        return await self.sealer.close(organisation, session)


def _whole(connection: Connection, found: list[ListedSession], query: Page) -> list[WholeSession]:
    called = charges_of_sessions(connection, [listed.number for listed in found], query.after, query.limit)
    sharing = len({number for number, _, _ in called})
    sessions: list[WholeSession] = []
    for listed in found:
        own = [(seq, charge) for number, seq, charge in called if number == listed.number]
        decided = decisions_of_session(connection, listed, [charge for _, charge in own], sharing)
        whole: WholeSession = {
            **_view(listed),
            "charges": [charge_view(seq, charge) for seq, charge in own],
            "decisions": [stored_decision_view(one) for one in decided],
            "next_after": called[-1][1] if len(called) == query.limit else None,
        }
        sessions.append(whole)
    return sessions


def _view(listed: ListedSession) -> SessionView:
    return {
        **levels_view(listed.owner),
        "number": listed.number,
        "state": "sealed" if listed.due_at is None else "open",
        "opened_at": rfc3339(listed.opened_at),
        "last_seen_at": rfc3339(listed.last_seen_at),
        "due_at": None if listed.due_at is None else rfc3339(listed.due_at),
        "calls": listed.calls,
        "unpriced_calls": listed.unpriced_calls,
        "cost_usd": str(listed.cost),
        "receipts": list(listed.receipts),
    }
