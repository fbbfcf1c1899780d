"""Problems as pages: what programs are told as a document of RFC 9457, people are told in words, with what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from p402.collector.api.endpoint import ASKED_BY, Caller
from p402.collector.dashboard.refusals import wants_page
from p402.collector.dashboard.shell import Shell
from p402.collector.dashboard.view import View

__all__ = ["pages_of_problems"]

_PROBLEM = "application/problem+json"
_METHODS = frozenset({"GET", "POST"})
_OF_THE_BODY = frozenset({"Content-Type", "Content-Length"})
_NEXT_STEPS = {
    400: "Change what it names, and try again.",
    401: "Sign in, or have your proxy send an API key with the request.",
    403: "Somebody with an admin key can give you a key, or a role, that may.",
    404: "It may have gone, or there is a slip in the address. The first page leads to everything that there is.",
    405: "Go back and use the links and buttons of the page.",
    409: "Somebody else was faster. Go back and load the page again to see how it is now.",
    429: "Wait a moment, then load this page again.",
    500: "It is not your fault, and nothing was half done. Whoever runs the collector finds the cause in its log.",
    503: "This passes by itself, mostly within seconds: load this page again. If it does not, whoever runs the collector should look.",
}


def pages_of_problems(shell: Shell) -> Middleware:
    """Give the middleware around all others; the API's own clients never notice it."""

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        is_problem = isinstance(answer, web.Response) and answer.content_type == _PROBLEM
        if not is_problem or not wants_page(request) or request.method not in _METHODS:
            return answer
        assert isinstance(answer, web.Response)
        return _page(shell, request, answer)

    return tell


def _page(shell: Shell, request: web.Request, answer: web.Response) -> web.Response:
    assert isinstance(answer.body, bytes)
    problem: Mapping[str, Any] = json.loads(answer.body)
    told = {
        "title": problem["title"],
        "detail": problem["detail"]
        if request.match_info.http_exception is None
        else f"Nothing is at {request.path[:200]}.",
        "next_step": _NEXT_STEPS.get(answer.status, HTTPStatus(answer.status).description or _NEXT_STEPS[400]),
        "back": _back(request),
        "somebody_else_may": answer.status in (401, 403),
    }
    principal = request.get(ASKED_BY)
    if principal is None:
        page = shell.bare("error.html", status=answer.status, **told)
    else:
        caller = Caller(principal, principal.bound_to.organisation or shell.default_organisation)
        page = shell.page(request, caller, View(), "error.html", live=False, status=answer.status, **told)
    page.headers.update({name: value for name, value in answer.headers.items() if name not in _OF_THE_BODY})
    return page


def _back(request: web.Request) -> str | None:
    """Give the address of the page that led here, if it was another one of ours."""
    try:
        parts = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return None
    if parts.netloc != request.host or not parts.path.startswith("/") or parts.path.startswith("//"):
        return None
    there = parts.path + (f"?{parts.query}" if parts.query else "")
    return None if there == request.path_qs and request.method == "GET" else there
