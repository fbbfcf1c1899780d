"""What forecasts need from storage."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from p402.vocabulary import Level

__all__ = ["SpendHistory"]


class SpendHistory(Protocol):
    """The hourly counters."""

    async def hourly(
        self, organisation: str, level: Level, node: str | None, from_hour: int, to_hour: int
    ) -> Mapping[int, int]:
        """Give what a node spent in each hour since 1970 (UTC; the last one not included), in nano-USD.

        Hours without spend are left out; ``node`` None is the unattributed one.

        Raises:
            Transient: when the counters cannot be read now.
        """
        ...

    async def hourly_of(
        self, organisation: str, nodes: Collection[tuple[Level, str]], from_hour: int, to_hour: int
    ) -> Mapping[tuple[Level, str], Mapping[int, int]]:
        """Give the same of several nodes, read at once; ``""`` is the unattributed one.

        Raises:
            Transient: when the counters cannot be read now.
        """
        ...
