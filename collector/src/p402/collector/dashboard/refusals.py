"""Whoever asks for a page and is nobody yet is shown the way to sign in; other problems are told by `errors`."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from p402.collector.access.places import local_path
from p402.collector.api.problem import Unauthorised

__all__ = ["refusals", "wants_page"]


def refusals() -> Middleware:
    """Give the middleware between the handlers and the one that writes problem documents."""

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Unauthorised:
            if "Authorization" in request.headers:
                raise
            if "HX-Request" in request.headers:  # a part of a page: the whole of it must go
                there = local_path(_path_of(request.headers.get("HX-Current-URL", "")))
                return web.Response(status=401, headers={"HX-Redirect": _sign_in(there)})
            if not wants_page(request):
                raise
            then = _sign_in(request.path_qs if request.method == "GET" else "/")
            return web.Response(status=303, headers={"Location": then, "Cache-Control": "no-store"})

    return tell


def wants_page(request: web.Request) -> bool:
    """Tell whether a request comes from somebody who looks at pages, and not from a program that uses the API."""
    is_api = request.path == "/v1" or request.path.startswith(("/v1/", "/.well-known/"))
    return not is_api and "text/html" in request.headers.get("Accept", "")


def _sign_in(then: str) -> str:
    return f"/sign-in?next={quote(local_path(then), safe='/')}"


def _path_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    return parts.path + (f"?{parts.query}" if parts.query else "")
