"""Alerts about budgets: a threshold that was passed, or a projection that comes too near the cap (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from p402.collector.budgets.budget import Budget

__all__ = ["PROJECTED_PERCENT", "Alert", "AlertKind", "AlreadyResolved", "Crossing"]

PROJECTED_PERCENT = 90
"""A projection above this part of the cap raises an alert."""


class AlertKind(StrEnum):
    """What was noticed."""

    THRESHOLD = "threshold"
    """What is spent has passed a part of the cap."""
    PROJECTED = "projected"
    """What will be spent by the end of the period passes a part of the cap."""


class AlreadyResolved(Exception):
    """Somebody has resolved the alert before; the message says who and when."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """An account whose spend, or projected spend, is above a part of its cap."""

    budget: Budget
    node: str
    period_start: int
    percent: int
    amount: int
    """Spent, or projected; by the budget's measure."""
    cap: int
    kind: AlertKind = AlertKind.THRESHOLD
    reached_on: date | None = None
    """The day on which the cap is expected to be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as it was raised, once for each account, kind and part of the cap."""

    id: str
    seq: int
    organisation: str
    kind: AlertKind
    budget: str
    budget_id: int
    """Of the budget as it was: one of another node is another budget, whatever its name."""
    node: str
    percent: int
    amount: str
    cap: str
    reached_on: str | None
    raised_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    note: str | None
