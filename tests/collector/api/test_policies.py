"""Policies over HTTP: versions, who may see and change them, and dry runs."""

from __future__ import annotations

from typing import Any

import pytest

from support.otlp import ASpan
from support.server import Answer, Server, bearer

ECONOMY = {"max_tier": "economy", "strategy": "cost-first"}
MAY = {"from": "2026-05-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}
HAIKU = {"rules": [{"name": "all", "then": {"model": "claude-haiku-4-5"}}]}


async def put(server: Server, department: str, policy: dict[str, Any], **headers: str) -> Answer:
    key = await server.key("admin")
    path = f"/v1/policies/{department}?organisation=acme"
    return await server.ask("PUT", path, json=policy, headers={**bearer(key), **headers})


async def dry_run(server: Server, key: str | None = None, **body: Any) -> Answer:
    return await server.ask("POST", "/v1/policies/test?organisation=acme", json=body, headers=bearer(key))


async def test_a_policy_is_made_changed_read_and_ended_each_time_as_a_version(server: Server) -> None:
    made = await put(server, "legal", {**ECONOMY, "reason": "the board said so"})
    assert (made.status, made.headers["ETag"], made.json["version"]) == (201, '"1"', 1)
    assert made.json["definition"] == ECONOMY
    assert (made.json["reason"], made.json["created_by"][:4]) == ("the board said so", "key_")
    changed = await put(server, "legal", {"max_tier": "standard"})
    assert (changed.status, changed.json["version"]) == (200, 2)
    shown = await server.get("/v1/policies/legal?organisation=acme")
    assert shown.json == changed.json
    listed = await server.get("/v1/policies?organisation=acme")
    assert listed.json == {"policies": [changed.json]}
    key = await server.key("admin")
    ended = await server.ask("DELETE", "/v1/policies/legal?organisation=acme", headers=bearer(key))
    assert (ended.status, ended.json["version"], ended.json["definition"]) == (200, 3, None)
    assert (await server.get("/v1/policies/legal?organisation=acme")).status == 404
    versions = await server.get("/v1/policies/legal/versions?organisation=acme")
    assert [version["definition"] for version in versions.json["versions"]] == [ECONOMY, {"max_tier": "standard"}, None]
    page = await server.get("/v1/policies/legal/versions?organisation=acme&after=1&limit=1")
    assert (page.json["versions"][0]["version"], page.json["next_after"]) == (2, 2)


async def test_the_same_policy_once_more_changes_nothing(server: Server) -> None:
    await put(server, "legal", ECONOMY)
    again = await put(server, "legal", ECONOMY)
    assert (again.status, again.json["version"]) == (200, 1)


async def test_a_change_may_insist_on_the_version_that_it_is_of(server: Server) -> None:
    assert (await put(server, "legal", ECONOMY, **{"If-Match": '"0"'})).status == 201
    late = await put(server, "legal", {"max_tier": "standard"}, **{"If-Match": '"0"'})
    assert (late.status, late.json["type"]) == (412, "about:p402/precondition-failed")
    assert "at version 1, not 0" in late.json["detail"]
    assert (await put(server, "legal", {"max_tier": "standard"}, **{"If-Match": '"1"'})).status == 200
    assert (await put(server, "legal", ECONOMY, **{"If-Match": "yesterday"})).status == 400


async def test_the_organisation_s_own_is_called_default(server: Server) -> None:
    assert (await put(server, "_default", ECONOMY)).json["department"] == "_default"
    judged = await dry_run(server, question={"department": "sales", "provider": "openai", "model": "gpt-5-nano"})
    assert "policy=default@1" in judged.json["rationale"]


async def test_what_is_wrong_with_a_policy_is_named_by_its_path(server: Server) -> None:
    refused = await put(server, "legal", {"rules": [{"name": "r", "when": {"complexity_to": 12}, "then": {}}]})
    assert refused.status == 400
    assert "rules[0].when.complexity_to: " in refused.json["detail"]
    assert "rules[0].then: says nothing" in refused.json["detail"]


async def test_a_policy_in_force_decides_about_the_next_call(server: Server) -> None:
    await put(server, "legal", {"denied_models": ["claude-opus-*"], "strategy": "cost-first"})
    question = {
        "organisation": "acme",
        "department": "legal",
        "provider": "anthropic",
        "model": "claude-opus-4-5",
        "output_tokens": 100,
    }
    decided = await server.ask("POST", "/v1/decisions", json={"question": question})
    assert decided.status == 200, decided.body
    assert decided.json["model"] != "claude-opus-4-5"
    await put(server, "legal", {"rules": [{"name": "closed", "then": {"block": "closed on Fridays"}}]})
    refused = await server.ask("POST", "/v1/decisions", json={"question": question})
    assert refused.status == 402
    assert "closed on Fridays" in str(refused.json)


@pytest.mark.parametrize(
    ("scopes", "bound_to", "method", "path", "status"),
    [
        (("spend:read",), {}, "PUT", "legal", 403),
        (("spend:read",), {}, "DELETE", "legal", 403),
        (("ingest",), {}, "GET", "legal", 403),
        (("admin",), {"organisation": "acme", "department": "sales"}, "PUT", "sales", 403),
        (("spend:read",), {"organisation": "acme", "department": "sales"}, "GET", "legal", 403),
        (("spend:read",), {"organisation": "acme", "department": "sales"}, "GET", "_default", 200),
        (("spend:read",), {"organisation": "initech"}, "GET", "legal", 404),
    ],
)
async def test_who_may_see_and_change_a_policy(
    server: Server, scopes: tuple[str, ...], bound_to: dict[str, str], method: str, path: str, status: int
) -> None:
    await put(server, "legal", ECONOMY)
    await put(server, "_default", ECONOMY)
    key = await server.key(*scopes, **bound_to)
    organisation = "" if "organisation" in bound_to else "?organisation=acme"
    body = {"json": ECONOMY} if method == "PUT" else {}
    answer = await server.ask(method, f"/v1/policies/{path}{organisation}", headers=bearer(key), **body)
    assert answer.status == status, answer.body


# --- dry runs


async def test_a_proposed_policy_is_tried_on_a_call_and_nothing_changes(server: Server) -> None:
    question = {"provider": "anthropic", "model": "claude-opus-4-5", "input_tokens": 2847, "output_tokens": 10_000}
    judged = await dry_run(server, policy=HAIKU, question={**question, "complexity": 2})
    assert judged.json == {
        "verdict": "downgrade",
        "code": "rule",
        "rationale": "complexity=2, dept_policy=quality-first, policy=proposed@0, rule=all, because=rule, "
        "model=claude-haiku-4-5",
        "model": "claude-haiku-4-5",
        "would": None,
        "most_usd": "0.052847",
    }
    assert (await server.get("/v1/policies?organisation=acme")).json == {"policies": []}


async def test_last_month_run_through_a_policy_says_what_would_have_moved_and_what_it_would_have_cost(
    server: Server,
) -> None:
    await server.send(ASpan(), ASpan(), ASpan.of({"p402.department": "sales"}))
    tried = (await dry_run(server, policy=HAIKU, department="legal", history=MAY)).json
    # Twice the worked example: $0.264235 at opus; 2,847 × $1 and 10,000 × $5 a million at haiku.
    assert tried["looked_at"] == {"calls": 2, "cost_usd": "0.52847", "unpriced_calls": 0}
    assert tried["verdicts"] == {"downgrade": {"calls": 2, "cost_usd": "0.52847", "unpriced_calls": 0}}
    assert tried["moves"] == [
        {
            "provider": "anthropic",
            "from": "claude-opus-4-5",
            "to": "claude-haiku-4-5",
            "calls": 2,
            "calls_without_price": 0,
            "cost_before_usd": "0.52847",
            "cost_after_usd": "0.105694",
        }
    ]
    assert tried["moved"] == {"calls": 2, "cost_before_usd": "0.52847", "cost_after_usd": "0.105694"}
    assert (tried["rules"], tried["complete"], len(tried["examples"])) == ({"all": 2}, True, 2)
    example = tried["examples"][0]
    assert (example["model"], example["model_after"], example["verdict"]) == (
        "claude-opus-4-5",
        "claude-haiku-4-5",
        "downgrade",
    )
    whole = (await dry_run(server, policy=HAIKU, history=MAY)).json
    assert whole["looked_at"]["calls"] == 3


async def test_calls_whose_complexity_nobody_computed_are_not_judged_by_rules_about_it(server: Server) -> None:
    simple = {"rules": [{"name": "simple", "when": {"complexity_to": 5}, "then": {"model": "claude-haiku-4-5"}}]}
    await server.send(
        ASpan(),
        ASpan.of({"p402.complexity": 2}),
        ASpan.of({"p402.complexity": 8, "p402.data_class": "secret"}),
        ASpan.of({"p402.complexity": 11}),  # no complexity
    )
    charges = (await server.get("/v1/charges?organisation=acme")).json["charges"]
    assert [charge["complexity"] for charge in charges] == [None, 2, 8, None]
    assert charges[2]["data_class"] == "secret"
    tried = (await dry_run(server, policy=simple, history=MAY)).json
    assert tried["not_judged"]["complexity_unknown"]["calls"] == 2
    assert {verdict: tally["calls"] for verdict, tally in tried["verdicts"].items()} == {"allow": 1, "downgrade": 1}
    assert any("2 calls were not judged" in note for note in tried["notes"])


async def test_without_a_proposal_each_department_s_own_policy_is_tried(server: Server) -> None:
    await put(server, "sales", {"rules": [{"name": "none", "then": {"block": "no"}}]})
    await server.send(ASpan(), ASpan.of({"p402.department": "sales"}))
    tried = (await dry_run(server, history=MAY)).json
    assert {verdict: tally["calls"] for verdict, tally in tried["verdicts"].items()} == {"allow": 1, "block": 1}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "give either question or history"),
        ({"history": {"from": MAY["to"], "to": MAY["from"]}}, "history.from must be before history.to"),
        ({"history": {"from": "May"}}, "history.from: "),
        ({"history": MAY, "policy": {"max_tier": "x"}}, "policy.max_tier: "),
    ],
)
async def test_a_dry_run_that_cannot_be_made_says_why(server: Server, body: dict[str, Any], told: str) -> None:
    refused = await dry_run(server, **body)
    assert refused.status == 400
    assert told in refused.json["detail"]


async def test_a_key_of_a_department_tries_policies_on_its_own_calls_only(server: Server) -> None:
    await server.send(ASpan(), ASpan.of({"p402.department": "sales"}))
    key = await server.key("spend:read", organisation="acme", department="sales")
    tried = await dry_run(server, key, policy=HAIKU, history=MAY)
    assert tried.json["looked_at"]["calls"] == 1
    assert (await dry_run(server, key, policy=HAIKU, history=MAY, department="legal")).status == 403
