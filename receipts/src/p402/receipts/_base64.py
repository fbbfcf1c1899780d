"""Base 64 (RFC 4648) that has one spelling per value: what would encode to another text is refused.

Ordinary decoders ignore the unused bits of the last character, so a changed byte could go unnoticed.
"""

from __future__ import annotations

import base64

from p402.receipts.errors import Malformed

__all__ = ["decode", "decode_url", "encode", "encode_url"]


def encode(data: bytes) -> str:
    """Encode with the standard alphabet and padding."""
    return base64.b64encode(data).decode()


def encode_url(data: bytes) -> str:
    """Encode with the URL-safe alphabet, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Decode the standard alphabet; raise Malformed unless the text is exactly what `encode` gives."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed(f"{text[:80]!r} is not base 64.") from error
    if encode(data) != text:
        raise Malformed(f"{text[:80]!r} is not base 64 in its canonical spelling.")
    return data


def decode_url(text: str) -> bytes:
    """Decode the URL-safe alphabet; raise Malformed unless the text is exactly what `encode_url` gives."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise Malformed(f"{text[:80]!r} is not base 64 with the URL-safe alphabet.") from error
    if encode_url(data) != text:
        raise Malformed(f"{text[:80]!r} is not base 64 with the URL-safe alphabet in its canonical spelling.")
    return data
