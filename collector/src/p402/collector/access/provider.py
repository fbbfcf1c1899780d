"""Asks the identity provider: what it offers, for tokens, for its keys, and for more about a person.

Every request has a deadline, follows no redirect, keeps no cookie, and reads a bounded answer. What a provider says is wrong
is told to people in the words of the protocol only (`error` of RFC 6749); tokens and codes are in no message.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from p402.collector.access.attempt import Attempt
from p402.collector.access.id_token import IdTokenRefused, SigningKeyUnknown, checked_claims
from p402.collector.access.roles import claim_at
from p402.collector.oidc_settings import OidcSettings, is_safe_address
from p402.vocabulary import Clock, Transient

__all__ = ["IdentityProvider", "ProviderAway"]

_TIMEOUT_SECONDS = 10.0
_LARGEST_ANSWER = 1 << 20
_KEEP = timedelta(hours=1)
"""How long what the provider offers, and its keys, are taken to be as they were."""
_BETWEEN_LOOKS = timedelta(seconds=30)
"""Keys are asked for again when a token has an unknown one, but not at each forged token."""


class ProviderAway(Transient):
    """The identity provider gives no answer that can be used; trying again may help."""


@dataclass(frozen=True, slots=True)
class _Offered:
    """What the provider says of itself (OpenID Connect Discovery 1.0)."""

    authorization: str
    token: str
    keys: str
    more: str | None
    """Where there is more about a person (UserInfo)."""
    secret_in_body: bool
    names_itself: bool
    """Whether its answers name it (RFC 9207)."""
    at: datetime


class IdentityProvider:
    """The provider of the settings. It is asked for the first time when somebody signs in."""

    def __init__(self, settings: OidcSettings, clock: Clock) -> None:
        """Read the client's secret.

        Raises:
            ValueError, OSError: if its file is not as it must be.
        """
        self.settings = settings
        self._secret = settings.read_secret()
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._lock = asyncio.Lock()
        self._offered: _Offered | None = None
        self._keys: tuple[datetime, list[Mapping[str, Any]]] | None = None

    async def address(self, attempt: Attempt, redirect_uri: str) -> str:
        """Give the address that somebody's browser is sent to.

        Raises:
            ProviderAway: if the provider does not say where that is.
        """
        offered = await self._offers()
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return f"{offered.authorization}{'&' if '?' in offered.authorization else '?'}{urlencode(asked)}"

    async def claims(self, attempt: Attempt, code: str, issuer: str | None, redirect_uri: str) -> dict[str, Any]:
        """Turn a code into what the provider says of whoever signed in.

        Args:
            attempt: that the code came back for.
            code: from the browser.
            issuer: who the answer says it comes from, if it does.
            redirect_uri: as it was in the address.

        Raises:
            IdTokenRefused: if the answer is not to be trusted.
            ProviderAway: if there is none.
        """
        offered = await self._offers()
        if issuer != self.settings.issuer and (issuer is not None or offered.names_itself):
            raise IdTokenRefused("The answer comes from another identity provider.")
        tokens = await self._tokens(offered, attempt, code, redirect_uri)
        claims = await self._checked(offered, str(tokens.get("id_token", "")), attempt.nonce)
        access_token = tokens.get("access_token")
        if offered.more and isinstance(access_token, str) and claim_at(claims, self.settings.role_claim) is None:
            more = await self._ask("GET", offered.more, headers={"Authorization": f"Bearer {access_token}"})
            if more.get("sub") != claims["sub"]:
                raise IdTokenRefused("The identity provider told about somebody else.")
            claims = {**more, **claims}
        return claims

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()

    # --- what the provider offers

    async def _offers(self) -> _Offered:
        async with self._lock:
            now = self._clock.now()
            if self._offered is None or not timedelta() <= now - self._offered.at < _KEEP:
                found = await self._ask("GET", f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
                self._offered = self._read(found, now)
            return self._offered

    def _read(self, found: Mapping[str, Any], now: datetime) -> _Offered:
        if found.get("issuer") != self.settings.issuer:
            raise ProviderAway("The identity provider calls itself otherwise than the setting issuer of [oidc].")
        addresses = [found.get(f"{name}_endpoint") for name in ("authorization", "token")] + [found.get("jwks_uri")]
        more = found.get("userinfo_endpoint")
        for address in (*addresses, *([more] if more else ())):
            if not isinstance(address, str) or not is_safe_address(address):
                raise ProviderAway("The identity provider names an endpoint that cannot be used: each needs https.")
        ways = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return _Offered(
            authorization=str(addresses[0]),
            token=str(addresses[1]),
            keys=str(addresses[2]),
            more=more,
            secret_in_body="client_secret_basic" not in ways,
            names_itself=found.get("authorization_response_iss_parameter_supported") is True,
            at=now,
        )

    # --- tokens

    async def _tokens(self, offered: _Offered, attempt: Attempt, code: str, redirect_uri: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers, client = {}, self.settings.client_id
        if self._secret is None:
            form["client_id"] = client
        elif offered.secret_in_body:
            form |= {"client_id": client, "client_secret": self._secret}
        else:  # each is form-encoded before they are joined (RFC 6749, section 2.3.1)
            pair = f"{quote(client, safe='')}:{quote(self._secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        return await self._ask("POST", offered.token, data=form, headers=headers)

    async def _checked(self, offered: _Offered, token: str, nonce: str) -> dict[str, Any]:
        def check(keys: list[Mapping[str, Any]]) -> dict[str, Any]:
            whom = {"issuer": self.settings.issuer, "client_id": self.settings.client_id, "nonce": nonce}
            return checked_claims(token, keys, **whom, now=self._clock.now())

        try:
            return check(await self._published(offered, _KEEP))
        except SigningKeyUnknown:  # the provider may have a new one
            return check(await self._published(offered, _BETWEEN_LOOKS))

    async def _published(self, offered: _Offered, keep: timedelta) -> list[Mapping[str, Any]]:
        async with self._lock:
            now = self._clock.now()
            if self._keys is None or not timedelta() <= now - self._keys[0] < keep:
                found = (await self._ask("GET", offered.keys)).get("keys")
                if not isinstance(found, list):
                    raise ProviderAway("The identity provider publishes no keys.")
                self._keys = now, [key for key in found if isinstance(key, dict)]
            return self._keys[1]

    # --- asking

    async def _ask(self, method: str, url: str, **options: Any) -> Mapping[str, Any]:
        try:
            async with self._client().request(method, url, allow_redirects=False, **options) as response:
                status, body = response.status, await response.content.read(_LARGEST_ANSWER + 1)
                while len(body) <= _LARGEST_ANSWER and (more := await response.content.read(_LARGEST_ANSWER)):
                    body += more
                if len(body) > _LARGEST_ANSWER:
                    response.close()
        except TimeoutError:
            raise ProviderAway(f"The identity provider did not answer within {_TIMEOUT_SECONDS:.0f} seconds.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderAway(f"The identity provider cannot be reached ({type(error).__name__}).") from None
        try:
            answer = json.loads(body) if len(body) <= _LARGEST_ANSWER else None
        except ValueError:
            answer = None
        if HTTPStatus(400) <= status < HTTPStatus(500) and isinstance(answer, dict) and method == "POST":
            raise IdTokenRefused(f"The identity provider refuses the sign-in: {_word(answer.get('error'))}.")
        if status != HTTPStatus.OK or not isinstance(answer, dict):
            raise ProviderAway(f"The identity provider gave no answer that can be read (HTTP {status}).")
        return answer

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
                trust_env=False,
                headers={"Accept": "application/json", "User-Agent": "p402-collector"},
            )
        return self._session


def _word(error: Any) -> str:
    """Give an error code if it is one: such codes are words with underscores."""
    known = isinstance(error, str) and len(error) <= 64 and error.replace("_", "").isalnum() and error.isascii()  # noqa: PLR2004
    return str(error) if known else "for a reason that it does not name"
