"""When to try again (pure)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

__all__ = ["TRIES", "pause_before_retry"]

TRIES = 8
"""How often a delivery is tried: at once, then over about a day (15 s, 1 min, 4 min, 16 min, 1 h, 4 h, 17 h)."""

_FIRST_PAUSE = timedelta(seconds=15)
_FACTOR = 4


def pause_before_retry(tries_left: int, random: Callable[[], float]) -> timedelta:
    """Give the pause before the next try: four times the one before, and up to a quarter more or less by chance.

    Args:
        tries_left: how many tries remain, 1 to TRIES - 1.
        random: gives numbers from 0 up to 1, so that receivers that come back are not called by all at once.
    """
    times: int = _FACTOR ** (TRIES - 1 - tries_left)
    return _FIRST_PAUSE * times * (0.75 + random() / 2)
