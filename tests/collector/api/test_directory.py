"""The directory over HTTP: who imports it, who reads it, and that reading names is noted."""

from __future__ import annotations

import json
from typing import Any

from support.directory import people_csv
from support.otlp import ASpan
from support.server import Answer, Server, bearer

PEOPLE = people_csv("e-1042,Ada Lovelace,legal", "e-2001,Bob Bernoulli,sales", "e-2002,Cyd Charisse,sales")
ACME = {"organisation": "acme"}


async def put(server: Server, text: str, media_type: str = "text/csv", key: str | None = None, **query: str) -> Answer:
    headers = {"Content-Type": media_type, **bearer(key or await server.key("admin"))}
    return await server.ask("PUT", "/v1/directory", params={**ACME, **query}, data=text.encode(), headers=headers)


async def people(server: Server, key: str, query: str = "") -> list[dict[str, Any]]:
    answer = await server.get(f"/v1/directory/people?{query}", key)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["people"]
    return found


async def names_read(server: Server) -> list[dict[str, Any]]:
    answer = await server.get("/v1/access-log?organisation=acme", await server.key("holds"))
    reads: list[dict[str, Any]] = answer.json["reads"]
    return reads


async def test_a_document_is_imported_and_a_dry_run_says_the_same_and_changes_nothing(guarded: Server) -> None:
    trial = await put(guarded, PEOPLE, dry_run="true")
    assert trial.json == {
        "organisation": "acme",
        "dry_run": True,
        "people": {"added": 3, "changed": 0, "unchanged": 0, "removed": 0, "kept": 0},
        "departments": {"added": 2, "changed": 0, "unchanged": 0, "removed": 0, "kept": 0},
        "departments_made": ["legal", "sales"],
        "erased": 0,
    }
    reader = await guarded.key("spend:read", **ACME)
    assert await people(guarded, reader) == []
    assert (await put(guarded, PEOPLE)).json == {**trial.json, "dry_run": False}
    assert [one["employee"] for one in await people(guarded, reader)] == ["e-1042", "e-2001", "e-2002"]


async def test_scim_is_read_by_the_attribute_that_is_asked_for(guarded: Server) -> None:
    user = {"userName": "ada@acme.example", "externalId": "e-1042", "displayName": "Ada"}
    body = json.dumps({"Resources": [user]})
    assert (await put(guarded, body, "application/scim+json", employee_from="externalId")).status == 200
    [one] = await people(guarded, await guarded.key("spend:read", **ACME))
    assert one["employee"] == "e-1042"


async def test_every_mistake_is_told_at_its_place_and_nothing_is_imported(guarded: Server) -> None:
    answer = await put(guarded, people_csv("e-1,Ada,legal", ",Bob,sales", "e-1,Cyd,sales"))
    assert answer.status == 400
    assert [one["place"] for one in answer.json["errors"]] == ["line 3, employee", "line 4, employee"]
    assert "Bob" not in answer.body.decode()
    assert await people(guarded, await guarded.key("spend:read", **ACME)) == []


async def test_only_an_administrator_of_the_whole_organisation_imports(guarded: Server) -> None:
    for scopes, bound in ((("budgets:write", "receipts:personal"), {}), (("admin",), {"department": "legal"})):
        key = await guarded.key(*scopes, **ACME, **bound)
        assert (await put(guarded, PEOPLE, key=key)).status == 403
    assert (await put(guarded, PEOPLE, "text/plain")).status == 400


async def test_names_are_shown_to_who_may_see_personal_data_and_that_is_in_the_access_log(guarded: Server) -> None:
    await put(guarded, PEOPLE)
    assert {one["display_name"] for one in await people(guarded, await guarded.key("spend:read", **ACME))} == {None}
    assert await names_read(guarded) == []
    auditor = await guarded.key("spend:read", "receipts:personal", **ACME)
    shown = await people(guarded, auditor, "department=sales")
    assert [one["display_name"] for one in shown] == ["Bob Bernoulli", "Cyd Charisse"]
    [read] = await names_read(guarded)
    assert (read["what"], read["items"]) == ("GET /v1/directory/people", [one["id"] for one in shown])


