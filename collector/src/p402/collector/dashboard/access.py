"""Everything about who people are, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web
from aiohttp.typedefs import Middleware

from p402.collector.access.provider import IdentityProvider
from p402.collector.api.auth import AccessRules, Authenticator
from p402.collector.api.key_changes import KeyChanges
from p402.collector.api.rate_limits import RateLimits
from p402.collector.dashboard.refusals import refusals
from p402.collector.dashboard.shell import Shell
from p402.collector.dashboard.sign_in import SignIn
from p402.collector.settings import Settings, SettingsInvalid
from p402.collector.storage.database import Database
from p402.collector.storage.keys import Keys
from p402.collector.storage.suppressions import Suppressions
from p402.collector.storage.web_sessions import WebSessions
from p402.vocabulary import Clock, IdFactory

__all__ = ["Access", "build_access"]

_TOO_OFTEN = "Only {0} attempts a minute to sign in are taken from one address. Try again in {1} s."


@dataclass(frozen=True, slots=True)
class Access:
    """The parts that others need."""

    authenticator: Authenticator
    sessions: WebSessions
    shell: Shell
    """Of all pages."""
    keys: KeyChanges
    routes: Sequence[web.RouteDef]
    pages: Sequence[Middleware]
    close: Callable[[], Awaitable[None]]


def build_access(
    settings: Settings, database: Database, keys: Keys, suppressions: Suppressions, clock: Clock, ids: IdFactory
) -> Access:
    """Put it together.

    Raises:
        SettingsInvalid: if the secret for the identity provider cannot be read.
    """
    suppressions.on_change(keys.forget)  # one may be bound to a name that was erased
    sessions = WebSessions(
        database,
        suppressions,
        ids,
        idle=timedelta(seconds=settings.sign_in_idle_seconds),
        longest=timedelta(seconds=settings.sign_in_max_seconds),
    )
    rules = AccessRules(
        listen=settings.listen,
        key_required=settings.key_required,
        demo=settings.demo,
        public_url=settings.public_url,
    )
    limits = RateLimits(settings.rate_limit_per_minute, clock)
    authenticator = Authenticator(keys, sessions, limits, clock, rules)
    provider = _provider(settings, clock)
    shell = Shell(authenticator, clock, settings.default_organisation)
    attempts = RateLimits(settings.sign_in_attempts_per_minute, clock, refusal=_TOO_OFTEN)
    sign_in = SignIn(shell, keys, sessions, provider, attempts, settings.public_url)

    async def close() -> None:
        if provider is not None:
            await provider.close()

    changes = KeyChanges(database, keys, clock, settings.default_organisation)
    return Access(authenticator, sessions, shell, changes, sign_in.routes(), [refusals()], close)


def _provider(settings: Settings, clock: Clock) -> IdentityProvider | None:
    if settings.oidc is None:
        return None
    try:
        return IdentityProvider(settings.oidc, clock)
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"The identity provider in [oidc] cannot be used: {error}.") from error
