"""Budgets over HTTP: what is left of each, changing them one by one and by the file, and breaking the glass."""

from __future__ import annotations

from typing import Any

import pytest

from support.otlp import ASpan
from support.server import Answer, Server, bearer

LEGAL = {"level": "department", "node": "legal", "cap": "500.00"}
EACH = {"level": "employee", "cap": "5"}


async def ask(server: Server, method: str, path: str, key: str | None, body: Any = None) -> Answer:
    query = "&" if "?" in path else "?"
    return await server.ask(method, f"{path}{query}organisation=acme", json=body, headers=bearer(key))


async def apply(server: Server, key: str, *budgets: dict[str, Any], **options: bool) -> Answer:
    return await ask(server, "POST", "/v1/budgets/apply", key, {"budgets": budgets, **options})


async def test_a_budget_is_made_seen_with_what_is_left_changed_and_taken_out_of_force(server: Server) -> None:
    admin = await server.key("admin")
    await server.send(ASpan())
    made = await ask(server, "PUT", "/v1/budgets/legal", admin, {**LEGAL, "owner": "Ada"})
    assert (made.status, made.json["change"]) == (201, "created")
    [listed] = (await server.get("/v1/budgets?organisation=acme")).json["budgets"]
    assert (listed["name"], listed["cap"], listed["owner"], listed["overrides"]) == ("legal", "500.00", "Ada", [])
    assert (listed["period_start"], listed["period_end"]) == ("2026-05-01T00:00:00.000Z", "2026-06-01T00:00:00.000Z")
    assert listed["nodes"] == [
        {"node": "legal", "spent": "0.264235", "held": "0", "unreconciled": "0", "left": "499.735765"}
    ]
    changed = await ask(server, "PUT", "/v1/budgets/legal", admin, {**LEGAL, "cap": "0.10"})
    assert changed.json["differences"] == {
        "cap": {"before": "500.00", "after": "0.10"},
        "owner": {"before": "Ada", "after": None},
    }
    shown = (await server.get("/v1/budgets/legal?organisation=acme")).json
    assert shown["nodes"][0]["left"] == "0"
    assert (await ask(server, "DELETE", "/v1/budgets/legal", admin)).json == {"name": "legal", "change": "retired"}
    assert (await server.get("/v1/budgets/legal?organisation=acme")).status == 404
    assert (await ask(server, "DELETE", "/v1/budgets/legal", admin)).status == 404


async def test_a_budget_is_found_by_what_rationales_call_it(server: Server) -> None:
    admin = await server.key("admin")
    await apply(
        server, admin, {**LEGAL, "name": "legal"}, {"name": "ada", "level": "employee", "node": "ada", "cap": "0"}
    )
    listed = (await server.get("/v1/budgets?organisation=acme")).json["budgets"]
    called = {one["name"]: one["in_rationales"] for one in listed}
    assert (called["legal"], called["ada"][0]) == ("legal", "#")
    question = {"organisation": "acme", "provider": "anthropic", "model": "claude-opus-4-5", "employee": "ada"}
    refused = await server.ask("POST", "/v1/decisions", json={"question": question})
    assert f"budget={called['ada']}," in refused.json["rationale"]


async def test_a_changed_cap_holds_for_the_very_next_decision(server: Server) -> None:
    admin = await server.key("admin")
    question = {"organisation": "acme", "department": "legal", "provider": "anthropic", "model": "claude-opus-4-5"}
    body = {"question": {**question, "input_tokens": 2_847, "output_tokens": 10_000}}
    await ask(server, "PUT", "/v1/budgets/legal", admin, {**LEGAL, "cap": "0.20"})
    assert (await server.ask("POST", "/v1/decisions", json=body)).status == 402
    override = {"amount": "0.10", "owner": "cfo", "reason": "quarter end", "expires_at": "2026-05-15T10:00:00Z"}
    made = await ask(server, "POST", "/v1/budgets/legal/overrides", admin, override)
    assert (made.status, made.json["amount"], made.json["owner"]) == (201, "0.1", "cfo")
    assert (await server.ask("POST", "/v1/decisions", json=body)).status == 200
    shown = (await server.get("/v1/budgets/legal?organisation=acme")).json
    assert (shown["cap"], shown["cap_in_force"], len(shown["overrides"])) == ("0.20", "0.3", 1)
    server.clock.advance(hours=1)
    shown = (await server.get("/v1/budgets/legal?organisation=acme")).json
    assert (shown["cap_in_force"], shown["overrides"]) == ("0.2", [])


