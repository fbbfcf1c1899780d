"""Budgets of a collector that listens in this process; for one in another process there is `support.control`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from p402.collector.budgets.definition import read_definition
from p402.collector.storage.budgets import apply_budgets
from support.server import Server, bearer


async def put_budget(server: Server, name: str, definition: Mapping[str, Any], organisation: str = "acme") -> None:
    """Make a budget, or change it, as its API does."""
    wanted, now = [read_definition({**definition, "name": name})], server.clock.now()
    await server.collector.database.write(
        lambda connection: apply_budgets(connection, organisation, wanted, actor="", at=now)
    )


async def override_budget(
    server: Server, name: str, amount: str, lasting: timedelta, organisation: str = "acme"
) -> None:
    """Allow more than a budget's cap for a while."""
    key = await server.key("budgets:write", organisation=organisation)
    until = (server.clock.now() + lasting).isoformat()
    body = {"amount": amount, "owner": "cfo", "reason": "a fair", "expires_at": until}
    answer = await server.ask("POST", f"/v1/budgets/{name}/overrides", json=body, headers=bearer(key))
    assert answer.status == 201, answer
