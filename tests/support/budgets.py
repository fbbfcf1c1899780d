"""Budgets of a collector that listens in this process; for one in another process there is `support.control`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p402.collector.budgets.definition import read_definition
from p402.collector.storage.budgets import apply_budgets
from support.server import Server


async def put_budget(server: Server, name: str, definition: Mapping[str, Any], organisation: str = "acme") -> None:
    """Make a budget, or change it, as its API does."""
    wanted, now = [read_definition({**definition, "name": name})], server.clock.now()
    await server.collector.database.write(
        lambda connection: apply_budgets(connection, organisation, wanted, actor="", at=now)
    )
