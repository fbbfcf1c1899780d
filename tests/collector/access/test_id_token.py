"""An ID token is believed only if the provider signed it, for us, for this attempt, and not long ago."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from p402.collector.access.id_token import IdTokenRefused, SigningKeyUnknown, checked_claims
from support.clock import FakeClock

NOW = FakeClock().now()
ISSUER, CLIENT, NONCE = "https://login.example.com", "p402", "the-nonce"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def public(algorithm: str, key: Any, kid: str) -> dict[str, Any]:
    return {
        **jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True),
        "kid": kid,
        "use": "sig",
    }


KEYS = [public("RS256", RSA, "rsa"), public("ES256", EC, "ec"), public("EdDSA", ED, "ed")]


def claims(**changed: Any) -> dict[str, Any]:
    now = int(NOW.timestamp())
    whole = {"iss": ISSUER, "sub": "u-1", "aud": CLIENT, "exp": now + 60, "iat": now, "nonce": NONCE}
    return {name: value for name, value in {**whole, **changed}.items() if value is not None}


def token(said: Mapping[str, Any], key: Any = RSA, algorithm: str = "RS256", kid: str | None = "rsa") -> str:
    return jwt.encode(dict(said), key, algorithm, headers={} if kid is None else {"kid": kid})


def by_hand(header: Mapping[str, Any], said: Mapping[str, Any], signature: bytes = b"") -> str:
    """What no library would write."""
    parts = (json.dumps(header).encode(), json.dumps(said).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def checked(written: str, keys: list[dict[str, Any]] = KEYS, **changed: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"issuer": ISSUER, "client_id": CLIENT, "nonce": NONCE, "now": NOW, **changed}
    return checked_claims(written, keys, **asked)


@pytest.mark.parametrize(
    ("algorithm", "key", "kid"),
    [("RS256", RSA, "rsa"), ("RS512", RSA, "rsa"), ("PS256", RSA, "rsa"), ("ES256", EC, "ec"), ("EdDSA", ED, "ed")],
)
def test_a_token_of_the_provider_is_believed(algorithm: str, key: Any, kid: str) -> None:
    assert checked(token(claims(), key, algorithm, kid)) == claims()


def test_a_token_that_names_no_key_is_believed_where_there_is_one_only() -> None:
    assert checked(token(claims(), kid=None))["sub"] == "u-1"
    with pytest.raises(SigningKeyUnknown):
        checked(token(claims(), kid=None), [*KEYS, public("RS256", OTHER, "older")])


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_a_token_without_a_signature_is_refused(algorithm: str) -> None:
    with pytest.raises(IdTokenRefused, match="not signed"):
        checked(by_hand({"alg": algorithm, "kid": "rsa"}, claims()))


def test_a_token_that_is_signed_with_the_public_key_as_a_secret_is_refused() -> None:
    signed = by_hand({"alg": "HS256", "kid": "rsa"}, claims())[:-1]
    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mark = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
    with pytest.raises(IdTokenRefused, match="in a way that is not trusted"):
        checked(f"{signed}.{mark}")


def test_a_token_of_somebody_else_is_refused_whatever_key_it_names() -> None:
    with pytest.raises(IdTokenRefused, match="InvalidSignatureError"):
        checked(token(claims(), OTHER))
    with pytest.raises(SigningKeyUnknown):
        checked(token(claims(), OTHER, kid="other"))
    with pytest.raises(SigningKeyUnknown):
        checked(token(claims(), OTHER, kid="ec"))


def test_a_key_that_is_for_encryption_signs_nothing() -> None:
    with pytest.raises(SigningKeyUnknown):
        checked(token(claims()), [{**KEYS[0], "use": "enc"}])


def test_a_key_that_the_token_brings_along_is_not_looked_at() -> None:
    brought = {"jwk": public("RS256", OTHER, "rsa"), "kid": "rsa"}
    with pytest.raises(IdTokenRefused, match="InvalidSignatureError"):
        checked(jwt.encode(claims(), OTHER, "RS256", headers=brought))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"aud": "another"}, "InvalidAudienceError"),
        ({"aud": ["another", "third"]}, "InvalidAudienceError"),
        ({"aud": [CLIENT, "another"]}, "another application"),
        ({"azp": "another"}, "another application"),
        ({"iss": "https://evil.example"}, "InvalidIssuerError"),
        ({"iss": f"{ISSUER}/"}, "InvalidIssuerError"),
        ({"nonce": "of-another-attempt"}, "another attempt"),
        ({"nonce": 7}, "another attempt"),
        ({"nonce": None}, "MissingRequiredClaimError"),
        ({"exp": None}, "MissingRequiredClaimError"),
        ({"sub": None}, "MissingRequiredClaimError"),
        ({"sub": ""}, "who signed in"),
        ({"exp": "soon"}, "no numbers"),
        ({"exp": int(NOW.timestamp()) - 60}, "expired"),
        ({"iat": int(NOW.timestamp()) + 61}, "future"),
        ({"nbf": int(NOW.timestamp()) + 61}, "future"),
    ],
)
def test_a_token_that_is_not_about_us_now_is_refused(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(IdTokenRefused, match=why):
        checked(token(claims(**changed)))


def test_clocks_may_differ_by_a_minute() -> None:
    written = token(claims())
    assert checked(written, now=NOW + timedelta(seconds=119))
    assert checked(written, now=NOW - timedelta(seconds=60))
    with pytest.raises(IdTokenRefused, match="expired"):
        checked(written, now=NOW + timedelta(seconds=120))


@pytest.mark.parametrize("written", ["", "x", "a.b", "a.b.c", "..", "é.é.é", "x" * 70_000])
def test_what_is_no_token_is_refused(written: str) -> None:
    with pytest.raises(IdTokenRefused) as refused:
        checked(written)
    assert len(str(refused.value)) < 200, "nothing of the token is in the message"


def test_a_token_that_was_changed_is_refused() -> None:
    header, _, signature = token(claims()).split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(sub="u-2")).encode()).rstrip(b"=").decode()
    with pytest.raises(IdTokenRefused, match="InvalidSignatureError"):
        checked(f"{header}.{body}.{signature}")