async def test_the_nodes_of_a_budget_for_each_come_by_use_page_by_page(server: Server) -> None:
    admin = await server.key("admin")
    await ask(server, "PUT", "/v1/budgets/each", admin, EACH)
    for number in range(5):
        outputs = 1_000 * (number // 2)
        await server.send(ASpan.of({"p402.employee": f"e-{number}", "gen_ai.usage.output_tokens": outputs}))
    pages, after = [], ""
    while after is not None:
        page = (await server.get(f"/v1/budgets/each?organisation=acme&limit=2{after and '&after='}{after}")).json
        pages.append([node["node"] for node in page["nodes"]])
        after = page["next_after"]
    assert pages == [["e-4", "e-2"], ["e-3", "e-0"], ["e-1"]]
    [one] = (await server.get("/v1/budgets?organisation=acme&node=e-2")).json["budgets"]
    assert [node["node"] for node in one["nodes"]] == ["e-2"]
    assert (await server.get("/v1/budgets?organisation=acme&node=e-9")).json["budgets"] == []
    [asked] = (await server.get("/v1/budgets?organisation=acme&node=e-9&level=employee")).json["budgets"]
    assert asked["nodes"][0]["left"] == "5"


async def test_a_list_of_budgets_comes_page_by_page(server: Server) -> None:
    admin = await server.key("admin")
    await apply(server, admin, *({**LEGAL, "name": name} for name in "abc"))
    first = (await server.get("/v1/budgets?organisation=acme&limit=2")).json
    assert ([budget["name"] for budget in first["budgets"]], first["next_after"]) == (["a", "b"], "b")
    rest = (await server.get("/v1/budgets?organisation=acme&limit=2&after=b")).json
    assert ([budget["name"] for budget in rest["budgets"]], rest["next_after"]) == (["c"], None)


async def test_budgets_are_applied_all_at_once_as_often_as_one_likes(server: Server) -> None:
    admin = await server.key("admin")
    await ask(server, "PUT", "/v1/budgets/old", admin, EACH)
    legal, each = {**LEGAL, "name": "legal"}, {**EACH, "name": "each", "measure": "requests"}
    dry = (await apply(server, admin, legal, each, dry_run=True, prune=True)).json
    assert [change["name"] for change in dry["created"]] == ["legal", "each"]
    assert [change["name"] for change in dry["retired"]] == ["old"]
    assert len((await server.get("/v1/budgets?organisation=acme")).json["budgets"]) == 1
    wet = (await apply(server, admin, legal, each, prune=True)).json
    assert {**wet, "dry_run": True} == dry
    again = (await apply(server, admin, legal, {**each, "measure": "tokens"}, prune=True)).json
    assert [change["name"] for change in again["unchanged"]] == ["legal"]
    [changed] = again["changed"]
    assert changed == {
        "name": "each",
        "differences": {"measure": {"before": "requests", "after": "tokens"}},
        "fresh_accounts": True,
    }
    audit = (await server.get("/v1/audit?organisation=acme")).json["audit"]
    assert [(entry["action"], entry["subject"]) for entry in audit] == [
        ("budget.changed", "each"),
        ("budget.retired", "old"),
        ("budget.created", "each"),
        ("budget.created", "legal"),
        ("budget.created", "old"),
    ]
    assert all(entry["actor"].startswith("key_") for entry in audit)


async def test_one_budget_that_is_wrong_keeps_all_of_a_file_out(server: Server) -> None:
    admin = await server.key("admin")
    answer = await apply(server, admin, {**LEGAL, "name": "legal"}, {**EACH, "name": "each", "cap": 0.5})
    assert answer.status == 400
    assert "The budget 'each' cannot be used: cap: an amount is a decimal string" in answer.json["detail"]
    twice = await apply(server, admin, {**LEGAL, "name": "legal"}, {**EACH, "name": "legal"})
    assert (twice.status, "legal" in twice.json["detail"]) == (400, True)
    assert (await server.get("/v1/budgets?organisation=acme")).json["budgets"] == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"level": "department"}, "cap: Field required"),
        ({**LEGAL, "name": "other"}, "The body's name is 'other'"),
        ({**LEGAL, "level": "organisation", "node": "initech"}, "it is one of 'acme'"),
        ({**LEGAL, "within": {"organisation": "initech"}}, "it is one of 'acme'"),
        ([], "body: "),
    ],
)
async def test_a_budget_that_is_wrong_is_refused_with_what_is_wrong(server: Server, body: Any, said: str) -> None:
    answer = await ask(server, "PUT", "/v1/budgets/legal", await server.key("admin"), body)
    assert answer.status == 400
    assert said in answer.json["detail"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"amount": "0"}, "amount: an override allows more"),
        ({"amount": "-5"}, "amount: an amount is not negative"),
        ({"reason": " "}, "reason"),
        ({"expires_at": "2026-05-15T09:00:00Z"}, "expires_at: an override ends in the future"),
        ({"expires_at": "2028-05-15T09:00:00Z"}, "expires_at: an override ends in the future"),
        ({"expires_at": "2026-05-16T09:00:00"}, "expires_at"),
    ],
)
async def test_an_override_that_is_wrong_is_refused_with_what_is_wrong(
    server: Server, changed: dict[str, str], said: str
) -> None:
    admin = await server.key("admin")
    await ask(server, "PUT", "/v1/budgets/legal", admin, LEGAL)
    override = {"amount": "5", "owner": "cfo", "reason": "quarter end", "expires_at": "2026-05-16T09:00:00Z"}
    answer = await ask(server, "POST", "/v1/budgets/legal/overrides", admin, {**override, **changed})
    assert (answer.status, said in answer.json["detail"]) == (400, True), answer.json
    unknown = await ask(server, "POST", "/v1/budgets/none/overrides", admin, override)
    assert unknown.status == 404


