"""The hourly counters of one node, for forecasts."""

from __future__ import annotations

from sqlalchemy import Connection, select

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
        query = (
            select(spend_hourly.c.hour, spend_hourly.c.cost_nano_usd)
            .where(spend_hourly.c.organisation == organisation, spend_hourly.c.level == level.value)
            .where(spend_hourly.c.node == (node or ""))
            .where(spend_hourly.c.hour >= from_hour, spend_hourly.c.hour < to_hour)
            .where(spend_hourly.c.cost_nano_usd > 0)
        )

        def read(connection: Connection) -> dict[int, int]:
            return {row.hour: int(row.cost_nano_usd) for row in connection.execute(query)}

        return await self._database.read(read)
