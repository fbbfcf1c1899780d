"""What watching needs from storage, and the review queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from p402.collector.anomalies.baseline import Baseline
from p402.collector.anomalies.detect import AnomalyRules, Rule
from p402.vocabulary import Attribution, Money, Permanent

__all__ = ["AlreadyReviewed", "Anomaly", "AnomalyState", "AnomalyStore"]


class AnomalyState(StrEnum):
    """Where an anomaly is in the review queue. A review is made once."""

    OPEN = "open"
    DISMISSED = "dismissed"
    CONFIRMED = "confirmed"


class AlreadyReviewed(Permanent):
    """Somebody has reviewed the anomaly before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A flagged session in the review queue."""

    anomaly_id: str
    seq: int
    session: Attribution
    rule: Rule
    cost: Money
    """Of the session, as it is now."""
    baseline: Baseline
    """As it was when the session was flagged."""
    flagged_at: datetime
    state: AnomalyState
    reviewed_by: str | None
    """Id of an API key; None with a review was somebody on this machine, who needs none."""
    reviewed_at: datetime | None
    note: str | None
    receipt_id: str | None = None
    """The session's first receipt, where there is one: what a human review of it is about."""


class AnomalyStore(Protocol):
    """Where session costs and anomalies are kept. Each method is one transaction."""

    async def follow(self, rules: AnomalyRules, at: datetime, limit: int) -> tuple[int, int]:
        """Take the next recorded charges into session costs, and flag; returns how many charges, how many anomalies."""
        ...

    async def count_open(self) -> int:
        """Count the anomalies that nobody has reviewed."""
        ...
