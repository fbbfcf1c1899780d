"""Attribution in ASGI applications (FastAPI, Starlette, Django, …): a plain middleware around the application.

::

    app.add_middleware(AttributionMiddleware, claims=decode_and_verify, claim_levels={"sub": "employee"})
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from opentelemetry import context

from p402.instrumentation.guard import guard
from p402.instrumentation.servers.inbound import Claims, Inbound

__all__ = ["AttributionMiddleware"]

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


class AttributionMiddleware:
    """Attributes what each HTTP request or WebSocket does to what it is allowed to say of itself, see `Inbound`.

    That holds for streamed answers and background tasks too. Nothing of the request or the answer is changed.
    """

    def __init__(
        self,
        app: _App,
        *,
        headers: Mapping[str, str] | None = None,
        claims: Claims | None = None,
        claim_levels: Mapping[str, str] | None = None,
        trusted_peers: Iterable[str] | None = None,
    ) -> None:
        self._app = app
        self._inbound = Inbound(headers, claims, claim_levels, trusted_peers)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request, or pass what is none on."""
        token = None
        if scope["type"] in {"http", "websocket"}:
            with guard("attributing a request"):
                client = scope.get("client")
                headers = (
                    (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
                )
                token = context.attach(await self._inbound.context(client[0] if client else None, headers))
        try:
            await self._app(scope, receive, send)
        finally:
            if token is not None:
                context.detach(token)