async def test_a_key_sees_and_changes_budgets_of_its_own_part_of_the_tree_only(guarded: Server) -> None:
    admin = await guarded.key("admin", organisation="acme")
    legal = await guarded.key("admin", organisation="acme", department="legal")
    budgets: list[dict[str, Any]] = [
        {"name": "all", "level": "organisation", "node": "acme", "cap": "9"},
        {**LEGAL, "name": "legal"},
        {**EACH, "name": "people-of-legal", "within": {"department": "legal"}},
        {**LEGAL, "name": "sales", "node": "sales"},
    ]
    await apply(guarded, admin, *budgets)
    seen = (await guarded.get("/v1/budgets", legal)).json["budgets"]
    assert [budget["name"] for budget in seen] == ["legal", "people-of-legal"]
    assert (await guarded.get("/v1/budgets/sales", legal)).status == 404
    assert (await ask(guarded, "PUT", "/v1/budgets/new", legal, EACH)).status == 403
    assert (await ask(guarded, "PUT", "/v1/budgets/sales", legal, LEGAL)).status == 409
    assert (await ask(guarded, "DELETE", "/v1/budgets/all", legal)).status == 404
    pruned = await apply(guarded, legal, prune=True)
    assert [change["name"] for change in pruned.json["retired"]] == ["legal", "people-of-legal"]
    assert len((await guarded.get("/v1/budgets", admin)).json["budgets"]) == 2
    assert (await guarded.get("/v1/audit", legal)).status == 403


async def test_changing_needs_admin_and_seeing_needs_spend_read(guarded: Server) -> None:
    reader, feedback = await guarded.key("spend:read"), await guarded.key("feedback")
    assert (await ask(guarded, "PUT", "/v1/budgets/legal", reader, LEGAL)).status == 403
    assert (await apply(guarded, reader)).status == 403
    assert (await guarded.get("/v1/budgets", feedback)).status == 403
    assert (await guarded.get("/v1/budgets")).status == 401
