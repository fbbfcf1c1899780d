"""The headers of Standard Webhooks (pure); see https://www.standardwebhooks.com."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

__all__ = ["signed_headers"]


def signed_headers(event_id: str, at: datetime, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """Sign a body with every secret, so that a receiver that knows one of them accepts it.

    Args:
        event_id: the same at each try, so that receivers can tell a repetition.
        at: the time of this try; receivers refuse what is old.
        body: the exact bytes that are sent.
        secrets: one, or two while one replaces the other.
    """
    timestamp = str(int(at.timestamp()))
    signed = f"{event_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
