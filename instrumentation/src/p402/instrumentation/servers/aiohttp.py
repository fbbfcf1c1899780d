"""Attribution in aiohttp's server: a middleware of its application.

::

    application = web.Application(middlewares=[attribution_middleware(headers={"x-department": "department"})])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from opentelemetry import context

from p402.instrumentation.guard import guard
from p402.instrumentation.servers.inbound import Claims, Inbound

__all__ = ["attribution_middleware"]


def attribution_middleware(
    *,
    headers: Mapping[str, str] | None = None,
    claims: Claims | None = None,
    claim_levels: Mapping[str, str] | None = None,
    trusted_peers: Iterable[str] | None = None,
) -> Middleware:
    """Make a middleware that attributes what a handler does to what its request is allowed to say, see `Inbound`.

    That holds until the handler returns: also for streams and WebSockets, which are written inside a handler.
    """
    inbound = Inbound(headers, claims, claim_levels, trusted_peers)

    @web.middleware
    async def attribute(request: web.Request, handler: Handler) -> web.StreamResponse:
        token = None
        with guard("attributing a request"):
            received = ((name.lower(), value) for name, value in request.headers.items())
            token = context.attach(await inbound.context(request.remote, received))
        try:
            return await handler(request)
        finally:
            if token is not None:
                context.detach(token)

    return attribute
