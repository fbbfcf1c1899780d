"""Who is asking: an API key, somebody who signed in at the pages, or anybody on this machine where that is enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import web

from p402.collector.access.places import is_cross_origin
from p402.collector.access.roles import SCOPES_OF
from p402.collector.address import Address
from p402.collector.api.problem import Forbidden, Unauthorised
from p402.collector.api.rate_limits import EXEMPT, RateLimits
from p402.collector.storage.disclosures import Reader
from p402.collector.storage.keys import SCOPES, ApiKey, Keys
from p402.collector.storage.web_sessions import WebSession, WebSessions
from p402.vocabulary import Attribution, Clock, Level

__all__ = ["REFRESH_HEADER", "SESSION_COOKIE", "AccessRules", "Authenticator", "Principal", "reader_of"]

SESSION_COOKIE = "p402_session"
REFRESH_HEADER = "P402-Refresh"
"""Of requests by which a page refreshes itself: they are no sign that anybody is there."""

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_ANONYMOUS_SCOPES = frozenset(SCOPES) - {"admin", "budgets:write"}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and what they may."""

    key_id: str | None
    """Of the API key; None: somebody whom the identity provider knows, or somebody on this machine."""
    scopes: frozenset[str]
    bound_to: Attribution
    person: str | None = None
    """Who signed in at the pages, for people to read; None: nobody did."""
    role: str | None = None
    """What they are, if the identity provider said so."""
    known_as: str | None = None
    """Their id, for the access log."""
    session_id: str | None = None
    """Of what they did since they signed in."""

    @property
    def actor(self) -> str | None:
        """Who does this, for trails of changes: an id of a key, else of a session; None: somebody on this machine."""
        return self.key_id or self.session_id

    @property
    def employee(self) -> str | None:
        """Who asks, by their id, where that is known: who signed in, or whom the API key is bound to."""
        return self.known_as or self.bound_to.employee

    @property
    def is_of_whole_organisation(self) -> bool:
        """Whether they are bound to no part of one."""
        return not any(value is not None for level, value in self.bound_to if level is not Level.ORGANISATION)

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
            has = ", ".join(sorted(self.scopes))
            if self.role is not None:
                raise Forbidden(f"This needs the scope {scope!r}; your role, {self.role}, has: {has}.")
            if self.actor is None:
                raise Forbidden(
                    f"This needs an API key with the scope {scope!r}, also on this machine; none was sent. `p402 serve` printed one "
                    f"at its first start, and `p402 keys create NAME --scope {scope}` makes one; commands take it from P402_API_KEY."
                )
            raise Forbidden(f"This needs an API key with the scope {scope!r}; yours has: {has}.")

    def require_whole_organisation(self) -> None:
        """Insist on a key that is not bound below the organisation, since sums tell about all of it.

        Raises:
            Forbidden: if it is.
        """
        if not self.is_of_whole_organisation:
            raise Forbidden("The API key is bound below the organisation; sums over all of it are not its to read.")

    def require_node(self, level: Level, node: str | None) -> None:
        """Insist on a key that may read the sums of a node: one of the whole organisation, or the node's own.

        A key that is bound to several levels has no node of its own: a project may be of several departments, and an
        employee works on several projects.

        Raises:
            Forbidden: if it is another's.
        """
        below = [
            (bound, value) for bound, value in self.bound_to if value is not None and bound is not Level.ORGANISATION
        ]
        if len(below) > 1:
            levels = " and ".join(f"a {bound.value}" for bound, _ in below).replace("a employee", "an employee")
            raise Forbidden(f"The API key is bound to {levels}, and each has sums of other parts too.")
        if below and below[0] != (level, node):
            raise Forbidden(f"The API key is bound to one {below[0][0].value}, and may read only the sums of that.")


_ANYBODY = Principal(None, _ANONYMOUS_SCOPES, Attribution())


def reader_of(principal: Principal, what: str) -> Reader:
    """Say who reads personal data, for the access log."""
    return Reader(principal.actor, principal.employee, what)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """What the settings say about who may ask."""

    listen: Address
    key_required: bool
    """Whether nobody may ask without a key or a session."""
    demo: bool = False
    """Whether somebody on this machine is an administrator."""
    public_url: str | None = None
    """What people call us, where a proxy calls us something else."""