async def test_pages_follow_one_another(guarded: Server) -> None:
    await put(guarded, PEOPLE)
    key = await guarded.key("spend:read", **ACME)
    first = (await guarded.get("/v1/directory/people?limit=2", key)).json
    assert first["next_after"] == "e-2001"
    rest = (await guarded.get(f"/v1/directory/people?limit=2&after={first['next_after']}", key)).json
    assert ([one["employee"] for one in rest["people"]], rest["next_after"]) == (["e-2002"], None)


async def test_who_is_bound_to_a_part_sees_that_part(guarded: Server) -> None:
    await put(guarded, PEOPLE)
    await put(guarded, "department,display_name\nlegal,Legal & Compliance\n")
    head = await guarded.key("spend:read", **ACME, department="legal")
    assert [one["employee"] for one in await people(guarded, head)] == ["e-1042"]
    assert (await guarded.get("/v1/directory/people?department=sales", head)).status == 403
    departments = (await guarded.get("/v1/directory/departments", head)).json["departments"]
    assert departments == [{"department": "legal", "display_name": "Legal & Compliance", "people": 1}]
    oneself = await guarded.key("spend:read", **ACME, employee="e-2001")
    assert [one["employee"] for one in await people(guarded, oneself)] == ["e-2001"]
    departments = (await guarded.get("/v1/directory/departments", oneself)).json["departments"]
    assert departments == [{"department": "sales", "display_name": None, "people": 1}]
    of_project = await guarded.key("spend:read", **ACME, project="contracts")
    assert (await guarded.get("/v1/directory/people", of_project)).status == 403


async def test_the_tree_is_known_before_anybody_spends_and_has_names(guarded: Server) -> None:
    await put(guarded, PEOPLE)
    await put(guarded, "department,display_name\nlegal,Legal & Compliance\nops,Operations\n")
    key = await guarded.key("spend:read", **ACME)
    levels = (await guarded.get("/v1/organisation", key)).json["levels"]
    departments = {one["node"]: one["display_name"] for one in levels["department"]["nodes"]}
    assert departments == {"legal": "Legal & Compliance", "ops": "Operations", "sales": None}
    assert {one["node"]: one["display_name"] for one in levels["employee"]["nodes"]} == {
        "e-1042": None,
        "e-2001": None,
        "e-2002": None,
    }
    assert await names_read(guarded) == []
    auditor = await guarded.key("spend:read", "receipts:personal", **ACME)
    under = (await guarded.get("/v1/organisation?level=employee&department=sales", auditor)).json["levels"]
    assert [one["display_name"] for one in under["employee"]["nodes"]] == ["Bob Bernoulli", "Cyd Charisse"]
    [read] = await names_read(guarded)
    assert (read["what"], read["count"]) == ("GET /v1/organisation", 2)


async def test_spend_of_who_names_only_themselves_is_their_department_s(guarded: Server) -> None:
    await put(guarded, PEOPLE)
    ingest = await guarded.key("ingest")
    await guarded.send(
        ASpan.of({"p402.employee": "e-2001", "p402.department": None}),
        ASpan.of({"p402.employee": "e-2001", "p402.department": "legal"}),
        ASpan.of({"p402.employee": "e-9", "p402.department": None}),
        key=ingest,
    )
    head = await guarded.key("spend:read", **ACME, department="sales")
    [charge] = (await guarded.get("/v1/charges", head)).json["charges"]
    assert (charge["department"], charge["employee"]) == ("sales", "e-2001")
    metrics = (await guarded.get("/metrics", await guarded.key("spend:read"))).body.decode()
    assert 'department="sales"' in metrics
