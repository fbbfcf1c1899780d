"""One attempt to sign in at an identity provider: what binds its end to the browser that began it (pure).

A random secret is kept by that browser in a cookie, and nowhere else: state (RFC 6749, section 10.12), nonce (OpenID
Connect Core, section 3.1.2.1) and the verifier of PKCE (RFC 7636) are made from it. So any collector can end what another
one began.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import quote, unquote

from p402.collector.access.places import local_path

__all__ = ["Attempt"]

_SECRET_LENGTH = 43  # 32 bytes in base64url


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt under way."""

    secret: str
    then: str
    """The path of the page that was wanted."""

    @classmethod
    def begin(cls, then: str) -> Attempt:
        """Begin one."""
        return cls(secrets.token_urlsafe(32), local_path(then))

    @classmethod
    def of_cookie(cls, value: str) -> Attempt | None:
        """Read what `cookie` wrote; None if it is nothing of that kind."""
        secret, dot, then = value.partition(".")
        return (
            cls(secret, local_path(unquote(then)))
            if dot and len(secret) == _SECRET_LENGTH and secret.isascii()
            else None
        )

    @property
    def cookie(self) -> str:
        """The value of the browser's cookie."""
        return f"{self.secret}.{quote(self.then, safe='')}"

    @property
    def state(self) -> str:
        """What the provider sends back with the code."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the provider puts into the ID token."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What shows at the token endpoint that whoever began is who ends."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """What the provider compares the verifier with (method S256)."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())

    def has_state(self, state: str) -> bool:
        """Tell whether an answer belongs to this attempt."""
        return hmac.compare_digest(self.state.encode(), state.encode(errors="replace"))

    def _derived(self, what: str) -> str:
        return _text(hmac.digest(self.secret.encode(), what.encode(), "sha256"))


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
