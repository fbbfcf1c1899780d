"""How often a key may ask: a bucket of requests for each key, which fills up again by itself.

Kept as the time at which a bucket will be full again (the generic cell rate algorithm, ITU-T I.371), one number a key.
Headers as in the IETF draft *RateLimit header fields for HTTP*: ``RateLimit-Policy`` and ``RateLimit``.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import web

from p402.collector.api.problem import TooManyRequests
from p402.vocabulary import Clock

__all__ = ["EXEMPT", "RateLimits", "address_of", "tell_rate_limit"]

EXEMPT = frozenset({"ingest", "feedback"})
"""Scopes that are not limited: refusing spans would lose them, and calls wait for their decisions."""

_MOST_KEYS = 10_000
_OF_A_KEY = (
    "The API key may ask {0} times a minute. Try again in {1} s, and ask for more at once: lists take limit=1000."
)
_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Standing:
    per_minute: int
    left: int
    """Requests that may come at once."""
    full_in: int
    """Seconds until the bucket is full again."""

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Policy": f'"key";q={self.per_minute};w=60',
            "RateLimit": f'"key";r={self.left};t={self.full_in}',
        }


_STANDING = web.RequestKey("rate_limit", _Standing)


class RateLimits:
    """The buckets of the keys that asked last."""

    def __init__(self, per_minute: int, clock: Clock, most_keys: int = _MOST_KEYS, refusal: str = _OF_A_KEY) -> None:
        """Allow a key so many requests in a minute, all at once if it has been silent for one; 0: as many as it likes.

        Args:
            per_minute: how many.
            clock: tells the time.
            most_keys: of how many keys is remembered what they asked.
            refusal: what is said to one that asks more often, with that number as ``{0}`` and the seconds as ``{1}``.
        """
        self._refusal = refusal
        self._per_minute = per_minute
        self._clock = clock
        self._most_keys = most_keys
        self._full_at: OrderedDict[str, int] = OrderedDict()  # microseconds since 1970

    def take(self, request: web.Request, key_id: str) -> None:
        """Count a request of a key.

        Raises:
            TooManyRequests: if the bucket is empty, with the time to wait.
        """
        if self._per_minute == 0:
            return
        now = (self._clock.now() - _EPOCH) // _MICROSECOND
        window = _MINUTE // _MICROSECOND
        each = window // self._per_minute
        # A clock that was set back must not lock anybody out for longer than a bucket takes to fill.
        full_at = min(max(self._full_at.get(key_id, now), now), now + window)
        after = full_at + each
        if after > now + window:
            self._note(request, now, full_at)
            wait = -(-(after - now - window) // 1_000_000)
            raise TooManyRequests(self._refusal.format(self._per_minute, wait), wait)
        self._full_at[key_id] = after
        self._full_at.move_to_end(key_id)
        if len(self._full_at) > self._most_keys:
            self._full_at.popitem(last=False)
        self._note(request, now, after)

    def _note(self, request: web.Request, now: int, full_at: int) -> None:
        window = _MINUTE // _MICROSECOND
        left = (now + window - full_at) * self._per_minute // window
        request[_STANDING] = _Standing(self._per_minute, left, -(-(full_at - now) // 1_000_000))


def address_of(request: web.Request) -> str:
    """Name where a request comes from, for limits: one network of IPv6 is one place, since each host there has many."""
    try:
        address = ipaddress.ip_address((request.remote or "").partition("%")[0])
    except ValueError:
        return request.remote or ""
    return str(ipaddress.ip_network((address, 64), strict=False) if address.version == 6 else address)  # noqa: PLR2004


async def tell_rate_limit(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to an answer whose request was counted."""
    standing = request.get(_STANDING)
    if standing is not None:
        response.headers.update(standing.headers())
