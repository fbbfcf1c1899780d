"""Budgets of a collector that listens in this process; for one in another process there is `support.control`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from p402.collector.budgets.definition import read_definition
from p402.collector.storage.budgets import apply_budgets
from p402.vocabulary import Money
from support.server import Answer, Server, bearer

OPUS: Mapping[str, Any] = {
    "organisation": "acme",
    "department": "legal",
    "provider": "anthropic",
    "model": "claude-opus-4-5",
    "input_tokens": 2_847,
    "output_tokens": 10_000,
}
"""The worked example as a question: it can cost $0.264235."""

LEGAL: Mapping[str, Any] = {"level": "department", "node": "legal", "cap": "1.00", "period": "month"}


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


async def ask(server: Server, path: str, key: str | None = None, **changed: Any) -> Answer:
    """Ask about the worked example, with members of the body, and of its question, changed."""
    headers = {**bearer(key), **changed.pop("headers", {})}
    body = {"question": {**OPUS, **changed.pop("question", {})}, **changed}
    return await server.ask("POST", path, json=body, headers=headers)


async def balance(server: Server, name: str = "legal", node: str = "legal") -> tuple[str, str, str]:
    """What the newest account of a budget has spent, held and not reconciled, in USD."""

    def read(connection: Any) -> tuple[Any, ...]:
        row: tuple[Any, ...] = connection.exec_driver_sql(
            "SELECT spent, held, unreconciled FROM budget_accounts JOIN budgets ON budgets.id = budget_id"
            f" WHERE name = '{name}' AND node = '{node}' ORDER BY period_start DESC"
        ).fetchone()
        return row

    spent, held, unreconciled = (str(Money(int(amount))) for amount in await server.collector.database.read(read))
    return spent, held, unreconciled
