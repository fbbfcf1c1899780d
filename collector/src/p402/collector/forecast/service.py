"""Projecting a node's spend from the counters as they are now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from p402.collector.forecast.history import HISTORY
from p402.collector.forecast.ports import SpendHistory
from p402.collector.forecast.project import Projection, project
from p402.collector.forecast.series import hour_at_or_after
from p402.vocabulary import Level, Money

__all__ = ["Asked", "Forecasts"]

_A_DAY = timedelta(days=1)  # the first day of the history may have begun so long before


@dataclass(frozen=True, slots=True)
class Asked:
    """A projection that is wanted, as of `Forecasts.project`."""

    level: Level
    node: str
    period_start: datetime
    period_end: datetime
    time_zone: str
    cap: Money | None


class Forecasts:
    """Projects what nodes of the tree will have spent."""

    def __init__(self, history: SpendHistory) -> None:
        self._history = history

    async def project(
        self,
        organisation: str,
        level: Level,
        node: str | None,
        period_start: datetime,
        period_end: datetime,
        time_zone: str,
        cap: Money | None,
        now: datetime,
    ) -> Projection:
        """Project what a node will have spent at the end of a period.

        Args:
            organisation: whose tree it is.
            level: of the node, down to the session.
            node: its id; None is the unattributed one.
            period_start: aware, as are the other times.
            period_end: not included; after the start.
            time_zone: name of the zone whose days and weekdays count, such as ``Europe/Berlin``.
            cap: what may be spent in the period, if there is a cap.
            now: the counters count as complete until then.

        Raises:
            Transient: when the counters cannot be read now.
        """
        first = hour_at_or_after(min(now - HISTORY, period_start) - _A_DAY)
        last = hour_at_or_after(max(now, period_end))
        hourly = await self._history.hourly(organisation, level, node, first, last)
        return await asyncio.to_thread(project, hourly, period_start, period_end, ZoneInfo(time_zone), now, cap)

    async def project_all(self, organisation: str, asked: Sequence[Asked], now: datetime) -> list[Projection]:
        """Project several nodes, each as `project` does, with one look at the counters.

        Raises:
            Transient: when the counters cannot be read now.
        """
        if not asked:
            return []
        first = hour_at_or_after(min(now - HISTORY, *(one.period_start for one in asked)) - _A_DAY)
        last = hour_at_or_after(max(now, *(one.period_end for one in asked)))
        nodes = {(one.level, one.node) for one in asked}
        hourly = await self._history.hourly_of(organisation, nodes, first, last)

        def compute() -> list[Projection]:
            return [
                project(
                    hourly[one.level, one.node],
                    one.period_start,
                    one.period_end,
                    ZoneInfo(one.time_zone),
                    now,
                    one.cap,
                )
                for one in asked
            ]

        return await asyncio.to_thread(compute)
