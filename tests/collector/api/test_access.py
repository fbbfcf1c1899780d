"""Who may ask for what."""

from __future__ import annotations

from pathlib import Path

import pytest

from p402.collector.address import Address
from p402.collector.api.endpoint import described_by
from p402.collector.storage.keys import SCOPES, Keys
from support.clock import CountingIds
from support.otlp import ASpan
from support.server import Server, bearer, serving

RECEIPTS = (
    "/v1/receipts",
    "/v1/receipts/{acme}",
    "/v1/receipts/{acme}.json",
    "/v1/receipts/{acme}/body",
    "/v1/receipts/{acme}/proof",
    "/v1/checkpoints/latest",
    "/.well-known/receipt-keys",
    "/v1/settlements",
    "/receipts/{acme}",
)
SPEND = ("/v1/charges", "/v1/spend", "/v1/forecast")
ENDPOINTS = [
    *(("GET", path, "receipts:read") for path in RECEIPTS),
    *(("GET", path, "spend:read") for path in SPEND),
    ("POST", "/v1/sessions/review-7/close", "ingest"),
]
OF_AN_ORGANISATION = [path for path in (*RECEIPTS, *SPEND) if "{acme}" not in path] + ["/"]


async def receipt_of(server: Server, organisation: str) -> str:
    key = await server.key("admin")
    [receipt] = (await server.get(f"/v1/receipts?organisation={organisation}", key)).json["receipts"]
    receipt_id: str = receipt["receipt_id"]
    return receipt_id


async def status(server: Server, method: str, path: str, key: str | None) -> int:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    answer = await server.ask(method, path, headers=headers)
    if answer.status >= 400:
        assert answer.media_type == "application/problem+json"
        assert ("WWW-Authenticate" in answer.headers) == (answer.status == 401)
    return answer.status


async def test_every_endpoint_asks_for_its_scope(guarded: Server) -> None:
    acme = await receipt_of(guarded, "acme")
    keys = {scope: await guarded.key(scope, organisation="acme") for scope in SCOPES}
    for method, template, needed in ENDPOINTS:
        path = template.format(acme=acme)
        assert await status(guarded, method, path, None) == 401
        assert await status(guarded, method, path, "p402_wrong") == 401
        for scope, key in keys.items():
            allowed = scope in (needed, "admin")
            assert (await status(guarded, method, path, key) < 400) == allowed, (path, scope)
            assert allowed or await status(guarded, method, path, key) == 403


async def test_a_key_of_one_organisation_sees_nothing_of_another(guarded: Server) -> None:
    acme = await receipt_of(guarded, "acme")
    key = await guarded.key("admin", organisation="initech")
    for path in OF_AN_ORGANISATION:
        assert await status(guarded, "GET", f"{path}?organisation=acme", key) == 403, path
        answer = await guarded.get(path, key)
        assert answer.status == 200
        assert b"acme" not in answer.body, path
    for path in RECEIPTS:
        if "{acme}" in path:
            assert await status(guarded, "GET", path.format(acme=acme), key) == 404, path
    assert await status(guarded, "POST", "/v1/sessions/review-7/close?organisation=acme", key) == 403


async def test_a_key_of_a_department_sees_its_own_part_only(guarded: Server) -> None:
    ingest = await guarded.key("ingest")
    await guarded.send(ASpan.of({"p402.department": "sales", "p402.session": "s-2"}), key=ingest)
    await guarded.seal("s-2")
    key = await guarded.key("spend:read", "receipts:read", organisation="acme", department="sales")
    charges = (await guarded.get("/v1/charges", key)).json["charges"]
    receipts = (await guarded.get("/v1/receipts", key)).json["receipts"]
    assert [charge["department"] for charge in charges] == ["sales"]
    assert [receipt["department"] for receipt in receipts] == ["sales"]
    for path in ("/v1/spend", "/v1/forecast"):
        assert await status(guarded, "GET", path, key) == 403, path
    assert b"legal" not in (await guarded.get("/", key)).body


async def test_what_a_key_sends_is_charged_to_what_it_is_bound_to(guarded: Server) -> None:
    key = await guarded.key("ingest", "spend:read", organisation="hooli", department="ops")
    assert (await guarded.send(ASpan(), key=key)).status == 200
    [charge] = (await guarded.get("/v1/charges", key)).json["charges"]
    assert (charge["organisation"], charge["department"], charge["project"]) == ("hooli", "ops", "contracts")


