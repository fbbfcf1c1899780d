"""Erasures and legal holds as the API gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from p402.receipts import Status, Trust, verify
from support.databases import kept_in
from support.otlp import ASpan
from support.personal import tables_with
from support.server import Answer, Server, bearer

NAMES = ["ada.lovelace", "Ada's review"]
ERASE = {"subject": {"employee": "ada.lovelace"}, "legal_basis": "GDPR Art. 17(1)(b)", "by": "the.dpo"}
HOLD = {"matter": "doe-v-acme", "by": "counsel.of.acme", "reason": "the tender of May"}


def calls_of_ada(session: str = "Ada's review", **levels: str) -> ASpan:
    named = {f"p402.{level}": value for level, value in levels.items()}
    return ASpan.of({"p402.employee": "ada.lovelace", "p402.session": session, **named})


async def post(server: Server, path: str, body: Any, key: str | None = None) -> Answer:
    return await server.ask("POST", f"{path}?organisation=acme", json=body, headers=bearer(key))


async def sealed(server: Server, *spans: ASpan) -> list[str]:
    """Send spans and have their sessions sealed; ids of all receipts."""
    await server.send(*spans)
    for span in spans:
        await server.seal(str(span.attributes["p402.session"]))
    listed = (await server.get("/v1/receipts?organisation=acme")).json["receipts"]
    return [receipt["receipt_id"] for receipt in listed]


async def everything(server: Server) -> bytes:
    """What every endpoint that lists something says, to somebody who may see all."""
    paths = [
        "/v1/receipts", "/v1/charges", "/v1/decisions", "/v1/leases", "/v1/audit", "/v1/events", "/v1/anomalies", "/v1/budgets",
        "/v1/alerts", "/v1/overruns", "/v1/holds", "/v1/erasures", "/v1/access-log", "/v1/organisation", "/",
        "/v1/spend?level=employee", "/v1/spend?level=session", "/v1/log/entries",
    ]  # fmt: skip
    answers = [await server.get(path + ("&" if "?" in path else "?") + "organisation=acme") for path in paths]
    assert {answer.status for answer in answers} <= {200, 404}
    receipts = json.loads(answers[0].body)["receipts"]
    bundles = [await server.get(f"/v1/receipts/{receipt['receipt_id']}.json") for receipt in receipts]
    pages = [await server.get(f"/receipts/{receipt['receipt_id']}") for receipt in receipts]
    return b"\n".join(answer.body for answer in (*answers, *bundles, *pages))


async def test_an_erased_person_is_in_no_answer_and_every_bundle_still_verifies(server: Server, tmp_path: Path) -> None:
    ids = await sealed(server, calls_of_ada(), ASpan())
    before = await everything(server)
    assert b"ada.lovelace" in before
    made = await post(server, "/v1/erasures", ERASE)
    assert made.status == 201
    assert {name: made.json[name] for name in ("state", "erased", "held_back", "matters")} == {
        "state": "done", "erased": 2, "held_back": 0, "matters": [],
    }  # fmt: skip
    assert made.json["scrubbed_at"] is not None
    after = await everything(server)
    for name in NAMES:
        assert name.encode() not in after
        assert json.dumps(name)[1:-1].encode() not in after
    assert tables_with(kept_in(tmp_path), NAMES) == {}
    assert b"e-1042" in after
    key = (await server.get("/.well-known/receipt-keys?organisation=acme")).json["keys"][0]["vkey"]
    for receipt_id in ids:
        report = verify((await server.get(f"/v1/receipts/{receipt_id}.json")).body, Trust((key,)))
        assert not [check for check in report.checks if check.status is Status.FAILED]


async def test_an_erasure_can_be_looked_up_but_does_not_say_whose_it_is(server: Server) -> None:
    made = (await post(server, "/v1/erasures", ERASE)).json
    listed = await server.get("/v1/erasures?organisation=acme")
    assert [erasure["erasure_id"] for erasure in listed.json["erasures"]] == [made["erasure_id"]]
    one = await server.get(f"/v1/erasures/{made['erasure_id']}?organisation=acme")
    assert (one.json["by"], one.json["legal_basis"]) == ("the.dpo", "GDPR Art. 17(1)(b)")
    assert b"ada" not in one.body
    assert (await server.get("/v1/erasures/era_none?organisation=acme")).status == 404


async def test_a_hold_refuses_an_erasure_until_it_is_released(server: Server, tmp_path: Path) -> None:
    await sealed(server, calls_of_ada())
    placed = await post(server, "/v1/holds", {**HOLD, "scope": {"employee": "ada.lovelace"}})
    assert placed.status == 201
    assert {name: placed.json[name] for name in ("state", "employee", "by", "reason", "from", "to")} == {
        "state": "active", "employee": "ada.lovelace", "by": "counsel.of.acme", "reason": "the tender of May",
        "from": None, "to": None,
    }  # fmt: skip
    refused = await post(server, "/v1/erasures", ERASE)
    assert (refused.status, refused.media_type) == (409, "application/problem+json")
    assert "doe-v-acme" in refused.json["detail"]
    path = f"/v1/holds/{placed.json['hold_id']}/release"
    released = await post(server, path, {"by": "counsel.of.acme"})
    assert (released.status, released.json["state"]) == (200, "released")
    assert (await post(server, path, {"by": "counsel.of.acme"})).status == 409
    assert (await post(server, "/v1/erasures", ERASE)).status == 201
    assert tables_with(kept_in(tmp_path), NAMES) == {}


async def test_what_a_hold_held_back_is_erased_when_it_is_released(server: Server, tmp_path: Path) -> None:
    await sealed(server, calls_of_ada(project="tender"), calls_of_ada("Ada's other one", project="kitchen"))
    placed = await post(server, "/v1/holds", {**HOLD, "scope": {"project": "tender"}, "from": "2026-05-01T00:00:00Z"})
    made = (await post(server, "/v1/erasures", ERASE)).json
    assert (made["state"], made["erased"], made["held_back"], made["matters"]) == ("held", 2, 2, ["doe-v-acme"])
    assert tables_with(kept_in(tmp_path), ["Ada's other one"]) == {}
    assert tables_with(kept_in(tmp_path), ["Ada's review"]) != {}
    await post(server, f"/v1/holds/{placed.json['hold_id']}/release", {"by": "counsel.of.acme"})
    done = (await server.get(f"/v1/erasures/{made['erasure_id']}?organisation=acme")).json
    assert (done["state"], done["erased"], done["held_back"]) == ("done", 4, 0)
    assert tables_with(kept_in(tmp_path), [*NAMES, "Ada's other one"]) == {}


async def test_a_hold_is_told_to_those_who_subscribe_without_names(server: Server) -> None:
    await post(server, "/v1/holds", {**HOLD, "scope": {"employee": "ada.lovelace", "project": "tender"}})
    [event] = (await server.get("/v1/events?organisation=acme&type=hold.created")).json["events"]
    assert (event["data"]["matter"], event["data"]["project"]) == ("doe-v-acme", "tender")
    assert "ada" not in json.dumps(event)


async def test_who_may_not_see_personal_data_sees_holds_and_erasures_without_it(guarded: Server) -> None:
    admin, dpo = await guarded.key("admin"), await guarded.key("holds", organisation="acme")
    await post(guarded, "/v1/holds", {**HOLD, "scope": {"employee": "e-9"}}, admin)
    await post(guarded, "/v1/erasures", ERASE, admin)
    [hold] = (await guarded.get("/v1/holds", dpo)).json["holds"]
    assert (hold["names_somebody"], hold["employee"], hold["by"], hold["reason"]) == (True, None, None, None)
    [erasure] = (await guarded.get("/v1/erasures", dpo)).json["erasures"]
    assert erasure["by"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/holds"),
        ("POST", "/v1/holds"),
        ("POST", "/v1/holds/hold_1/release"),
        ("GET", "/v1/erasures"),
        ("POST", "/v1/erasures"),
        ("GET", "/v1/erasures/era_1"),
        ("GET", "/v1/access-log"),
    ],
)
async def test_they_are_for_keys_of_the_whole_organisation_with_the_scope_holds(
    guarded: Server, method: str, path: str
) -> None:
    body = {"json": {**(ERASE if "erasures" in path else {"by": "x"} if "release" in path else HOLD)}}
    options = body if method == "POST" else {}
    for key in (
        await guarded.key("receipts:personal", "review", "exports", organisation="acme"),
        await guarded.key("holds", organisation="acme", department="legal"),
    ):
        assert (await guarded.ask(method, path, headers=bearer(key), **options)).status == 403
    other = await guarded.key("holds", organisation="initech")
    assert (await guarded.ask(method, f"{path}?organisation=acme", headers=bearer(other), **options)).status == 403


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"subject": {}}, "employee"),
        ({"subject": {"employee": "two\nlines"}}, "employee"),
        ({"subject": {"employee": " e-1 "}}, "employee"),
        ({"legal_basis": ""}, "legal_basis"),
        ({"by": None}, "by"),
        ({"why": "because"}, "why"),
    ],
)
async def test_an_erasure_that_is_not_as_it_must_be_is_refused_by_the_fields_name(
    server: Server, change: dict[str, Any], named: str
) -> None:
    answer = await post(server, "/v1/erasures", {**ERASE, **change})
    assert answer.status == 400
    assert named in answer.json["detail"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"matter": ""}, "matter"),
        ({"scope": {"organisation": "other"}}, "organisation"),
        ({"from": "2026-05-02T00:00:00Z", "to": "2026-05-01T00:00:00Z"}, "to must be after from"),
        ({"from": "2026-05-02T00:00:00"}, "from"),
        ({"reason": "\0"}, "reason"),
    ],
)
async def test_a_hold_that_is_not_as_it_must_be_is_refused_by_the_fields_name(
    server: Server, change: dict[str, Any], named: str
) -> None:
    answer = await post(server, "/v1/holds", {**HOLD, **change})
    assert answer.status == 400
    assert named in answer.json["detail"]
    assert (await server.get("/v1/holds?organisation=acme")).json == {"holds": [], "next_after": None}


async def test_holds_come_in_pages_the_newest_first(server: Server) -> None:
    for number in range(5):
        server.clock.advance(seconds=1)
        await post(server, "/v1/holds", {**HOLD, "matter": f"m-{number}"})
    found, after = [], ""
    while True:
        page = (await server.get(f"/v1/holds?organisation=acme&limit=2{after}")).json
        found += [hold["matter"] for hold in page["holds"]]
        if page["next_after"] is None:
            break
        after = f"&after={page['next_after']}"
    assert found == ["m-4", "m-3", "m-2", "m-1", "m-0"]
