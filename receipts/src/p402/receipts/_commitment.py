"""Salted commitments: a receipt holds a digest; whoever has the disclosure can show what it stands for.

The format is that of SD-JWT (RFC 9901 §4.2): a disclosure is base64url(JSON [salt, name, value]), its digest
base64url(SHA-256(the disclosure as ASCII)). Deleting a disclosure erases the value for good, and every proof of the
receipt still holds, because only the digest was ever hashed into the log.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from p402.receipts._base64 import decode_url, encode_url
from p402.receipts._canonical import canonical, parse_json
from p402.receipts.errors import DisclosureUnknown, Malformed, NotCanonical

__all__ = ["Commitment", "commit", "new_salt", "open_disclosure"]


@dataclass(frozen=True, slots=True)
class Commitment:
    """A digest to publish and the disclosure that opens it, to be kept apart and erasable."""

    digest: str
    disclosure: str


def new_salt() -> str:
    """Draw 128 random bits: without the salt nobody can guess the value from the digest."""
    return encode_url(secrets.token_bytes(16))


def commit(name: str, value: Any, salt: str | None = None) -> Commitment:
    """Commit to a named value, with a fresh salt unless one is given."""
    disclosure = encode_url(canonical([new_salt() if salt is None else salt, name, value]))
    return Commitment(_digest(disclosure), disclosure)


def open_disclosure(digests: Collection[str], disclosure: str) -> tuple[str, Any]:
    """Give the name and value of a disclosure that belongs to one of the digests.

    Raises:
        DisclosureUnknown: if it belongs to none of them.
        Malformed: if it is not a disclosure.
    """
    if not disclosure.isascii() or _digest(disclosure) not in digests:
        raise DisclosureUnknown("A disclosure opens none of the commitments in this receipt: it was changed.")
    try:
        match parse_json(decode_url(disclosure)):
            case [str(), str(name), value]:
                return name, value
    except NotCanonical as error:
        raise Malformed(f"A disclosure is not JSON: {error}") from error
    raise Malformed("A disclosure is a JSON array of a salt, a name and a value.")


def _digest(disclosure: str) -> str:
    return encode_url(hashlib.sha256(disclosure.encode("ascii")).digest())