async def test_personal_fields_are_for_those_who_may_see_them(guarded: Server) -> None:
    acme = await receipt_of(guarded, "acme")
    reader = await guarded.key("receipts:read", organisation="acme")
    personal = await guarded.key("receipts:read", "receipts:personal", organisation="acme")
    for path in (f"/v1/receipts/{acme}", f"/v1/receipts/{acme}.json", "/v1/receipts", f"/receipts/{acme}"):
        assert b"e-1042" not in (await guarded.get(path, reader)).body, path
    assert (await guarded.get(f"/v1/receipts/{acme}.json", reader)).json["receipts"][0]["disclosures"] == []
    view = (await guarded.get(f"/v1/receipts/{acme}", personal)).json
    assert (view["employee"], view["session_id"]) == ("e-1042", "review-7")
    assert len((await guarded.get(f"/v1/receipts/{acme}.json", personal)).json["receipts"][0]["disclosures"]) == 2


async def test_a_revoked_key_is_refused_at_once(guarded: Server) -> None:
    key = await guarded.key("spend:read")
    assert await status(guarded, "GET", "/v1/charges", key) == 200
    [known] = [known for known in await guarded.collector.keys.list() if known.scopes == {"spend:read"}]
    await guarded.collector.keys.revoke(known.id, guarded.clock.now())
    assert await status(guarded, "GET", "/v1/charges", key) == 401


QUESTION = {"question": {"organisation": "acme", "provider": "anthropic", "model": "claude-opus-4-5"}}
WITH_REMEMBERED_KEYS = {
    ("POST", "/v1/decisions"): QUESTION,
    ("POST", "/v1/leases"): QUESTION,
    ("GET", "/v1/authorize"): None,
    ("POST", "/v1/leases/{lease}/settle"): {},
}


async def test_where_keys_are_remembered_one_that_another_process_revokes_is_refused_at_once(guarded: Server) -> None:
    collector = guarded.collector
    described = [described_by(route.handler) for route in collector.app.router.routes()]
    found = {(one.method, one.path) for one in described if one is not None and one.checks_key_again}
    assert found == set(WITH_REMEMBERED_KEYS)
    elsewhere = Keys(collector.database, CountingIds())
    for (method, path), body in WITH_REMEMBERED_KEYS.items():
        key = await guarded.key("feedback")
        [known] = [one for one in await elsewhere.list() if one.scopes == {"feedback"} and not one.revoked_at]
        before = await guarded.ask(method, path.format(lease="lease_1"), json=body, headers=bearer(key))
        assert before.status in (200, 404), path
        await elsewhere.revoke(known.id, guarded.clock.now())
        after = await guarded.ask(method, path.format(lease="lease_1"), json=body, headers=bearer(key))
        assert (after.status, after.json["type"]) == (401, "about:p402/unauthorised"), path


@pytest.mark.parametrize("header", ["", "Bearer", "Basic dTpw", "Bearer p402_wrong", "Bearer \udcff", "p402_x"])
async def test_what_is_no_valid_key_is_refused_even_where_none_is_needed(server: Server, header: str) -> None:
    assert (await server.get("/v1/charges", Authorization=header)).status == 401


async def test_whoever_sent_no_key_is_told_that_one_is_needed_and_where_to_get_it(server: Server) -> None:
    answer = await server.ask("POST", "/v1/budgets/apply")
    assert answer.status == 403
    assert "with the scope 'budgets:write', also on this machine; none was sent" in answer.json["detail"]
    assert "`p402 keys create NAME --scope budgets:write` makes one" in answer.json["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:4318"},
        {"Host": "localhost.evil.example"},
        {"Host": "[::1"},
        {"Host": "127.0.0.1@evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": ""},
    ],
)
async def test_pages_of_other_sites_cannot_use_a_local_collector(server: Server, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/v1/charges"), ("GET", "/"), ("POST", "/v1/sessions/s/close")):
        answer = await server.ask(method, path, headers=headers)
        assert (answer.status, answer.media_type) == (403, "application/problem+json")
    traces = await server.export(b"", **headers)
    assert traces.status == 403


@pytest.mark.parametrize(
    "headers",
    [{"Host": "localhost:4318"}, {"Host": "[::1]:4318"}, {"Origin": "http://127.0.0.1:9"}, {"Host": "LOCALHOST"}],
)
async def test_this_machine_may_ask_without_a_key(server: Server, headers: dict[str, str]) -> None:
    assert (await server.get("/v1/charges", **headers)).status == 200


async def test_a_key_opens_the_door_under_any_name(server: Server) -> None:
    key = await server.key("spend:read")
    assert (await server.get("/v1/charges", key, Host="p402.example", Origin="https://app.example")).status == 200


async def test_a_collector_that_others_can_reach_asks_for_keys(tmp_path: Path) -> None:
    async with serving(tmp_path, listen=Address("0.0.0.0", 0)) as server:
        assert (await server.get("/v1/charges")).status == 401
