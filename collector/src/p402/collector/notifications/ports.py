"""What delivering needs: somewhere to send to, and somewhere to keep what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from p402.collector.notifications.events import EventType, StoredEvent

__all__ = ["Answer", "Channel", "Claim", "DeliveryState", "DeliveryStore"]


class DeliveryState(StrEnum):
    """Where the delivery of one event to one channel is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try."""

    problem: str | None = None
    """Why the channel did not take the event, in words without secrets; None: it did."""
    final: bool = False
    """Whether trying again cannot help."""


class Channel(Protocol):
    """Where events can be sent."""

    @property
    def name(self) -> str:
        """Its name in the configuration; deliveries are kept under it."""
        ...

    @property
    def subscribed(self) -> frozenset[EventType]:
        """The types of event that are sent there."""
        ...

    @property
    def at_once(self) -> int:
        """How many events may be under way there together."""
        ...

    async def send(self, event: StoredEvent, at: datetime) -> Answer:
        """Send an event once; what goes wrong is in the answer."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this process alone may try, until its lease ends."""

    event: StoredEvent
    channel: str
    attempt: int
    """Counts all tries ever; a result is taken only from the newest."""
    tries_left: int
    """After this one."""


class DeliveryStore(Protocol):
    """Where the outbox is kept. Each method is one transaction."""

    async def spread(self, subscriptions: Mapping[str, frozenset[EventType]], tries: int, at: datetime) -> int:
        """Make a delivery of each new event for each channel that subscribes to it; returns how many events were new."""
        ...

    async def claim(self, channel: str, at: datetime, lease: timedelta, limit: int) -> list[Claim]:
        """Take deliveries that are due, so that no other process takes them before the lease ends."""
        ...

    async def delivered(self, claim: Claim, at: datetime) -> None:
        """Note that the channel took the event."""
        ...

    async def retry(self, claim: Claim, problem: str, due_at: datetime) -> None:
        """Note what went wrong, and when to try again."""
        ...

    async def failed(self, claim: Claim, problem: str, at: datetime) -> None:
        """Give a delivery up."""
        ...

    async def abandon_others(self, channels: frozenset[str], at: datetime) -> int:
        """Give up what is pending for channels that the configuration does not name; returns how many deliveries."""
        ...

    async def backlog(self) -> int:
        """Count the deliveries that are pending."""
        ...
