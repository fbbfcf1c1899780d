"""Pages call departments and people by their names: people only where that may be seen, and then it is noted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from p402.collector.storage.tables import log_entries
from p402.collector.storage.usage import SqlUsage
from support.budgets import put_budget
from support.directory import people_csv
from support.otlp import ASpan
from support.server import Server, bearer, serving

ACME = {"organisation": "acme"}
DEPARTMENT, PERSON = '<span title="legal">Legal &amp; Compliance</span>', "Ada Lovelace <small>e-1042</small>"
BESIDE = ("legal</a> <small>Legal &amp; Compliance</small>", "e-1042</a> <small>Ada Lovelace</small>")
PEOPLE = (
    "/", "/spend/employee", "/sessions", "/sessions/review-7", "/calls", "/routing", "/anomalies", "/alerts",
    "/budgets", "/budgets/of-legal", "/budgets/of-ada",
)  # fmt: skip
"""That name the department's only caller; and the department, but for those that are about people only."""
RECEIPTS = ("/receipts", "/receipts/{receipt}")
"""That have names beside the ids that were signed."""
POLICIES = ("/policies", "/policies/legal")
QUESTION = {
    "organisation": "acme", "department": "legal", "employee": "e-1042", "provider": "anthropic", "model": "claude-opus-4-5",
    "input_tokens": 2_847, "output_tokens": 10_000,
}  # fmt: skip


@pytest.fixture
async def named(tmp_path: Path) -> AsyncIterator[Server]:
    """Acme's legal department has a name, and so has who called: for more than the budgets of both, and was refused then."""
    async with serving(tmp_path, require_key=True, anomaly_session_usd="0.10") as server:
        admin = await server.key("admin")
        for text in ("department,display_name\nlegal,Legal & Compliance\n", people_csv("e-1042,Ada Lovelace,legal")):
            headers = {"Content-Type": "text/csv", **bearer(admin)}
            assert (await server.ask("PUT", "/v1/directory", params=ACME, data=text, headers=headers)).status == 200
        for name, level, node in (("of-legal", "department", "legal"), ("of-ada", "employee", "e-1042")):
            await put_budget(server, name, {"level": level, "node": node, "cap": "0.20", "period": "month"})
        await server.send(ASpan(), key=admin)
        refused = await server.ask("POST", "/v1/decisions", json={"question": QUESTION}, headers=bearer(admin))
        assert refused.status == 402
        await server.seal()
        await server.collector.watch.catch_up()
        server.clock.advance(minutes=1)
        await SqlUsage(server.collector.database).follow(100)
        yield server


async def address(server: Server, path: str) -> str:
    if "{receipt}" not in path:
        return path
    listed = await server.get("/v1/receipts?organisation=acme", await server.key("receipts:read"))
    return path.format(receipt=listed.json["receipts"][0]["receipt_id"])


async def page(server: Server, path: str, key: str, query: str = "?organisation=acme") -> str:
    answer = await server.get(await address(server, path) + query, key)
    assert answer.status == 200, answer.body
    return answer.body.decode()


async def reader(server: Server, *scopes: str) -> str:
    return await server.key("spend:read", "receipts:read", *scopes)


async def reads(server: Server) -> list[Any]:
    answer = await server.get("/v1/access-log?organisation=acme", await server.key("holds"))
    return [(one["what"], one["count"]) for one in answer.json["reads"]]


@pytest.mark.parametrize("path", PEOPLE)
async def test_who_may_see_personal_data_sees_names_of_people_and_that_is_noted(named: Server, path: str) -> None:
    text = await page(named, path, await reader(named, "receipts:personal"))
    assert PERSON in text
    [(what, count)] = await reads(named)
    assert (what.split("/")[1], count) == (path.split("/")[1], 1)


@pytest.mark.parametrize("path", [*PEOPLE, *RECEIPTS, *POLICIES])
async def test_others_see_ids_of_people_and_names_of_departments(named: Server, path: str) -> None:
    text = await page(named, path, await reader(named))
    assert "Ada Lovelace" not in text
    assert "e-1042" in text or path in (*RECEIPTS, *POLICIES)
    assert (BESIDE[0] if path in RECEIPTS else DEPARTMENT) in text or path in ("/spend/employee", "/budgets/of-ada")
    assert await reads(named) == []


