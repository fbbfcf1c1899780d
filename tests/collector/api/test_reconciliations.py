"""A month's invoice beside the ledger over HTTP: down to the calls of a row, and back from a call to its row."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.databases import each_database
from support.otlp import ASpan
from support.server import Answer, Server, bearer, serving

__all__ = ["each_database"]

ANTHROPIC = "2026-05-15T00:00:00Z"
PATH = "/v1/reconciliations?organisation=acme"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Three calls of the worked example ($0.264235 each) on 15 May 2026: two of legal, one of sales."""
    async with serving(tmp_path) as running:
        assert (await running.send(ASpan(), ASpan(), ASpan.of({"p402.department": "sales"}))).status == 200
        yield running


def usage(calls: int, key: str = "apikey_1") -> dict[str, Any]:
    """What Anthropic's usage report says of so many calls of the worked example."""
    result = {
        "uncached_input_tokens": 2_847 * calls,
        "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0},
        "cache_read_input_tokens": 0,
        "output_tokens": 10_000 * calls,
        "api_key_id": key,
        "model": "claude-opus-4-5-20251101",
    }
    return {"starting_at": ANTHROPIC, "ending_at": "2026-05-16T00:00:00Z", "results": [result]}


def costs(cents: str) -> dict[str, Any]:
    result = {"amount": cents, "currency": "USD", "cost_type": "tokens", "model": "claude-opus-4-5"}
    return {"data": [{"starting_at": ANTHROPIC, "results": [result]}], "has_more": False}


async def reconcile(server: Server, *documents: Any, **more: Any) -> Answer:
    named = [{"name": f"{number}.json", "content": json.dumps(item)} for number, item in enumerate(documents)]
    key = await server.key("admin")
    return await server.ask("POST", PATH, json={"documents": named, **more}, headers=bearer(key))


async def test_an_unmetered_call_and_a_negotiated_price_are_told_apart_and_kept(server: Server) -> None:
    # Four calls were billed and three metered: one more is $0.264235. The invoice has 95 cents instead of 105.694.
    made = await reconcile(server, {"data": [usage(4)], "has_more": False}, costs("95"), period="2026-05")
    assert made.status == 201
    totals = made.json["totals"]
    assert (totals["invoice_usd"], totals["ledger_usd"]) == ("0.95", "0.792705")
    assert totals["difference_usd"] == "0.157295"
    assert totals["reasons"] == {"unmetered": "0.264235", "price": "-0.10694"}
    assert (made.json["from_day"], made.json["to_day"], made.json["provider"]) == (
        "2026-05-01",
        "2026-05-31",
        "anthropic",
    )
    assert [document["shape"] for document in made.json["documents"]] == ["usage report", "cost report"]
    shown = await server.get(f"/v1/reconciliations/{made.json['reconciliation_id']}?organisation=acme")
    assert shown.json == made.json
    [listed] = (await server.get(PATH)).json["reconciliations"]
    assert listed == {name: value for name, value in made.json.items() if name != "rows"}


async def test_a_row_leads_to_its_charges_and_a_charge_to_its_row(server: Server) -> None:
    made = await reconcile(server, costs("79.2705"))
    [row] = made.json["rows"]
    assert (row["day"], row["model"], row["difference_usd"], row["reasons"]) == (
        "2026-05-15",
        "claude-opus-4-5",
        "0",
        {},
    )
    one = f"/v1/reconciliations/{made.json['reconciliation_id']}"
    charges = (await server.get(f"{one}/charges?organisation=acme&row=0")).json["charges"]
    assert [charge["cost_usd"] for charge in charges] == ["0.264235"] * 3
    page = (await server.get(f"{one}/charges?organisation=acme&row=0&limit=2")).json
    rest = (await server.get(f"{one}/charges?organisation=acme&row=0&after={page['next_after']}")).json
    assert page["charges"] + rest["charges"] == charges
    back = await server.get(f"{one}?organisation=acme&charge={charges[2]['seq']}")
    assert back.json["rows"] == [row]
    assert (await server.get(f"{one}?organisation=acme&charge=99")).json["rows"] == []
    assert (await server.get(f"{one}?organisation=acme&differing=true")).json["rows"] == []


async def test_a_key_that_pays_for_a_department_is_compared_with_its_calls(server: Server) -> None:
    document = {"data": [usage(2, "apikey_legal"), usage(3, "apikey_other")], "has_more": False}
    made = await reconcile(server, document, keys={"apikey_legal": {"department": "legal"}})
    rows = {row["key"]: (row["ledger"]["charges"], row["reasons"]) for row in made.json["rows"]}
    assert rows == {"apikey_legal": (2, {}), None: (1, {"unmetered": "0.52847"})}  # two calls more
    number = next(row["row"] for row in made.json["rows"] if row["key"] is None)
    path = f"/v1/reconciliations/{made.json['reconciliation_id']}/charges?organisation=acme&row={number}"
    assert [charge["department"] for charge in (await server.get(path)).json["charges"]] == ["sales"]


async def test_a_file_that_cannot_be_compared_is_refused_by_its_name(server: Server) -> None:
    for document, said in (
        ("hello", "0.json: This is no export"),
        (costs("much"), "0.json: bucket 1, result 1: amount is no amount: 'much'"),
    ):
        refused = await reconcile(server, document if isinstance(document, dict) else {"hello": document})
        assert (refused.status, said in refused.json["detail"]) == (400, True), refused.json
    wrong = await reconcile(server, costs("1"), period="2026-13")
    assert (wrong.status, "must be a month such as 2026-10" in wrong.json["detail"]) == (400, True)
    early = await reconcile(server, costs("1"), period="2026-04")
    assert "No line is of 2026-04: the file has those from 2026-05-15 to 2026-05-15" in early.json["detail"]


async def test_only_who_reads_the_whole_organisation_may_see_it(server: Server) -> None:
    made = await reconcile(server, costs("1"))
    path = f"/v1/reconciliations/{made.json['reconciliation_id']}"
    bound = await server.key("spend:read", organisation="acme", department="legal")
    assert (await server.get(path, bound)).status == 403
    other = await server.key("spend:read", organisation="initech")
    assert (await server.get(path, other)).status == 404
    weak = await server.key("receipts:read", organisation="acme")
    assert (await server.get(path, weak)).status == 403
