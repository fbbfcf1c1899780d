"""Sessions over HTTP: whose they are, what they cost, their receipts, charges and decisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.databases import each_database
from support.otlp import ASpan
from support.server import Server, bearer, serving

__all__ = ["each_database"]

QUESTION = {
    "organisation": "acme", "department": "legal", "project": "contracts", "client": "globex", "employee": "e-1042",
    "session": "review-7", "provider": "anthropic", "model": "claude-opus-4-5",
}  # fmt: skip


async def test_a_session_shows_whose_it_is_what_it_cost_and_its_receipts(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.send(ASpan(), ASpan.of({"gen_ai.request.model": "nobody", "gen_ai.response.model": "nobody"}))
        await server.seal()
        await server.send(ASpan.of({"p402.session": "s-2", "p402.employee": "e-7"}))
        await server.collector.sealer.catch_up()
        page = (await server.get("/v1/sessions?organisation=acme")).json
        first, second = page["sessions"]
        assert (first["session"], first["employee"], first["state"], first["due_at"]) == (
            "review-7",
            "e-1042",
            "sealed",
            None,
        )
        assert (first["calls"], first["unpriced_calls"], first["cost_usd"]) == (2, 1, "0.264235")
        receipts = (await server.get("/v1/receipts?organisation=acme")).json["receipts"]
        assert first["receipts"] == [receipt["receipt_id"] for receipt in receipts]
        assert (second["session"], second["state"], second["receipts"]) == ("s-2", "open", [])
        assert second["due_at"] == "2026-05-15T09:15:00.000Z"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["review-7", "s-2", "s-3"]),
        ("&state=open", ["s-2", "s-3"]),
        ("&state=sealed", ["review-7"]),
        ("&employee=e-7", ["s-2"]),
        ("&department=sales&client=globex", ["s-3"]),
        ("&session=s-3", ["s-3"]),
        ("&limit=1&after=1", ["s-2"]),
    ],
)
async def test_sessions_are_found_by_level_and_state(tmp_path: Path, query: str, found: list[str]) -> None:
    async with serving(tmp_path) as server:
        await server.send(
            ASpan(),
            ASpan.of({"p402.session": "s-2", "p402.employee": "e-7"}),
            ASpan.of({"p402.session": "s-3", "p402.department": "sales"}),
        )
        await server.seal()
        listed = (await server.get(f"/v1/sessions?organisation=acme{query}")).json["sessions"]
        assert [one["session"] for one in listed] == found


async def decided(server: Server, **other: str) -> str:
    key = await server.key("feedback")
    answer = await server.ask("POST", "/v1/decisions", json={"question": QUESTION | other}, headers=bearer(key))
    return str(answer.json["id"])


async def test_one_session_has_its_charges_in_pages_and_what_was_decided_about_its_calls(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        about_it = await decided(server)
        await decided(server, session="another")
        await decided(server, department="sales")
        await server.send(ASpan(), ASpan())
        await server.collector.sealer.catch_up()
        [whole] = (await server.get("/v1/sessions/review-7?organisation=acme&limit=1")).json["sessions"]
        assert [decision["id"] for decision in whole["decisions"]] == [about_it]
        assert [charge["seq"] for charge in whole["charges"]] == [1]
        [rest] = (await server.get(f"/v1/sessions/review-7?organisation=acme&after={whole['next_after']}")).json[
            "sessions"
        ]
        assert ([charge["seq"] for charge in rest["charges"]], rest["next_after"]) == ([2], None)


async def test_an_id_with_two_owners_is_two_sessions_of_which_each_sees_its_own(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.send(ASpan(), ASpan.of({"p402.department": "sales"}))
        await server.collector.sealer.catch_up()
        both = (await server.get("/v1/sessions/review-7?organisation=acme")).json["sessions"]
        assert [one["department"] for one in both] == ["legal", "sales"]
        key = await server.key("spend:read", organisation="acme", department="sales")
        [own] = (await server.get("/v1/sessions/review-7", key)).json["sessions"]
        assert own["department"] == "sales"
        other = await server.key("spend:read", organisation="acme", department="ops")
        assert (await server.get("/v1/sessions/review-7", other)).status == 404


async def test_owners_of_one_id_share_the_limit_and_pages_lead_to_all_that_they_have(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        for department in ("legal", "sales", "ops") * 3:
            await decided(server, department=department)
            await server.send(ASpan.of({"p402.department": department}))
        await server.collector.sealer.catch_up()
        found: dict[str, list[int]] = {}
        after: int | None = 0
        while after is not None:
            path = f"/v1/sessions/review-7?organisation=acme&limit=4&after={after}"
            owners = (await server.get(path)).json["sessions"]
            assert sum(len(one["charges"]) for one in owners) <= 4
            assert all(bool(one["decisions"]) == bool(one["charges"]) for one in owners)
            for one in owners:
                found.setdefault(one["department"], []).extend(charge["seq"] for charge in one["charges"])
            [after] = {one["next_after"] for one in owners}
        assert found == {"legal": [1, 4, 7], "sales": [2, 5, 8], "ops": [3, 6, 9]}


async def test_a_key_of_another_department_cannot_close_a_session(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.send(ASpan())
        await server.collector.sealer.catch_up()
        other = await server.key("ingest", organisation="acme", department="sales")
        own = await server.key("ingest", organisation="acme", department="legal")
        refused = await server.ask("POST", "/v1/sessions/review-7/close", headers=bearer(other))
        [whole] = (await server.get("/v1/sessions/review-7?organisation=acme")).json["sessions"]
        assert (refused.status, whole["state"], whole["due_at"]) == (403, "open", "2026-05-15T09:15:00.000Z")
        closed = await server.ask("POST", "/v1/sessions/review-7/close", headers=bearer(own))
        assert (closed.status, closed.json["open_parts"]) == (202, 1)