class Authenticator:
    """Finds out who is asking, before anything else of the request is read."""

    def __init__(self, keys: Keys, sessions: WebSessions, limits: RateLimits, clock: Clock, rules: AccessRules) -> None:
        self._keys = keys
        self._sessions = sessions
        self._limits = limits
        self._clock = clock
        self._rules = rules

    async def authenticate(self, request: web.Request, scope: str, *, checked_again: bool = False) -> Principal:
        """Give the principal of an HTTP request that needs a scope.

        Args:
            request: the request.
            scope: that is needed.
            checked_again: whether the change that it asks for requires a valid key (`storage.valid_keys`), so that the
                key may come from memory here.

        Raises:
            Unauthorised: without a valid key or session where one is needed.
            Forbidden: if it does not have the scope, or a page of somebody else makes the browser ask.
            TooManyRequests: if the key asks more often than it may.
        """
        principal = await self.who(request, checked_again=checked_again)
        principal.require(scope)
        if principal.actor is not None and scope not in EXEMPT:
            self._limits.take(request, principal.actor)
        return principal

    async def who(self, request: web.Request, *, use: bool = True, checked_again: bool = False) -> Principal:
        """Give the principal of an HTTP request, whatever it may; whoever streams an answer asks again with this.

        Args:
            request: that is asked about.
            use: whether it shows that somebody is there, and keeps a session from ending.
            checked_again: see `authenticate`.

        Raises:
            Unauthorised: without a valid key or session where one is needed.
            Forbidden: if a page of somebody else makes the browser ask.
        """
        authorization = request.headers.get("Authorization")
        if authorization is not None:
            return await self._by_key(authorization, self._keys.find_or_remember if checked_again else self._keys.find)
        token = request.cookies.get(SESSION_COOKIE) if "Cookie" in request.headers else None
        if token is not None:
            session = await self._sessions.find(token, self._clock.now(), use=use and not _by_itself(request))
            if session is not None:
                self.refuse_cross_origin(request)
                return _of_session(session)
        if not self._rules.key_required:
            self._refuse_foreign_pages(request)
        return self._anybody()

    async def principal(self, authorization: str | None, scope: str) -> Principal:
        """Give the principal that an ``Authorization`` header stands for, if it has a scope.

        Raises:
            Unauthorised: without a valid key where one is needed.
            Forbidden: if the key does not have the scope.
        """
        principal = self._anybody() if authorization is None else await self._by_key(authorization, self._keys.find)
        principal.require(scope)
        return principal

    def forget(self) -> None:
        """Read every key anew, after a change has found that one is another now."""
        self._keys.forget()

    def refuse_cross_origin(self, request: web.Request) -> None:
        """Keep pages of other sites from changing something in the name of whoever has them open.

        Raises:
            Forbidden: if one tries to.
        """
        if is_cross_origin(request.method, request.headers, request.host, self._rules.public_url):
            raise Forbidden("A page of another site must not make your browser do this.")

    async def _by_key(self, header: str, find: Callable[[str], Awaitable[ApiKey | None]]) -> Principal:
        kind, _, secret = header.partition(" ")
        key = await find(secret.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise Unauthorised("The API key is unknown or was revoked. `p402 keys list` shows the keys that are valid.")
        return _of_key(key)

    def _anybody(self) -> Principal:
        if self._rules.key_required:
            raise Unauthorised(
                "An API key is needed: send `Authorization: Bearer p402_…`. `p402 keys create` makes one."
            )
        return Principal(None, frozenset({"admin"}), Attribution()) if self._rules.demo else _ANYBODY

    def _refuse_foreign_pages(self, request: web.Request) -> None:
        """Keep web pages of other sites from talking to a collector on the reader's machine (DNS rebinding, CSRF)."""
        names = _LOCAL_NAMES | {self._rules.listen.host}
        origin = request.headers.get("Origin")
        if _name_in(f"//{request.host}") not in names or (origin is not None and _name_in(origin) not in names):
            raise Forbidden("Without an API key only requests to and from this machine are answered.")
        if self._rules.demo:  # another page of this machine is no administrator
            self.refuse_cross_origin(request)


def _of_key(key: ApiKey) -> Principal:
    return Principal(key.id, key.scopes, key.bound_to)


def _of_session(session: WebSession) -> Principal:
    key = session.key
    return Principal(
        key_id=None if key is None else key.id,
        scopes=SCOPES_OF.get(session.role or "", frozenset()) if key is None else key.scopes,
        bound_to=session.bound_to,
        person=session.name,
        role=session.role,
        known_as=session.known_as,
        session_id=session.id,
    )


def _by_itself(request: web.Request) -> bool:
    """Tell whether a page asks without anybody's doing: to refresh itself, or to be told when to."""
    return REFRESH_HEADER in request.headers or request.headers.get("Accept") == "text/event-stream"


@lru_cache(maxsize=256)
def _name_in(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # such as an address whose bracket is never closed
        return None
