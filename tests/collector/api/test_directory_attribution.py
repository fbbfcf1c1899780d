"""A call that names only its employee: asked about, held for, charged and refused as one of the employee's department."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from support.budgets import put_budget
from support.directory import people_csv
from support.otlp import ASpan
from support.server import Answer, Server, bearer

SALES: Mapping[str, Any] = {"level": "department", "node": "sales", "cap": "1.00", "period": "month"}
OPUS: Mapping[str, Any] = {
    "organisation": "acme",
    "provider": "anthropic",
    "model": "claude-opus-4-5",
    "input_tokens": 2_847,
    "output_tokens": 10_000,
}
"""It can cost $0.264235, as does the span that `ASpan` is."""


async def put(server: Server, *lines: str) -> None:
    headers, query = {"Content-Type": "text/csv", **bearer(await server.key("admin"))}, {"organisation": "acme"}
    answer = await server.ask("PUT", "/v1/directory", params=query, data=people_csv(*lines), headers=headers)
    assert answer.status == 200, answer.body


@pytest.fixture
async def sales(server: Server) -> Server:
    """Acme knows that Bob is in Sales, which may spend a dollar."""
    await put(server, "e-2001,Bob,sales")
    await put_budget(server, "sales", SALES)
    return server


async def ask(server: Server, path: str, **question: str) -> Answer:
    body = {"question": {**OPUS, "employee": "e-2001", **question}}
    return await server.ask("POST", path, json=body)


async def balance(server: Server) -> tuple[str, str]:
    """What the budget of Sales has spent and holds."""
    [budget] = (await server.get("/v1/budgets?organisation=acme")).json["budgets"]
    [node] = budget["nodes"]
    return node["spent"], node["held"]


async def test_lease_span_and_budget_of_the_department_agree(sales: Server) -> None:
    answer = (await ask(sales, "/v1/leases")).json
    assert answer["rules"]["department"] == "sales"
    assert answer["rules"]["by_employee"] is True
    assert "employee" in answer["rules"]["levels"]
    spent, held = await balance(sales)
    assert (spent, held) == ("0", answer["lease"]["amounts"]["cost"])
    await sales.send(
        ASpan.of({"p402.department": None, "p402.employee": "e-2001", "p402.lease": answer["lease"]["id"]})
    )
    spent, left = await balance(sales)
    assert (spent, Decimal(held) - Decimal(left)) == ("0.264235", Decimal("0.264235"))
    [charge] = (await sales.get("/v1/charges?organisation=acme")).json["charges"]
    assert (charge["department"], charge["employee"]) == ("sales", "e-2001")
    await sales.ask("POST", f"/v1/leases/{answer['lease']['id']}/settle", json={"calls": 1})
    assert await balance(sales) == ("0.264235", "0")
    assert (await sales.get("/v1/overruns?organisation=acme")).json["overruns"] == []


async def test_a_decision_holds_and_its_settlement_charges_the_same_department(sales: Server) -> None:
    decided = (await ask(sales, "/v1/decisions")).json
    assert await balance(sales) == ("0", "0.264235")
    usage = {"usage": {"input_tokens": 2_847, "output_tokens": 10_000}}
    await sales.ask("POST", f"/v1/decisions/{decided['id']}/settle", json=usage)
    assert await balance(sales) == ("0.264235", "0")
    [noted] = (await sales.get("/v1/decisions?organisation=acme")).json["decisions"]
    assert noted["question"]["department"] == "sales"


async def test_a_proxy_that_names_the_employee_holds_from_their_department(sales: Server) -> None:
    headers = {"X-P402-Organisation": "acme", "X-P402-Employee": "e-2001"}
    assert (await sales.ask("GET", "/v1/authorize", headers=headers)).status == 200
    assert (await balance(sales))[1] != "0"


async def test_who_names_a_department_stays_in_it(sales: Server) -> None:
    answer = (await ask(sales, "/v1/leases", department="legal")).json
    assert (answer["rules"]["department"], answer["rules"]["by_employee"], answer["lease"]) == ("legal", False, None)
    await sales.send(ASpan.of({"p402.department": "legal", "p402.employee": "e-2001"}))
    [charge] = (await sales.get("/v1/charges?organisation=acme")).json["charges"]
    assert charge["department"] == "legal"


async def test_the_employee_of_the_key_is_enough(sales: Server) -> None:
    key = await sales.key("ingest", organisation="acme", employee="e-2001")
    await sales.send(ASpan.of({"p402.department": None, "p402.employee": "e-9"}), key=key)
    assert (await balance(sales))[0] == "0.264235"


async def test_who_moves_is_of_the_new_department_from_the_next_call_on(sales: Server) -> None:
    first = (await ask(sales, "/v1/leases")).json["rules"]
    await put(sales, "e-2001,Bob,legal")
    then = (await ask(sales, "/v1/leases")).json["rules"]
    assert (then["department"], then["version"] > first["version"]) == ("legal", True)
    await put(sales, "e-2001,Robert,legal")
    assert (await ask(sales, "/v1/leases")).json["rules"]["version"] == then["version"]


async def test_refusals_by_holders_of_leases_are_the_department_s_too(sales: Server) -> None:
    used = dict.fromkeys(("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"))
    said = {"p402.department": None, "p402.employee": "e-2001", "p402.decision.verdict": "block"}
    await sales.send(ASpan.of({**used, **said}))
    [decision] = (await sales.get("/v1/decisions?organisation=acme&verdict=block")).json["decisions"]
    assert decision["question"]["department"] == "sales"
