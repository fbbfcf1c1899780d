"""Signing in and out: by an API key, or at the identity provider (OpenID Connect, authorisation code with PKCE)."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import structlog
from aiohttp import web

from p402.collector.access.attempt import Attempt
from p402.collector.access.id_token import IdTokenRefused
from p402.collector.access.places import local_path
from p402.collector.access.provider import IdentityProvider
from p402.collector.access.roles import person_of
from p402.collector.api.auth import SESSION_COOKIE
from p402.collector.api.bodies import form_body
from p402.collector.api.endpoint import Media, endpoint
from p402.collector.api.problem import BadRequest, NotFound, TooManyRequests, Unauthorised, status_of
from p402.collector.api.rate_limits import RateLimits, address_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.storage.keys import Keys
from p402.collector.storage.web_sessions import WebSessions
from p402.vocabulary import P402Error

__all__ = ["SignIn"]

log = structlog.get_logger(__name__)

_ATTEMPT_COOKIE = "p402_sign_in"
_ATTEMPT_PATH = "/sign-in/oidc"
_ATTEMPT_LASTS = timedelta(minutes=10)
_LARGEST_FORM = 8 * 1024
_REFUSED = Media("text/html", about="The page to sign in, which says what was wrong.")


class SignIn(Pages):
    """The handlers."""

    def __init__(
        self,
        shell: Shell,
        keys: Keys,
        sessions: WebSessions,
        provider: IdentityProvider | None,
        limits: RateLimits,
        public_url: str | None,
    ) -> None:
        super().__init__(shell)
        self._clock = shell.clock
        self._keys = keys
        self._sessions = sessions
        self._provider = provider
        self._limits = limits
        self._public_url = public_url

    @endpoint("GET /sign-in", answers={200: HTML}, problems=(503,))
    async def form(self, request: web.Request) -> web.Response:
        """Show how to sign in, and who is signed in."""
        person = None
        with suppress(P402Error):
            person = (await self.authenticator.who(request, use=False)).person
        return self._page(local_path(request.query.get("next")), person=person)

    @endpoint(
        "POST /sign-in",
        takes={"application/x-www-form-urlencoded": "`key`, and `next`: the path of the page that is wanted."},
        answers={303: None, 400: _REFUSED, 401: _REFUSED, 403: _REFUSED, 429: _REFUSED, 503: _REFUSED},
    )
    async def by_key(self, request: web.Request) -> web.Response:
        """Begin a session that stands for an API key."""
        then = "/"
        try:
            self.authenticator.refuse_cross_origin(request)
            self._limits.take(request, address_of(request))
            form = await form_body(request, _LARGEST_FORM)
            then, now = local_path(form.get("next")), self._clock.now()
            key = await self._keys.find(form.get("key", "").strip())
            if key is None:
                raise Unauthorised("The API key is unknown or was revoked.")
            return await self._signed_in(request, await self._sessions.begin_for_key(key, now), then)
        except P402Error as error:
            return self._refused(error, then, "key")

    @endpoint("POST /sign-out", answers={303: None}, problems=(403, 503))
    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session here; the identity provider may still know the person."""
        self.authenticator.refuse_cross_origin(request)
        await self._end_session(request)
        answer = _sent_to("/sign-in")
        answer.del_cookie(SESSION_COOKIE, path="/")
        return answer

    @endpoint("GET /sign-in/oidc", answers={303: None, 404: _REFUSED, 503: _REFUSED})
    async def at_provider(self, request: web.Request) -> web.Response:
        """Send somebody to the identity provider."""
        attempt = Attempt.begin(request.query.get("next", "/"))
        try:
            address = await self._known_provider().address(attempt, self._redirect_uri(request))
        except P402Error as error:
            return self._refused(error, attempt.then, "oidc")
        answer = _sent_to(address)
        answer.set_cookie(
            _ATTEMPT_COOKIE,
            attempt.cookie,
            max_age=int(_ATTEMPT_LASTS.total_seconds()),
            path=_ATTEMPT_PATH,
            httponly=True,
            samesite="Lax",
            secure=self._is_secure(request),
        )
        return answer

    @endpoint(
        "GET /sign-in/oidc/callback",
        answers={303: None, 400: _REFUSED, 403: _REFUSED, 404: _REFUSED, 429: _REFUSED, 503: _REFUSED},
    )
    async def from_provider(self, request: web.Request) -> web.Response:
        """Begin a session of whoever comes back from the identity provider."""
        attempt = Attempt.of_cookie(request.cookies.get(_ATTEMPT_COOKIE, ""))
        then = "/" if attempt is None else attempt.then
        try:
            provider = self._known_provider()
            self._limits.take(request, address_of(request))
            if attempt is None or not attempt.has_state(request.query.get("state", "")):
                raise BadRequest("This sign-in was begun in another browser, or more than ten minutes ago. Try again.")
            if "code" not in request.query:
                raise IdTokenRefused("The identity provider did not let you in, or you went back. Try again.")
            claims = await provider.claims(
                attempt, request.query["code"], request.query.get("iss"), self._redirect_uri(request)
            )
            person = person_of(claims, provider.settings, self.default_organisation)
            token = await self._sessions.begin_for_person(person, self._clock.now())
            answer = await self._signed_in(request, token, then)
        except P402Error as error:
            answer = self._refused(error, then, "oidc")
        answer.del_cookie(_ATTEMPT_COOKIE, path=_ATTEMPT_PATH)
        return answer

    # --- shared

    async def _signed_in(self, request: web.Request, token: str, then: str) -> web.Response:
        await self._end_session(request)
        answer = _sent_to(then)
        answer.set_cookie(
            SESSION_COOKIE,
            token,
            max_age=int(self._sessions.longest.total_seconds()),
            path="/",
            httponly=True,
            samesite="Lax",
            secure=self._is_secure(request),
        )
        return answer

    async def _end_session(self, request: web.Request) -> None:
        before = request.cookies.get(SESSION_COOKIE)
        if before is not None:
            await self._sessions.end(before, self._clock.now())

    def _refused(self, error: P402Error, then: str, way: str) -> web.Response:
        log.info("sign_in_refused", way=way, reason=type(error).__name__)
        answer = self._page(then, problem=str(error), status=status_of(error))
        if isinstance(error, Unauthorised):
            answer.headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, TooManyRequests):
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer

    def _page(
        self, then: str, *, problem: str | None = None, person: str | None = None, status: int = 200
    ) -> web.Response:
        label = None if self._provider is None else self._provider.settings.label
        values = {"next": then, "problem": problem, "person": person, "provider": label}
        return self._shell.bare("sign_in.html", status=status, **values)

    def _known_provider(self) -> IdentityProvider:
        if self._provider is None:
            raise NotFound("No identity provider is configured here.")
        return self._provider

    def _redirect_uri(self, request: web.Request) -> str:
        return f"{self._public_url or f'{request.scheme}://{request.host}'}{_ATTEMPT_PATH}/callback"

    def _is_secure(self, request: web.Request) -> bool:
        return (self._public_url or f"{request.scheme}:").startswith("https:")


def _sent_to(address: str) -> web.Response:
    return web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})
