"""What the pipeline needs from the parts below and beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from p402.collector.pipeline.records import Forwarded, OtherSpan, Recordable, Refused, WithoutUsage
from p402.collector.pricing import Priced, Unpriced
from p402.vocabulary import Usage

__all__ = ["Ledger", "Outcome", "Prices", "Recorded"]


class Prices(Protocol):
    """A price book."""

    def price(
        self, provider: str, model: str, usage: Usage, at: datetime, service_tier: str | None = None
    ) -> Priced | Unpriced:
        """Price a usage at the prices in force at a moment, for a service tier (`Charge.service_tier`)."""
        ...


class Outcome(StrEnum):
    """What the ledger made of a span."""

    CHARGED = "charged"
    REPEATED = "repeated"
    """The same span once more, as after a retry: nothing changed."""
    DUPLICATE = "duplicate"
    """Another span of a call that is charged already: kept apart, not charged."""
    QUARANTINED = "quarantined"
    """A span that claims another usage for a call that is charged already: kept apart for review."""
    NO_USAGE = "no_usage"
    """A model call without usage: kept apart, not priced."""


class Recorded(NamedTuple):
    """What became of a batch."""

    outcomes: Sequence[Outcome]
    """Of each call, then of each span without usage."""
    calls: Sequence[Recordable]
    """As they were recorded, each by the owner that it has in the books."""


class Ledger(Protocol):
    """The books. Charges and counters change together, once per call, and are on disk when ``record`` returns."""

    async def record(
        self,
        calls: Sequence[Recordable],
        without_usage: Sequence[WithoutUsage],
        at: datetime,
        others: Sequence[OtherSpan] = (),
        refused: Sequence[Refused] = (),
        forwarded: Forwarded | None = None,
    ) -> Recorded:
        """Record a batch; returns what became of each span, and the calls as they were recorded.

        ``others`` only help to see which calls are the same; ``refused`` are kept among the decisions,
        and ``forwarded`` waits from then on to be sent to viewers.

        Raises:
            Transient: nothing was recorded; the sender should try again.
        """
        ...
