"""What sessions need from storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from p402.collector.sessions.track import SessionRules
from p402.receipts import ClosedBy, SealedReceipt
from p402.vocabulary import Charge, Level

__all__ = ["MakeReceipt", "OpenPart", "SessionStore"]


@dataclass(frozen=True, slots=True)
class OpenPart:
    """What is to be sealed: the charges of a session that no receipt covers yet, in the order of recording."""

    organisation: str
    charges: Sequence[Charge]
    part: int
    """1, or more when charges came after an earlier receipt of the session."""
    supplements: str | None
    """The session's first receipt, for a later part; for a correction the receipt that should have had the calls."""
    closed_by: ClosedBy
    correction: bool
    """Whether all its calls began before the part before it was sealed."""
    verified_through: Level | None
    """The deepest level that the collector vouches for on every charge."""


MakeReceipt = Callable[[OpenPart, int, bytes], SealedReceipt]
"""Makes the receipt for a part, its place in the log, and the leaf hash before it."""


class SessionStore(Protocol):
    """Where sessions are kept. Each method is one transaction."""

    async def follow(self, rules: SessionRules, limit: int) -> int:
        """Take the next recorded charges into their sessions; returns how many there were."""
        ...

    async def request_close(self, organisation: str, session: str, rules: SessionRules, at: datetime) -> int:
        """Note that a session is over; returns how many open parts that closes now."""
        ...

    async def due(self, at: datetime, limit: int) -> list[int]:
        """Give sessions whose open part is to be sealed."""
        ...

    async def seal(self, scope_ids: Sequence[int], make: MakeReceipt, at: datetime) -> list[SealedReceipt]:
        """Seal the open parts of sessions into their organisations' logs, all or none of them.

        A session with nothing to seal any more gets no receipt.
        """
        ...

    async def count_open(self) -> int:
        """Count the sessions with an open part."""
        ...