@pytest.mark.parametrize("path", [*PEOPLE, *RECEIPTS])
async def test_hidden_people_are_hidden_from_everybody(named: Server, path: str) -> None:
    text = await page(named, path, await reader(named, "receipts:personal"), "?organisation=acme&people=hidden")
    assert "Ada Lovelace" not in text
    assert "e-1042" not in text
    assert await reads(named) == [] or path in RECEIPTS  # which disclose the name of the session too


@pytest.mark.parametrize("path", RECEIPTS)
@pytest.mark.parametrize("query", ["", "?organisation=acme"])
async def test_a_receipt_shows_what_was_signed_with_the_names_beside(named: Server, path: str, query: str) -> None:
    text = await page(named, path, await reader(named, "receipts:personal"), query)
    is_of_acme = bool(query) or path != "/receipts"
    assert [beside in text for beside in BESIDE] == [is_of_acme] * 2
    what = f"GET {path.format(receipt='{receipt_id}')}"
    assert await reads(named) == ([(what, 1), (what, 1)] if is_of_acme else []), "the receipt, and the person"


@pytest.mark.parametrize("path", RECEIPTS)
async def test_a_receipt_that_somebody_broke_is_shown_all_the_same(named: Server, path: str) -> None:
    def tamper(connection: Connection) -> None:
        body = connection.execute(select(log_entries.c.body).where(log_entries.c.seq == 0)).scalar_one()
        broken = body.replace(b'"department":"legal"', b'"department":["legal"]')
        assert broken != body
        connection.execute(log_entries.update().where(log_entries.c.seq == 0).values(body=broken))

    at = await address(named, path)
    await named.collector.database.write(tamper)
    assert "Ada Lovelace" in await page(named, at, await reader(named, "receipts:personal"))


async def test_the_preview_of_a_budget_names_whom_it_would_have_been_about(named: Server) -> None:
    form = {"action": "preview", "level": "employee", "measure": "cost", "period": "month", "cap": "9"}
    headers = bearer(await named.key("admin"))
    for path, name in (("/budgets/new", "each"), ("/budgets/of-ada", "of-ada")):
        answer = await named.ask("POST", path, params=ACME, data={**form, "name": name}, headers=headers)
        preview = answer.body.decode().partition('id="preview"')[2]
        assert f'<th scope="row">{PERSON}</th>' in preview, path


async def test_the_sentence_about_a_budget_has_name_and_id(named: Server) -> None:
    text = await page(named, "/budgets/of-ada", await reader(named, "receipts:personal"))
    assert "a month for the employee Ada Lovelace (e-1042)." in text


async def test_a_chart_and_what_a_page_is_narrowed_to_have_names_too(named: Server) -> None:
    key = await named.key("spend:read", "receipts:personal")
    assert '<th scope="col" class="n">Ada Lovelace</th>' in await page(named, "/spend/employee", key)
    assert DEPARTMENT in await page(named, "/spend/project", key, "?organisation=acme&department=legal")


@pytest.mark.parametrize(
    "path", ["/spend/model", "/spend/employee", "/sessions", "/calls", "/routing", "/receipts", "/anomalies"]
)
async def test_whoever_sees_a_part_learns_no_name_from_outside_of_it_by_asking(named: Server, path: str) -> None:
    key = await named.key("spend:read", "receipts:read", "receipts:personal", **ACME, department="sales")
    for asked in ("employee=e-1042", "department=legal"):
        text = await page(named, path, key, f"?organisation=acme&{asked}")
        assert "Ada Lovelace" not in text
        assert "Legal &amp; Compliance" not in text
    assert await reads(named) == []


async def test_a_page_that_shows_nothing_still_says_by_name_what_it_is_narrowed_to(named: Server) -> None:
    key = await named.key("spend:read", "receipts:personal")
    assert "Ada Lovelace" in await page(named, "/spend/model", key, "?organisation=acme&employee=e-1042&period=2025-01")


async def test_a_page_that_stays_open_is_noted_once_in_ten_minutes(named: Server) -> None:
    key = await named.key("spend:read", "receipts:personal")
    for _ in range(3):
        await page(named, "/spend/employee", key)
        named.clock.advance(minutes=3)
    assert len(await reads(named)) == 1
    named.clock.advance(minutes=5)
    await page(named, "/spend/employee", key)
    await page(named, "/", key)
    await page(named, "/spend/employee", await named.key("spend:read", "receipts:personal"))
    assert [what for what, _ in await reads(named)] == [
        "GET /spend/{dimension}",
        "GET /spend/{dimension}",
        "GET /",
        "GET /spend/{dimension}",
    ]
