"""How far what follows the ledger is behind it; counts and ages only, nothing of whom or what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

__all__ = ["Behind", "Queue", "Unanchored", "WhatIsBehind"]


@dataclass(frozen=True, slots=True)
class Queue:
    """Things that wait for somebody else."""

    waiting: int
    oldest_seconds: float
    """Age of the oldest; 0 where nothing waits."""


@dataclass(frozen=True, slots=True)
class Unanchored:
    """How settlement stands, of the organisations that are settled."""

    receipts: Queue
    """That no final settlement anchors."""
    under_way: int
    """Settlements that are planned or signed."""
    in_doubt: int
    """Settlements whose payment may have left, and nobody has said what became of it."""


@dataclass(frozen=True, slots=True)
class Behind:
    """Everything that may be behind."""

    followers: Mapping[str, int]
    """Charges that each follower has not seen yet, at most."""
    forwarding: Mapping[str, Queue]
    """Spans that wait for each backend."""
    deliveries: Queue
    """Deliveries of events that are due."""
    settlement: Unanchored | None
    """None where nothing is settled."""
    sessions: Queue
    """Sessions that are over and have no receipt yet."""
    exports: Queue
    """Exports that were asked for and are not written yet."""
    checkpoint_seconds: float | None
    """Age of the newest checkpoint of the log that was signed longest ago; None where there is no log."""
    disk_free_bytes: int | None
    """Where the collector keeps its files; None if that cannot be told."""


class WhatIsBehind(Protocol):
    """Looks it up."""

    async def behind(self, at: datetime) -> Behind:
        """Tell what is behind at a moment; a database that cannot be written is an error.

        Raises:
            Transient: when the database is away, or takes nothing.
        """
        ...
