"""Who is asking: an API key, or anybody on this machine where the collector listens on loopback only."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from p402.collector.api.problem import Forbidden, Unauthorised
from p402.collector.api.rate_limits import EXEMPT, RateLimits
from p402.collector.settings import Address
from p402.collector.storage.disclosures import Reader
from p402.collector.storage.keys import SCOPES, Keys
from p402.vocabulary import Attribution, Level

__all__ = ["Authenticator", "Principal", "reader_of"]

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_ANONYMOUS_SCOPES = frozenset(SCOPES) - {"admin"}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and what they may."""

    key_id: str | None
    scopes: frozenset[str]
    bound_to: Attribution

    def may(self, scope: str) -> bool:
        """Tell whether a scope is allowed; ``admin`` includes all."""
        return scope in self.scopes or "admin" in self.scopes

    def within(self, organisation: str) -> Attribution:
        """Give the part of an organisation's tree that is theirs to see."""
        return self.bound_to.over(Attribution(organisation=organisation))

    def require(self, scope: str) -> None:
        """Insist on a scope.

        Raises:
            Forbidden: naming the scope that the key lacks.
        """
        if not self.may(scope):
            raise Forbidden(
                f"This needs an API key with the scope {scope!r}; yours has: {', '.join(sorted(self.scopes))}."
            )

    def require_whole_organisation(self) -> None:
        """Insist on a key that is not bound below the organisation, since sums tell about all of it.

        Raises:
            Forbidden: if it is.
        """
        if any(value is not None for level, value in self.bound_to if level is not Level.ORGANISATION):
            raise Forbidden("The API key is bound below the organisation; sums over all of it are not its to read.")

    def require_node(self, level: Level, node: str | None) -> None:
        """Insist on a key that may read the sums of a node: one of the whole organisation, or the node's own.

        A key's own node is the deepest that it is bound to: those above it have other parts too.

        Raises:
            Forbidden: if it is another's.
        """
        below = [
            (bound, value) for bound, value in self.bound_to if value is not None and bound is not Level.ORGANISATION
        ]
        if below and below[-1] != (level, node):
            raise Forbidden(f"The API key is bound to one {below[-1][0].value}, and may read only the sums of that.")


def reader_of(principal: Principal, what: str) -> Reader:
    """Say who reads personal data, for the access log."""
    return Reader(principal.key_id, principal.bound_to.employee, what)


class Authenticator:
    """Finds out who is asking, before anything else of the request is read."""

    def __init__(self, keys: Keys, listen: Address, limits: RateLimits, *, key_required: bool) -> None:
        self._keys = keys
        self._listen = listen
        self._limits = limits
        self._key_required = key_required

    async def authenticate(self, request: web.Request, scope: str) -> Principal:
        """Give the principal of an HTTP request that needs a scope.

        Raises:
            Unauthorised: without a valid key where one is needed.
            Forbidden: if the key does not have the scope, or a foreign page tries to use a local collector.
            TooManyRequests: if the key asks more often than it may.
        """
        authorization = request.headers.get("Authorization")
        if authorization is None and not self._key_required:
            self._refuse_foreign_pages(request)
        principal = await self.principal(authorization, scope)
        if principal.key_id is not None and scope not in EXEMPT:
            self._limits.take(request, principal.key_id)
        return principal

    async def principal(self, authorization: str | None, scope: str) -> Principal:
        """Give the principal that an ``Authorization`` header stands for, if it has a scope.

        Raises:
            Unauthorised: without a valid key where one is needed.
            Forbidden: if the key does not have the scope.
        """
        if authorization is not None:
            principal = await self._by_key(authorization)
        elif self._key_required:
            raise Unauthorised(
                "An API key is needed: send `Authorization: Bearer p402_…`. `p402 keys create` makes one."
            )
        else:
            principal = Principal(None, _ANONYMOUS_SCOPES, Attribution())
        principal.require(scope)
        return principal

    async def _by_key(self, header: str) -> Principal:
        kind, _, secret = header.partition(" ")
        key = await self._keys.find(secret.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise Unauthorised("The API key is unknown or was revoked. `p402 keys list` shows the keys that are valid.")
        return Principal(key.id, key.scopes, key.bound_to)

    def _refuse_foreign_pages(self, request: web.Request) -> None:
        """Keep web pages of other sites from talking to a collector on the reader's machine (DNS rebinding, CSRF)."""
        names = _LOCAL_NAMES | {self._listen.host}
        origin = request.headers.get("Origin")
        if _name_in(f"//{request.host}") not in names or (origin is not None and _name_in(origin) not in names):
            raise Forbidden("Without an API key only requests to and from this machine are answered.")


def _name_in(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # such as an address whose bracket is never closed
        return None
