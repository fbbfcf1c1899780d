"""What looking after personal data needs from storage."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

__all__ = ["AccessRows", "Leader", "Pruner", "UnfinishedErasures"]


class UnfinishedErasures(Protocol):
    """Erasures that were begun."""

    async def catch_up(self) -> None:
        """Finish them."""
        ...

    async def write_missing_lines(self) -> None:
        """Bring the list of erased names beside the database up to date."""
        ...


class AccessRows(Protocol):
    """Rows of the access log."""

    async def seal_due(self, at: datetime, longest: timedelta) -> int:
        """Hash rows into the log where there are many, or where one has waited for long; gives how many."""
        ...


class Pruner(Protocol):
    """What is kept for a while only."""

    async def prune_some(self, at: datetime) -> bool:
        """Delete a little of what is past its time; tells whether there may be more. A pass begins anew after its end."""
        ...


class Leader(Protocol):
    """The right to do what one collector alone should do."""

    async def take(self) -> bool:
        """Tell whether it is ours."""
        ...

    async def resign(self) -> None:
        """Let another have it."""
        ...
