"""Ids that sort by time: a prefix and a ULID (48 bits of milliseconds, 80 random bits, Crockford's base 32)."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

__all__ = ["IdFactory", "new_id"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(120, -1, -10)

IdFactory = Callable[[str, datetime], str]
"""Makes an id from a prefix such as ``rcpt`` and the current time."""


def new_id(prefix: str, now: datetime) -> str:
    """Make an id such as ``rcpt_01JDC2W0V8H3QK6M4T9ZRX5B7E``."""
    number = (int(now.timestamp() * 1000) << 80) | int.from_bytes(os.urandom(10))
    return f"{prefix}_" + "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])
