"""Bodies are what the document says they are, to the type of each value."""

from __future__ import annotations

from typing import Any

import pytest

from support.server import Server

QUESTION = {"provider": "anthropic", "model": "claude-opus-4-5"}


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("POST", "/v1/leases", {"question": QUESTION, "rules_version": False}, "#/rules_version"),
        ("POST", "/v1/leases", {"question": {**QUESTION, "input_tokens": "12"}}, "#/question/input_tokens"),
        ("POST", "/v1/decisions", {"question": {**QUESTION, "can_clamp": "yes"}}, "#/question/can_clamp"),
        ("PUT", "/v1/policies/legal", {"at_cap": {"wait_seconds": True}}, "#/at_cap/wait_seconds"),
        ("POST", "/v1/policies/test", {"history": {"from": 0, "to": "2026-05-15T10:00:00Z"}}, "#/history/from"),
        ("POST", "/v1/budgets/apply", {"budgets": [], "prune": 1}, "#/prune"),
    ],
)
async def test_a_value_of_another_type_is_refused_and_pointed_at(
    server: Server, method: str, path: str, body: Any, pointer: str
) -> None:
    admin = {"Authorization": f"Bearer {await server.key('admin')}"}
    answer = await server.ask(method, path, json=body, headers=admin)
    assert (answer.status, [error["pointer"] for error in answer.json["errors"]]) == (400, [pointer])
