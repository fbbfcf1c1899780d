"""What became of decisions and holds; the tree; and keys, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.otlp import ASpan
from support.server import Answer, Server, bearer

QUESTION = {
    "organisation": "acme",
    "provider": "anthropic",
    "model": "claude-opus-4-5",
    "input_tokens": 2_847,
    "output_tokens": 10_000,
}
"""It can cost $0.264235."""


async def put(server: Server, name: str, **budget: Any) -> None:
    key = await server.key("admin")
    path = f"/v1/budgets/{name}?organisation=acme"
    assert (await server.ask("PUT", path, json=budget, headers=bearer(key))).status in (200, 201)


async def decide(server: Server, path: str = "/v1/decisions", key: str | None = None, **who: str) -> Answer:
    return await server.ask("POST", path, json={"question": {**QUESTION, **who}}, headers=bearer(key))


async def test_decisions_are_listed_by_verdict_the_newest_first_page_by_page(server: Server) -> None:
    await put(server, "legal", level="department", node="legal", cap="0")
    for number in range(3):
        await decide(server, department="legal", session=f"s-{number}")
        await decide(server, department="sales")
    refused = (await server.get("/v1/decisions?organisation=acme&verdict=block&limit=2")).json
    first, second = refused["decisions"]
    assert (first["question"]["session"], second["question"]["session"]) == ("s-2", "s-1")
    assert (first["code"], first["verdict"]) == ("budget_exhausted", "block")
    rest = await server.get(f"/v1/decisions?organisation=acme&verdict=block&limit=2&after={refused['next_after']}")
    assert [decision["question"]["session"] for decision in rest.json["decisions"]] == ["s-0"]
    assert rest.json["next_after"] is None
    assert len((await server.get("/v1/decisions?organisation=acme")).json["decisions"]) == 6
    assert (await server.get("/v1/decisions?after=yesterday")).status == 400


async def test_an_unreconciled_lease_is_seen_and_released_with_a_reason(server: Server) -> None:
    admin = await server.key("admin")
    await put(server, "legal", level="department", node="legal", cap="1000")
    lease = (await decide(server, "/v1/leases", department="legal")).json["lease"]
    path = f"/v1/leases/{lease['id']}/release?organisation=acme"
    [seen] = (await server.get("/v1/leases?organisation=acme")).json["leases"]
    assert (seen["state"], seen["department"]) == ("open", "legal")
    assert seen["holds"] == [{"budget": "legal", "node": "legal", "remaining": "4.22776"}]
    early = await server.ask("POST", path, json={"reason": "crashed"}, headers=bearer(admin))
    assert early.status == 409
    server.clock.advance(seconds=3_600)
    await server.collector.keeper.look()
    assert len((await server.get("/v1/leases?organisation=acme&state=unreconciled")).json["leases"]) == 1
    figures = (await server.get("/metrics")).body.decode()
    assert 'p402_leases{state="unreconciled"} 1.0' in figures
    assert "p402_unreconciled_usd 4.22776" in figures
    released = await server.ask("POST", path, json={"reason": "pod was evicted"}, headers=bearer(admin))
    assert (released.status, released.json["state"], released.json["holds"][0]["remaining"]) == (200, "closed", "0")
    [entry, *_] = (await server.get("/v1/audit?organisation=acme")).json["audit"]
    assert (entry["action"], entry["subject"]) == ("lease.released", lease["id"])
    assert entry["detail"]["reason"] == "pod was evicted"
    assert (await server.ask("POST", path, json={}, headers=bearer(admin))).status == 400
    assert (await server.ask("POST", path, json={"reason": "x"}, headers=bearer(None))).status == 403


async def test_overruns_are_listed_with_their_reason(server: Server) -> None:
    await put(server, "legal", level="department", node="legal", cap="0.20")
    await server.send(ASpan(), ASpan())
    overruns = (await server.get("/v1/overruns?organisation=acme")).json["overruns"]
    assert [(overrun["amount"], overrun["reason"]) for overrun in overruns] == [
        ("0.064235", "no_hold"),
        ("0.264235", "no_hold"),
    ]
    assert 'p402_overruns_total{reason="no_hold"} 2.0' in (await server.get("/metrics")).body.decode()
    page = (await server.get("/v1/overruns?organisation=acme&limit=1")).json
    after = await server.get(f"/v1/overruns?organisation=acme&limit=1&after={page['next_after']}")
    assert after.json["overruns"] == [overruns[1]]


async def test_a_bound_key_sees_what_became_of_its_own_part_only(guarded: Server) -> None:
    budget = {"cap": "0.10", "level": "department"}
    for name in ("legal", "sales"):
        await put(guarded, name, **budget, node=name)
        sender = await guarded.key("feedback", "ingest", organisation="acme")
        await decide(guarded, key=sender, department=name)
        await guarded.send(ASpan.of({"p402.department": name}), key=sender)
    legal = await guarded.key("spend:read", organisation="acme", department="legal")
    decisions = (await guarded.get("/v1/decisions", legal)).json["decisions"]
    assert [decision["question"]["department"] for decision in decisions] == ["legal"]
    overruns = (await guarded.get("/v1/overruns", legal)).json["overruns"]
    assert {overrun["budget"] for overrun in overruns} == {"legal"}
    assert (await guarded.get("/v1/organisation", legal)).status == 403


async def test_the_tree_has_nodes_with_owners_spend_and_budgets_and_is_walked_down(server: Server) -> None:
    await put(server, "legal", level="department", node="legal", cap="5", owner="Ada")
    await put(server, "each", level="department", cap="5")
    await put(server, "planned", level="project", node="next-year", cap="5", owner="Bob")
    await server.send(ASpan(), ASpan.of({"p402.department": "sales", "p402.project": "fair"}))
    tree = (await server.get("/v1/organisation?organisation=acme")).json
    assert (tree["organisation"], tree["node"], tree["spend_usd"]) == ("acme", "acme", "0.52847")
    legal, sales = tree["levels"]["department"]["nodes"]
    assert legal == {
        "node": "legal",
        "display_name": None,
        "owner": "Ada",
        "spend_usd": "0.264235",
        "charges": 1,
        "budgets": ["each", "legal"],
    }
    assert (sales["node"], sales["owner"], sales["budgets"]) == ("sales", None, ["each"])
    projects = tree["levels"]["project"]["nodes"]
    assert [(node["node"], node["owner"]) for node in projects] == [
        ("contracts", None),
        ("fair", None),
        ("next-year", "Bob"),
    ]
    under = (await server.get("/v1/organisation?organisation=acme&level=project&department=sales")).json
    assert [node["node"] for node in under["levels"]["project"]["nodes"]] == ["fair"]
    page = (await server.get("/v1/organisation?organisation=acme&level=project&limit=1&after=contracts")).json
    assert page["levels"]["project"]["next_after"] == "fair"
    assert (await server.get("/v1/organisation?level=request")).status == 400


# --- keys


async def test_a_key_is_made_shown_once_and_revoked(guarded: Server) -> None:
    admin = await guarded.key("admin")
    body = {"name": "ci", "scopes": ["ingest", "feedback"], "organisation": "acme", "department": "legal"}
    made = await guarded.ask("POST", "/v1/keys", json=body, headers=bearer(admin))
    assert made.status == 201
    assert made.json["bound_to"]["department"] == "legal"
    secret = made.json["secret"]
    assert (await guarded.send(ASpan(), key=secret)).status == 200
    listed = await guarded.get("/v1/keys", admin)
    assert secret not in listed.body.decode()
    assert "ci" in [key["name"] for key in listed.json["keys"]]
    path = f"/v1/keys/{made.json['id']}"
    assert (await guarded.ask("DELETE", path, headers=bearer(admin))).status == 200
    assert (await guarded.send(ASpan(), key=secret)).status == 401
    assert (await guarded.ask("DELETE", path, headers=bearer(admin))).status == 404
    audit = (await guarded.get("/v1/audit?organisation=acme", admin)).json["audit"]
    assert [entry["action"] for entry in audit] == ["key.revoked", "key.created"]
    assert secret not in str(audit)


async def test_the_stream_of_a_key_ends_when_it_is_revoked_over_http(guarded: Server) -> None:
    admin = await guarded.key("admin")
    body = {"name": "ci", "scopes": ["feedback"], "organisation": "acme"}
    made = (await guarded.ask("POST", "/v1/keys", json=body, headers=bearer(admin))).json
    async with guarded.session.get(f"{guarded.url}/v1/feedback/stream", headers=bearer(made["secret"])) as stream:
        await stream.content.readuntil(b"\n\n")
        await guarded.ask("DELETE", f"/v1/keys/{made['id']}", headers=bearer(admin))
        assert (await asyncio.wait_for(stream.content.read(), 10)).endswith(b"event: revoked\ndata: {}\n\n")


async def test_a_bound_admin_makes_and_sees_keys_of_its_part_only(guarded: Server) -> None:
    legal = await guarded.key("admin", organisation="acme", department="legal")
    other = {"name": "ci", "scopes": ["ingest"], "department": "sales"}
    assert (await guarded.ask("POST", "/v1/keys", json=other, headers=bearer(legal))).status == 403
    made = await guarded.ask("POST", "/v1/keys", json={**other, "department": None}, headers=bearer(legal))
    assert made.json["bound_to"]["department"] == "legal"
    seen = (await guarded.get("/v1/keys", legal)).json["keys"]
    assert {key["bound_to"]["department"] for key in seen} == {"legal"}
    [foreign] = [key for key in await guarded.collector.keys.list() if key.bound_to.organisation is None]
    assert (await guarded.ask("DELETE", f"/v1/keys/{foreign.id}", headers=bearer(legal))).status == 404


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "ci", "scopes": ["root"]}, "No such scope: root"),
        ({"name": "", "scopes": ["ingest"]}, "name"),
        ({"name": "ci", "scopes": []}, "scopes"),
        ({"name": "ci", "scopes": ["ingest"], "department": " legal"}, "department"),
    ],
)
async def test_a_key_that_is_wrong_is_refused_with_what_is_wrong(
    server: Server, body: dict[str, Any], said: str
) -> None:
    answer = await server.ask("POST", "/v1/keys", json=body, headers=bearer(await server.key("admin")))
    assert (answer.status, said in answer.json["detail"]) == (400, True), answer.json
