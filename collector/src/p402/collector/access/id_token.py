"""Checking an ID token (pure). Source: OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725 (JWT best practices)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jwt

from p402.vocabulary import Permanent

__all__ = ["IdTokenRefused", "SigningKeyUnknown", "checked_claims"]

_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)  # signatures only: neither "none" nor secrets that both sides know
_LEEWAY_SECONDS = 60  # clocks of two machines differ
_LONGEST_TOKEN = 64 * 1024


class IdTokenRefused(Permanent):
    """An ID token is not the identity provider's word about whoever signs in here now."""


class SigningKeyUnknown(IdTokenRefused):
    """It is signed with a key that the provider did not have when we last asked for its keys."""


def checked_claims(
    token: str, keys: Sequence[Mapping[str, Any]], *, issuer: str, client_id: str, nonce: str, now: datetime
) -> dict[str, Any]:
    """Give the claims of an ID token, if all is well.

    Args:
        token: as the token endpoint gave it.
        keys: of the provider, as JSON Web Keys.
        issuer: the provider.
        client_id: who we are there.
        nonce: of the attempt.
        now: the time.

    Raises:
        SigningKeyUnknown: if asking for the keys again may help.
        IdTokenRefused: saying what is wrong, without anything of the token.
    """
    if len(token) > _LONGEST_TOKEN:
        raise IdTokenRefused("The ID token is too long.")
    try:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in _ALGORITHMS:
            raise IdTokenRefused("The ID token is not signed, or in a way that is not trusted here.")
        key = jwt.PyJWK(dict(_key_for(header, keys)), algorithm=algorithm)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=client_id,
            issuer=issuer,
            options={
                "require": ["iss", "sub", "aud", "exp", "iat", "nonce"],
                "verify_exp": False,  # by our clock, below
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.PyJWTError as error:
        raise IdTokenRefused(f"The ID token cannot be trusted: {type(error).__name__}.") from None
    _check_rest(claims, client_id, nonce, now.timestamp())
    return claims


def _key_for(header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Find the key that a token says it is signed with; a token that names none must leave no choice."""
    kid, algorithm = header.get("kid"), header["alg"]
    kind = {"E": "EC", "R": "RSA", "P": "RSA"}[algorithm[0]] if algorithm != "EdDSA" else "OKP"
    fitting = [
        key
        for key in keys
        if key.get("kty") == kind
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]
    if len(fitting) != 1:
        raise SigningKeyUnknown("The ID token is signed with a key that the identity provider does not publish.")
    return fitting[0]


def _check_rest(claims: Mapping[str, Any], client_id: str, nonce: str, now: float) -> None:
    audience = claims["aud"]
    is_for_several = isinstance(audience, list) and len(audience) > 1
    if (is_for_several or "azp" in claims) and claims.get("azp") != client_id:
        raise IdTokenRefused("The ID token was made for another application.")
    times = [claims["exp"], claims["iat"], claims.get("nbf", 0)]
    if not all(isinstance(moment, int | float) and not isinstance(moment, bool) for moment in times):
        raise IdTokenRefused("The ID token has times that are no numbers.")
    expires, issued, begins = times
    if expires <= now - _LEEWAY_SECONDS:
        raise IdTokenRefused("The ID token has expired; if that was quick, compare the clocks of both machines.")
    if max(issued, begins) > now + _LEEWAY_SECONDS:
        raise IdTokenRefused("The ID token is from the future; compare the clocks of both machines.")
    if not isinstance(claims["nonce"], str) or not hmac.compare_digest(claims["nonce"].encode(), nonce.encode()):
        raise IdTokenRefused("The ID token belongs to another attempt to sign in.")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise IdTokenRefused("The ID token does not say who signed in.")
