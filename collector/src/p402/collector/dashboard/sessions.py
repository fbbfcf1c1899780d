"""The log of sessions: who worked on what with which models, for how much, and how far the proof of it is."""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.dashboard.names import Naming, asked_for, nodes_of
from p402.collector.dashboard.places import place_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import Pageful
from p402.collector.storage.session_log import SessionFilter, session_log

__all__ = ["SessionsPage"]

_AT_ONCE = 50


class SessionsView(Pageful):
    """The query of the page."""

    begins: Annotated[str | None, Field(max_length=256, description="Only ids that begin so.")] = None
    state: Annotated[
        Literal["open", "closed"] | None,
        Field(description="`open`: a part waits for its receipt; `closed`: none does."),
    ] = None
    order: Annotated[Literal["newest", "dearest"], Field(description="Which come first.")] = "newest"
    level: Annotated[
        Literal["department", "project", "client", "employee"] | None,
        Field(description="With `node`: what to narrow to; the page then goes to where that is in the address itself."),
    ] = None
    node: Annotated[str | None, Field(max_length=256, description="With `level`.")] = None


class SessionsPage(Pages):
    """The handler."""

    def __init__(self, shell: Shell, naming: Naming) -> None:
        super().__init__(shell)
        self._naming = naming

    @endpoint("GET /sessions", scope="spend:read", answers={200: HTML, 303: None})
    async def sessions(self, request: web.Request, caller: Caller, query: SessionsView) -> web.Response:
        """List sessions whose last call was in the period, the newest or the dearest first."""
        if query.level is not None or query.begins == "" or query.node == "":
            return self._narrowed(request, query)
        place = place_of(query.before)
        asked = SessionFilter(
            within=caller.principal.within(caller.organisation),
            period=query.days(self._shell.clock.now()),
            only=query.only,
            begins=query.begins or "",
            open_=None if query.state is None else query.state == "open",
            dearest=query.order == "dearest",
        )
        found, names = await self._naming.read(
            caller,
            query,
            "GET /sessions",
            lambda connection: session_log(connection, asked, place, _AT_ONCE),
            lambda found: [
                *nodes_of(*(session.owner for _, session in found)),
                *asked_for(caller, query.only, shown=bool(found)),
            ],
        )
        more = str(found[-1][0]) if len(found) == _AT_ONCE else None
        sessions = [session for _, session in found]
        is_narrowed = bool(query.only or query.begins or query.state)
        return self._shell.page(
            request,
            caller,
            query,
            "sessions.html",
            live=place is None,
            sessions=sessions,
            names=names,
            more=more,
            only=query.only,
            is_narrowed=is_narrowed,
        )

    def _narrowed(self, request: web.Request, query: SessionsView) -> web.Response:
        """Send a reader who has filled the form in to where what they chose can be taken away again, piece by piece."""
        narrowed = {} if query.level is None or not query.node else {query.level: query.node}
        said = query.parameters(level=None, node=None, before=None, begins=query.begins or None, **narrowed)
        kept = {name: value for name, value in said.items() if name not in ("organisation", "period", "people")}
        return self._shell.see(request, "/sessions", **kept)
