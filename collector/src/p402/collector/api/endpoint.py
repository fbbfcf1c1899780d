"""How a handler is described: once, beside it. Its route, the checks at the door and the OpenAPI document come from that.

The docstring says what the endpoint does, the decorator who may use it and what it answers, and the signature what the
handler is given:

* ``caller: Caller``: who asks, with the scope that is needed, and about which organisation;
* ``query``: the parameters of the query, read into a model derived from `Query`;
* ``body``: the JSON body, read into a model;
* ``request``: the request itself, for headers;
* any other name: that part of the path, as text.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, get_type_hints

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.bodies import LARGEST_BODY, json_body
from p402.collector.api.query import Query, organisation_of, read_query

__all__ = [
    "ASKED_BY",
    "Caller",
    "Described",
    "Endpoint",
    "HeaderParameter",
    "Media",
    "ProblemWith",
    "Problems",
    "described_by",
    "endpoint",
    "routes_of",
]

Method = TypeVar("Method", bound=Callable[..., Awaitable[web.StreamResponse]])
_DESCRIPTION = "__endpoint__"

ASKED_BY = web.RequestKey("asked_by", Principal)
"""Who asks, on requests that have passed the door; whoever shows a refusal as a page looks there."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and about which organisation."""

    principal: Principal
    organisation: str


@dataclass(frozen=True, slots=True)
class Media:
    """An answer that is not JSON of a shape: its media type, and what it looks like."""

    media_type: str
    example: str | None = None
    about: str | None = None


@dataclass(frozen=True, slots=True)
class ProblemWith:
    """A problem that has members of its own."""

    shape: Any


@dataclass(frozen=True, slots=True)
class HeaderParameter:
    """A header that a handler reads."""

    name: str
    about: str
    example: str


Problems = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The description of one endpoint."""

    method: str
    path: str
    scope: str | None
    """That a key needs, or several between spaces; None: no key is needed."""
    answers: Mapping[int, Any]
    """By status: the type of the JSON, a `Media`, several of them, a `ProblemWith`, or None for an answer without a body."""
    problems: Problems
    """Statuses of refusals besides those that any endpoint of its kind may give."""
    headers: tuple[HeaderParameter, ...]
    """That it reads."""
    sends: tuple[str, ...]
    """Headers of its answers that mean something."""
    summary: str
    about: str
    query: type[Query] | None
    body: type[BaseModel] | None
    takes: Mapping[str, str]
    """What else a body may be: media types, each with what it holds."""
    path_parameters: tuple[str, ...]
    largest_body: int
    checks_key_again: bool
    given: tuple[str, ...] = field(default=())
    """The names of what the handler is given."""


class Described(Protocol):
    """A class of handlers."""

    @property
    def authenticator(self) -> Authenticator:
        """Finds out who asks."""
        ...

    @property
    def default_organisation(self) -> str:
        """Of requests that name none."""
        ...


def endpoint(
    route: str,
    *,
    answers: Mapping[int, Any],
    scope: str | None = None,
    problems: Problems = (),
    headers: tuple[HeaderParameter, ...] = (),
    sends: tuple[str, ...] = (),
    takes: Mapping[str, str] | None = None,
    checks_key_itself: bool = False,
    checks_key_again: bool = False,
    largest_body: int = LARGEST_BODY,
) -> Callable[[Method], Method]:
    """Describe a handler.

    Args:
        route: such as ``GET /v1/receipts/{receipt_id}``.
        answers: by status, what is given when all is well; see `Endpoint.answers`.
        scope: that the caller's key needs; None where nobody needs a key.
        problems: statuses of refusals. 400, 401, 403, 404, 429 and 503 need not be said where they follow from the rest.
        headers: that are read.
        sends: headers of the answers.
        takes: media types of bodies that the handler reads itself.
        checks_key_itself: whether the handler asks for the key, because its refusals look different.
        checks_key_again: whether what the handler changes requires a valid key, see `Authenticator.authenticate`.
        largest_body: in bytes, of a JSON body.
    """
    method, _, path = route.partition(" ")

    def describe(handler: Method) -> Method:
        hints = get_type_hints(handler)
        names = tuple(inspect.signature(handler).parameters)[1:]
        parts = tuple(part.split("}")[0] for part in path.split("{")[1:])
        if unknown := set(names) - {"caller", "query", "body", "request", *parts}:
            raise TypeError(f"{handler.__qualname__} wants {', '.join(sorted(unknown))}, which is no part of {path}")
        if scope is not None and not ("caller" in names or checks_key_itself):
            raise TypeError(f"{handler.__qualname__} needs the scope {scope}, but does not take the caller")
        summary, _, about = (inspect.getdoc(handler) or "").partition("\n\n")
        described = Endpoint(
            method=method,
            path=path,
            scope=scope,
            answers=answers,
            problems=problems,
            headers=headers,
            sends=sends,
            summary=" ".join(summary.split()),
            about=" ".join(about.split()),
            query=hints.get("query", Query if scope is not None and not checks_key_itself else None),
            body=hints.get("body"),
            takes=takes or {},
            path_parameters=parts,
            largest_body=largest_body,
            checks_key_again=checks_key_again,
            given=names,
        )
        setattr(handler, _DESCRIPTION, described)
        return handler

    return describe


def routes_of(api: Described) -> list[web.RouteDef]:
    """Give the routes of a class of handlers, in the order in which they are written."""
    found: list[web.RouteDef] = []
    for name, handler in vars(type(api)).items():
        described = described_by(handler)
        if described is not None:
            options = {"allow_head": False} if described.method == "GET" else {}
            found.append(web.RouteDef(described.method, described.path, _door(api, name, described), options))
    return found


def described_by(handler: Any) -> Endpoint | None:
    """Give the description of what a route calls; None if it has none."""
    found: Endpoint | None = getattr(handler, _DESCRIPTION, None)
    return found


def _door(api: Described, name: str, described: Endpoint) -> Handler:
    """Check and read what a request brings, in this order: who asks, the query, the body; then call the handler."""
    handler = getattr(api, name)
    wanted = frozenset(described.given)
    parts = tuple(part for part in described.path_parameters if part in wanted)
    wants_request, wants_caller, wants_query = "request" in wanted, "caller" in wanted, "query" in wanted
    first, *others = (described.scope or "").split() or [""]
    assert described.scope is not None or not wants_caller

    async def handle(request: web.Request) -> web.StreamResponse:
        given: dict[str, Any] = {part: request.match_info[part] for part in parts}
        if wants_request:
            given["request"] = request
        principal = None
        if wants_caller:
            principal = request[ASKED_BY] = await api.authenticator.authenticate(
                request, first, checked_again=described.checks_key_again
            )
            for scope in others:
                principal.require(scope)
        query = None if described.query is None else read_query(request, described.query)
        if principal is not None:
            asked = None if query is None else query.organisation
            given["caller"] = Caller(principal, organisation_of(asked, principal, api.default_organisation))
        if wants_query:
            given["query"] = query
        if described.body is not None:
            given["body"] = await json_body(request, described.body, described.largest_body)
        answer: web.StreamResponse = await handler(**given)
        return answer

    setattr(handle, _DESCRIPTION, described)
    return handle
