"""A charge as documents show it: with the receipt that seals it, the month that it is posted to, and its mark-up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from p402.decisions import RateCard
from p402.vocabulary import Charge

__all__ = ["PostedCharge", "ReceiptReference", "month_of", "next_month"]


@dataclass(frozen=True, slots=True)
class ReceiptReference:
    """The receipt that a charge was sealed into."""

    receipt_id: str
    leaf_hash: str
    """64 hex digits."""
    tx_hash: str | None
    """Of the transaction that anchors it; None while it is not anchored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedCharge:
    """One charge, and where it belongs."""

    seq: int
    """Its place in the order of recording."""
    charge: Charge
    recorded_at: datetime
    organisation: str
    correction: bool
    """Whether its call began in a period that had been closed when it was recorded: then it is posted to the month in
    which it was recorded, and to that of its call otherwise."""
    receipt: ReceiptReference | None
    """None while its session is not sealed."""
    card: RateCard | None
    """The prices that it was computed from; None if they are not held any more."""
    listed: RateCard | None = None
    """What the provider's list says, where ``card`` is of prices that were agreed; None if it says nothing else."""
    closed_before: datetime | None = None
    """When a period was closed last before this was recorded, by the order of the ledger: clocks that record may differ."""
    markup_basis_points: int | None = None
    """What the configuration adds for whoever it is charged to, in hundredths of a per cent."""

    @property
    def posted_at(self) -> datetime:
        """The time that decides which period it counts in."""
        if not self.correction:
            return self.charge.started_at
        return max(self.recorded_at, self.closed_before or self.recorded_at)


def month_of(moment: datetime) -> datetime:
    """Give the beginning of the month (UTC) that a time is in."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    """Give the beginning of the month after one."""
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
