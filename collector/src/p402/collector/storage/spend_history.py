"""The hourly counters of one node, for forecasts."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, Select, select

from p402.collector.storage.database import Database
from p402.collector.storage.tables import spend_hourly
from p402.vocabulary import Level

__all__ = ["SqlSpendHistory"]


class SqlSpendHistory:
    """Implements `forecast.ports.SpendHistory`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hourly(
        self, organisation: str, level: Level, node: str | None, from_hour: int, to_hour: int
    ) -> dict[int, int]:
        """Read the counters, see `forecast.ports.SpendHistory`."""
        asked = (level, node or "")
        return (await self.hourly_of(organisation, [asked], from_hour, to_hour))[asked]

    async def hourly_of(
        self, organisation: str, nodes: Collection[tuple[Level, str]], from_hour: int, to_hour: int
    ) -> dict[tuple[Level, str], dict[int, int]]:
        """Read the counters of several nodes, see `forecast.ports.SpendHistory`."""
        found: dict[tuple[Level, str], dict[int, int]] = {node: {} for node in nodes}
        queries = [_query(organisation, level, node, from_hour, to_hour) for level, node in found]

        def read(connection: Connection) -> None:
            for hours, query in zip(found.values(), queries, strict=True):  # each is a range of the primary key
                hours.update((hour, int(cost)) for hour, cost in connection.execute(query))

        await self._database.read(read)
        return found


def _query(organisation: str, level: Level, node: str, from_hour: int, to_hour: int) -> Select[int, int]:
    return (
        select(spend_hourly.c.hour, spend_hourly.c.cost_nano_usd)
        .where(spend_hourly.c.organisation == organisation, spend_hourly.c.level == level.value)
        .where(spend_hourly.c.node == node)
        .where(spend_hourly.c.hour >= from_hour, spend_hourly.c.hour < to_hour)
        .where(spend_hourly.c.cost_nano_usd > 0)
    )
