"""Ids that sort by time: a prefix and a ULID (48 bits of milliseconds, 80 random bits, Crockford's base 32)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from datetime import datetime

__all__ = ["IdFactory", "new_id"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(120, -1, -10)
_RANDOM_BYTES = 10
_AT_ONCE = 64  # random numbers; each time the system is asked, other threads go first

_drawn: deque[bytes] = deque()
os.register_at_fork(after_in_child=_drawn.clear)  # parent and child must not give out the same

IdFactory = Callable[[str, datetime], str]
"""Makes an id from a prefix such as ``rcpt`` and the current time."""


def new_id(prefix: str, now: datetime) -> str:
    """Make an id such as ``rcpt_01JDC2W0V8H3QK6M4T9ZRX5B7E``."""
    number = (int(now.timestamp() * 1000) << 80) | int.from_bytes(_random())
    return f"{prefix}_" + "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])


def _random() -> bytes:
    try:
        return _drawn.popleft()
    except IndexError:
        block = os.urandom(_RANDOM_BYTES * _AT_ONCE)
        _drawn.extend(block[at : at + _RANDOM_BYTES] for at in range(_RANDOM_BYTES, len(block), _RANDOM_BYTES))
        return block[:_RANDOM_BYTES]
