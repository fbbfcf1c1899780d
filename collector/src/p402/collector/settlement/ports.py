"""A settlement as it is kept, and what settling needs from storage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from p402.receipts import Anchor, SettlementStatement
from p402.receipts.settlement import Lane, SignedSettlement
from p402.vocabulary import Money

__all__ = ["Covered", "Leadership", "MakeStatement", "Settlement", "SettlementState", "SettlementStore", "Sign"]


class SettlementState(StrEnum):
    """Where a settlement is; it only moves down, or to FAILED.

    ::

        PLANNED    statement and memo are fixed
           │ sign; bytes, hash, lane and nonce are stored before anything is sent
        SIGNED     sent as often as needed: the same bytes can land once only
           │ the exact log is in a finalized block
        FINAL
    """

    PLANNED = "planned"
    SIGNED = "signed"
    FINAL = "final"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One settlement."""

    settlement_id: str
    organisation: str
    state: SettlementState
    problem: str | None
    """Why it failed, and what a person must do."""
    checkpoint_size: int
    statement: SettlementStatement
    signed: SignedSettlement | None
    signed_at_block: int | None
    anchor: Anchor | None
    planned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """What a new settlement is about: the newest checkpoint of a log with receipts that are not yet anchored."""

    organisation: str
    checkpoint: str
    """Its text, without signatures."""
    since: datetime
    """End of the period before, or the first receipt."""
    until: datetime
    """When the checkpoint was signed."""
    accrued: Money
    """What the receipts that are not yet anchored came to."""
    previous: Settlement | None


MakeStatement = Callable[[Covered], SettlementStatement]
Sign = Callable[[Settlement, Lane], SignedSettlement]
"""Signs a settlement for the next place of a lane."""


class Leadership(Protocol):
    """Sees to it that of several collectors one talks to the chain."""

    async def take(self) -> bool:
        """Tell whether it is us now."""
        ...

    async def resign(self) -> None:
        """Let another one begin at once."""
        ...


class SettlementStore(Protocol):
    """Where settlements are kept. Each method is one transaction."""

    async def plan(
        self, make: MakeStatement, not_after: datetime, failed_not_after: datetime, at: datetime
    ) -> list[Settlement]:
        """Plan a settlement for each organisation that has receipts not yet anchored and no settlement under way.

        An organisation waits whose last settlement was planned after ``not_after``, or after ``failed_not_after`` if
        it failed.
        """
        ...

    async def under_way(self) -> list[Settlement]:
        """Give the settlements that are planned or signed, the oldest first."""
        ...

    async def known_lanes(self, chain_id: int, payer: str) -> dict[int, Lane]:
        """Give the lanes that were used before, by nonce key."""
        ...

    async def sign(
        self, settlement: Settlement, lanes: dict[int, Lane], sign: Sign, head_block: int
    ) -> Settlement | None:
        """Take the next nonce of a free lane, sign, and store the bytes; nothing may be sent before that.

        Returns None when every lane carries a settlement that is not final yet, or another collector signed this one.
        """
        ...

    async def sign_again(self, settlement: Settlement, sign: Sign) -> Settlement:
        """Replace a transaction that can never land any more by one in the same place of the same lane.

        Returns what is stored now, which another collector may have signed.
        """
        ...

    async def finalise(self, settlement: Settlement, anchor: Anchor, at: datetime) -> None:
        """Store the anchor, link the receipts to it, and append the settlement entry to the log."""
        ...

    async def fail(self, settlement: Settlement, problem: str) -> None:
        """End a settlement that cannot succeed."""
        ...
