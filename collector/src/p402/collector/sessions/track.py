"""When a session is over (pure).

A session is over when it was closed and its last spans had time to arrive, when it fell silent, or when it is so old
that it must not wait any longer. Times are the collector's own: the clocks of services may be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["SessionRules", "due_at"]


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long a session waits for more."""

    idle: timedelta
    """Silence after which it is over."""
    close_grace: timedelta
    """How long a closed session waits for spans that are still on their way."""
    longest: timedelta
    """Age at which it gets a receipt although it goes on."""


def due_at(rules: SessionRules, opened_at: datetime, last_seen_at: datetime, closed_at: datetime | None) -> datetime:
    """Say when the open part of a session is to be sealed.

    Args:
        rules: how long to wait.
        opened_at: when its first charge was recorded.
        last_seen_at: when its last charge was recorded.
        closed_at: when somebody closed the session, None if nobody did.
    """
    if closed_at is not None:
        return max(last_seen_at, closed_at) + rules.close_grace
    return min(last_seen_at + rules.idle, opened_at + rules.longest)
