"""Statements over HTTP: they agree with the ledger, and a closed month does not change."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from p402.collector.markup_settings import MarkupSettings
from p402.vocabulary import Money
from support.exporting import exported, rows, sealed_sessions
from support.otlp import ASpan
from support.pdf_reading import read_pdf
from support.server import Server, serving

MAY = "/v1/statements?organisation=acme&period=2026-05"


def by_node(statement: dict[str, Any], amount: str = "cost_usd") -> dict[str | None, str]:
    return {line["of"]: line[amount] for line in statement["lines"]}


async def test_a_statement_says_what_each_node_came_to_and_what_is_nobodys(server: Server) -> None:
    key = await server.key("spend:read", organisation="acme")
    statement = (await server.get(f"{MAY}&by=client", key)).json
    assert by_node(statement) == {"globex": "0.52847", "initech": "0.264235", None: "0.264235"}
    assert statement["totals"]["cost_usd"] == "1.05694"
    assert (statement["totals"]["charges"], statement["totals"]["unpriced_charges"]) == (5, 1)
    assert (statement["state"], statement["period"], statement["time_zone"]) == ("open", "2026-05", "UTC")
    assert by_node((await server.get(MAY, key)).json) == {"legal": "0.792705", "sales": "0.264235"}
    assert by_node((await server.get(f"{MAY}&by=organisation", key)).json) == {"acme": "1.05694"}


async def test_the_lines_as_csv(server: Server) -> None:
    key = await server.key("spend:read", organisation="acme")
    answer = await server.get("/v1/statements.csv?period=2026-05&by=department", key)
    assert answer.media_type == "text/csv"
    assert [(row["of"], row["total_usd"]) for row in rows(answer.body)] == [
        ("legal", "0.792705"),
        ("sales", "0.264235"),
    ]


async def test_a_statement_as_a_document_holds_what_the_api_gives(server: Server) -> None:
    key = await server.key("spend:read", organisation="acme")
    answer = await server.get("/v1/statements.pdf?period=2026-05&by=client", key)
    assert (answer.status, answer.media_type) == (200, "application/pdf")
    found = read_pdf(answer.body)
    assert json.loads(found.files["statement-2026-05.json"]) == (await server.get(f"{MAY}&by=client", key)).json
    assert "Chargeback statement by client acme Period 2026-05" in found.text
    assert "Total 1.05694 USD 1 charge without a known price not included" in found.text
    assert re.search(r"globex \d [\d,]+ [\d,]+ 0\.528470 ", found.text)


async def test_a_bound_key_reads_the_lines_of_its_part(server: Server) -> None:
    key = await server.key("spend:read", organisation="acme", department="legal")
    statement = (await server.get(f"{MAY}&by=department", key)).json
    assert by_node(statement) == {"legal": "0.792705"}
    assert statement["totals"]["cost_usd"] == "0.792705"
    person = await server.key("spend:read", organisation="acme", employee="e-7")
    assert (await server.get(MAY, person)).status == 403


@pytest.mark.parametrize("behind", [0, 10])
async def test_what_comes_after_the_close_is_an_adjustment_of_the_month_in_which_it_was_recorded(
    server: Server, behind: int
) -> None:
    admin, sender = await server.key("admin", organisation="acme"), await server.key("ingest")
    server.clock.advance(days=20)
    assert (await server.ask("POST", "/v1/periods/2026-05/close", headers=authorised(admin))).status in (200, 201)
    before = (await server.get(f"{MAY}&by=department", admin)).json
    server.clock.advance(days=-behind)  # of a collector whose clock says that it is still May
    await server.send(ASpan.of({"p402.session": "late"}), key=sender)
    server.clock.advance(days=behind)
    after = (await server.get(f"{MAY}&by=department", admin)).json
    assert (after["state"], after["lines"], after["totals"]) == ("closed", before["lines"], before["totals"])
    june = (await server.get("/v1/statements?period=2026-06", admin)).json
    [line] = june["lines"]
    assert (line["cost_usd"], line["adjustments_usd"], line["adjustment_charges"]) == ("0.264235", "0.264235", 1)
    assert line["parts"][0]["adjusts"] == "2026-05"
    _, files = await exported(server, admin, format="focus", **{"from": "2026-06-01T00:00:00Z"})
    found = rows(files["focus.csv"])
    assert {row["ChargeClass"] for row in found} == {"Correction"}
    assert {row["BillingPeriodStart"] for row in found} == {"2026-06-01T00:00:00Z"}
    assert {row["ChargePeriodStart"] for row in found} == {"2026-05-15T09:00:00Z"}
    _, files = await exported(server, admin, format="charges-csv", to="2026-06-01T00:00:00Z")
    assert len(rows(files["charges.csv"])) == 5


async def test_a_mark_up_is_shown_beside_the_cost(tmp_path: Path) -> None:
    markup = (MarkupSettings(client="globex", percent=Decimal("12.5")),)
    async with serving(tmp_path, markup=markup) as server:
        await sealed_sessions(server)
        statement = (await server.get(f"{MAY}&by=client")).json
        assert by_node(statement, "markup_usd") == {"globex": "0.06605875", "initech": "0", None: "0"}
        _, files = await exported(server, None, format="focus")
        found = [row for row in rows(files["focus.csv"]) if row["x_MarkupBasisPoints"]]
        assert {row["x_MarkupBasisPoints"] for row in found} == {"1250"}
        assert sum((Money.parse(row["x_MarkupCost"]) for row in found), Money(0)) == Money.parse("0.06605875")


@pytest.mark.parametrize(
    "query", ["", "?period=2026-13", "?period=2026-05&by=colour", "?period=0000-01", "?period=May"]
)
async def test_a_wrong_month_is_told(server: Server, query: str) -> None:
    answer = await server.get(f"/v1/statements{query}", await server.key("spend:read", organisation="acme"))
    assert answer.status == 400


def authorised(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
