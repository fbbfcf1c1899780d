"""Pages call departments and people by their names: people only where that may be seen, and then it is noted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from p402.collector.storage.usage import SqlUsage
from support.budgets import put_budget
from support.directory import people_csv
from support.otlp import ASpan
from support.server import Server, bearer, serving

ACME = {"organisation": "acme"}
DEPARTMENT, PERSON = '<span title="legal">Legal &amp; Compliance</span>', "Ada Lovelace <small>e-1042</small>"
PAGES = ("/", "/spend/employee", "/sessions", "/sessions/review-7", "/budgets")
"""That name the department and its only caller."""


@pytest.fixture
async def named(tmp_path: Path) -> AsyncIterator[Server]:
    """Acme's legal department has a name, and so has who called; both have a budget."""
    async with serving(tmp_path, require_key=True) as server:
        admin = await server.key("admin")
        for text in ("department,display_name\nlegal,Legal & Compliance\n", people_csv("e-1042,Ada Lovelace,legal")):
            headers = {"Content-Type": "text/csv", **bearer(admin)}
            assert (await server.ask("PUT", "/v1/directory", params=ACME, data=text, headers=headers)).status == 200
        for level, node in (("department", "legal"), ("employee", "e-1042")):
            await put_budget(server, node, {"level": level, "node": node, "cap": "5", "period": "month"})
        await server.send(ASpan(), key=admin)
        await SqlUsage(server.collector.database).follow(100)
        yield server


async def page(server: Server, path: str, key: str, query: str = "") -> str:
    answer = await server.get(f"{path}?organisation=acme{query}", key)
    assert answer.status == 200, answer.body
    return answer.body.decode()


async def reads(server: Server) -> list[Any]:
    answer = await server.get("/v1/access-log?organisation=acme", await server.key("holds"))
    return [(one["what"], one["count"]) for one in answer.json["reads"]]


@pytest.mark.parametrize("path", PAGES)
async def test_who_may_see_personal_data_sees_names_of_people_and_that_is_noted(named: Server, path: str) -> None:
    key = await named.key("spend:read", "receipts:personal")
    text = await page(named, path, key)
    assert PERSON in text
    assert DEPARTMENT in text or path == "/spend/employee"
    [(what, count)] = await reads(named)
    assert (what.split("/")[1].split("{")[0], count) == (path.split("/")[1], 1)


@pytest.mark.parametrize("path", PAGES)
async def test_others_see_ids_of_people_and_names_of_departments(named: Server, path: str) -> None:
    text = await page(named, path, await named.key("spend:read"))
    assert "Ada Lovelace" not in text
    assert "e-1042" in text
    assert DEPARTMENT in text or path == "/spend/employee"
    assert await reads(named) == []


@pytest.mark.parametrize("path", PAGES)
async def test_hidden_people_are_hidden_from_everybody(named: Server, path: str) -> None:
    text = await page(named, path, await named.key("spend:read", "receipts:personal"), "&people=hidden")
    assert "Ada Lovelace" not in text
    assert await reads(named) == []


async def test_a_chart_and_what_a_page_is_narrowed_to_have_names_too(named: Server) -> None:
    key = await named.key("spend:read", "receipts:personal")
    assert '<th scope="col" class="n">Ada Lovelace</th>' in await page(named, "/spend/employee", key)
    assert DEPARTMENT in await page(named, "/spend/project", key, "&department=legal")


@pytest.mark.parametrize("path", ["/spend/model", "/spend/employee", "/sessions"])
async def test_whoever_sees_a_part_learns_no_name_from_outside_of_it_by_asking(named: Server, path: str) -> None:
    key = await named.key("spend:read", "receipts:personal", **ACME, department="sales")
    for asked in ("employee=e-1042", "department=legal"):
        text = await page(named, path, key, f"&{asked}")
        assert "Ada Lovelace" not in text
        assert "Legal &amp; Compliance" not in text
    assert await reads(named) == []


async def test_a_page_that_shows_nothing_still_says_by_name_what_it_is_narrowed_to(named: Server) -> None:
    key = await named.key("spend:read", "receipts:personal")
    assert "Ada Lovelace" in await page(named, "/spend/model", key, "&employee=e-1042&period=2025-01")


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
