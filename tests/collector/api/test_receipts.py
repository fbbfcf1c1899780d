"""Receipts, proofs, checkpoints and keys as the API gives them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from p402.receipts import (
    Status,
    Trust,
    leaf_hash,
    open_checkpoint,
    parse_bundle,
    parse_checkpoint,
    parse_proof,
    verify,
    verify_inclusion,
)
from support.otlp import ASpan
from support.server import Answer, Server


async def sealed(server: Server, count: int = 1) -> list[str]:
    """So many receipts, each of a session of its own; their ids."""
    for number in range(count):
        assert (await server.send(ASpan.of({"p402.session": f"s-{number}"}))).status == 200
        await server.seal(f"s-{number}")
    listed = (await server.get("/v1/receipts?organisation=acme")).json["receipts"]
    return [receipt["receipt_id"] for receipt in listed]


async def vkey(server: Server) -> str:
    answer = await server.get("/.well-known/receipt-keys?organisation=acme")
    assert answer.json["organisation"] == "acme"
    key: str = answer.json["keys"][0]["vkey"]
    return key


async def test_a_receipt_shows_what_its_session_came_to(server: Server) -> None:
    await server.send(ASpan.of({"p402.decision.rationale": "complexity=7"}))
    await server.seal()
    [receipt_id] = [
        receipt["receipt_id"] for receipt in (await server.get("/v1/receipts?organisation=acme")).json["receipts"]
    ]
    receipt = (await server.get(f"/v1/receipts/{receipt_id}")).json
    expected: dict[str, Any] = {
        "receipt_id": receipt_id,
        "organisation": "acme",
        "seq": 0,
        "state": "not yet anchored",
        "session_id": "review-7",
        "employee": "e-1042",
        "department": "legal",
        "project": "contracts",
        "client": "globex",
        "timestamp": "2026-05-15T09:00:00.000Z",
        "models": ["claude-opus-4-5"],
        "tokens": {"input": 2847, "output": 10_000, "total": 12_847},
        "cost_usd": "0.264235",
        "unpriced_requests": 0,
        "routing_rationale": ["complexity=7"],
        "human_review": None,
        "tempo_tx_hash": None,
        "tempo_block": None,
        "tempo_explorer_url": None,
    }
    assert {name: receipt[name] for name in expected} == expected


async def test_the_body_never_changes_and_hashes_to_the_leaf(server: Server) -> None:
    [receipt_id] = await sealed(server)
    first = await server.get(f"/v1/receipts/{receipt_id}/body")
    await server.send(ASpan.of({"p402.session": "s-0"}))
    await server.seal("s-0")
    again = await server.get(f"/v1/receipts/{receipt_id}/body")
    receipt = (await server.get(f"/v1/receipts/{receipt_id}")).json
    assert again.body == first.body
    assert leaf_hash(first.body).hex() == receipt["leaf_hash"] == hashlib.sha256(b"\0" + first.body).hexdigest()
    assert json.loads(first.body) == receipt["body"]
    for secret in (b"e-1042", b"s-0"):
        assert secret not in first.body


async def test_the_immutable_body_may_be_kept_for_ever_but_not_by_shared_caches(server: Server) -> None:
    [receipt_id] = await sealed(server)
    directives = (await server.get(f"/v1/receipts/{receipt_id}/body")).headers["Cache-Control"].split(", ")
    assert "immutable" in directives
    assert "private" in directives


@pytest.mark.parametrize("suffix", ["", "/body"])
async def test_who_has_it_already_gets_no_second_copy(server: Server, suffix: str) -> None:
    [receipt_id] = await sealed(server)
    path = f"/v1/receipts/{receipt_id}{suffix}"
    etag = (await server.get(path)).headers["ETag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = await server.get(path, **{"If-None-Match": known})
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)
    assert (await server.get(path, **{"If-None-Match": '"other"'})).status == 200


async def test_every_receipt_is_proved_by_the_newest_checkpoint(server: Server) -> None:
    ids = await sealed(server, 5)
    note = await server.get("/v1/checkpoints/latest?organisation=acme")
    assert note.headers["Content-Type"].startswith("text/plain")
    checkpoint = open_checkpoint(note.body.decode(), [await vkey(server)])
    assert (checkpoint.origin, checkpoint.size) == ("p402.local/org/acme", 5)
    for seq, receipt_id in enumerate(ids):
        proof = parse_proof((await server.get(f"/v1/receipts/{receipt_id}/proof")).body.decode())
        body = (await server.get(f"/v1/receipts/{receipt_id}/body")).body
        assert proof.index == seq
        verify_inclusion(leaf_hash(body), seq, checkpoint.size, proof.hashes, checkpoint.root)


async def test_the_bundle_is_all_that_an_auditor_needs(server: Server) -> None:
    receipt_id = (await sealed(server, 3))[1]
    answer = await server.get(f"/v1/receipts/{receipt_id}.json")
    report = verify(answer.body, Trust((await vkey(server),)))
    assert not [check for check in report.checks if check.status is Status.FAILED]
    assert len(parse_bundle(answer.body).receipts[0].disclosures) == 2


async def test_a_bundle_of_today_is_checked_against_a_checkpoint_of_yesterday(server: Server) -> None:
    ids = await sealed(server, 5)
    three = (await server.get("/v1/checkpoints?organisation=acme")).json["checkpoints"][2]
    pinned = parse_checkpoint(three["checkpoint"])
    answer = await server.get(f"/v1/receipts/{ids[1]}.json?checkpoint={pinned.size}")
    proof = parse_proof(parse_bundle(answer.body).receipts[0].proof)
    assert proof.checkpoint == three["checkpoint"]
    report = verify(answer.body, Trust((await vkey(server),), checkpoints=(pinned,)))
    assert not [check for check in report.checks if check.status is Status.FAILED]
    assert any("you pinned at 3 entries is this one" in check.sentence for check in report.checks)


async def test_a_checkpoint_without_the_receipt_or_that_nobody_signed_is_named(server: Server) -> None:
    ids = await sealed(server, 3)
    before = await server.get(f"/v1/receipts/{ids[2]}.json?checkpoint=2")
    assert before.status == 400
    assert "entry 2 of the log, and so not among its first 2" in json.dumps(before.json)
    unsigned = await server.get(f"/v1/receipts/{ids[0]}.json?checkpoint=9")
    assert (unsigned.status, "had 9 entries" in unsigned.json["detail"]) == (404, True)
    assert (await server.get(f"/v1/receipts/{ids[0]}.json?checkpoint=0")).status == 400


async def test_receipts_come_in_pages_in_the_order_of_the_log(server: Server) -> None:
    ids = await sealed(server, 5)
    found, after, pages = [], "", 0
    while True:
        page = (await server.get(f"/v1/receipts?organisation=acme&limit=2{after}")).json
        found += [receipt["receipt_id"] for receipt in page["receipts"]]
        pages += 1
        if page["next_after"] is None:
            break
        after = f"&after={page['next_after']}"
    assert (found, pages) == (ids, 3)


async def listed(server: Server, query: str, key: str | None = None) -> list[str]:
    """The sessions of the receipts that a list has."""
    answer = await server.get(f"/v1/receipts?organisation=acme&{query}", key)
    assert answer.status == 200, answer.body
    return [receipt["session_id"] for receipt in answer.json["receipts"]]


@pytest.fixture
async def three(server: Server) -> Server:
    """Receipts of three sessions: of legal, of sales with another model and client, and of legal a day later."""
    await server.send(ASpan.of({"p402.session": "first"}))
    other = {"gen_ai.request.model": "claude-haiku-4-5", "gen_ai.response.model": "claude-haiku-4-5"}
    elsewhere = {"p402.department": "sales", "p402.project": "pitch", "p402.client": "hooli", "p402.employee": "e-7"}
    await server.send(ASpan.of({"p402.session": "second", **elsewhere, **other}))
    for session in ("first", "second"):
        await server.seal(session)
    server.clock.advance(days=1)
    await server.send(ASpan.of({"p402.session": "third"}))
    await server.seal("third")
    return server


@pytest.mark.parametrize(
    ("query", "sessions"),
    [
        ("department=legal", ["first", "third"]),
        ("project=pitch", ["second"]),
        ("client=hooli", ["second"]),
        ("employee=e-7", ["second"]),
        ("model=claude-haiku-4-5", ["second"]),
        ("model=claude-opus-4-5&limit=1&after=0", ["third"]),
        ("from=2026-05-16T00:00:00Z", ["third"]),
        ("to=2026-05-16T00:00:00Z", ["first", "second"]),
        ("from=2026-05-16T00:00:00%2B02:00&department=legal", ["third"]),
        ("anchored=true", []),
        ("anchored=false&department=sales", ["second"]),
        ("reviewed=true", []),
        ("reviewed=false&limit=2", ["first", "second"]),
        ("type=correction", []),
        ("type=session-receipt", ["first", "second", "third"]),
    ],
)
async def test_a_list_keeps_to_what_is_asked_for(three: Server, query: str, sessions: list[str]) -> None:
    assert await listed(three, query) == sessions


async def test_a_reviewed_receipt_is_found_as_such(three: Server) -> None:
    second = (await three.get("/v1/receipts?organisation=acme&department=sales")).json["receipts"][0]["receipt_id"]
    asked = await three.ask(
        "POST", f"/v1/receipts/{second}/review?organisation=acme", json={"action": "request", "reviewer": "ada"}
    )
    assert asked.status < 300
    assert await listed(three, "reviewed=true") == ["second"]
    assert await listed(three, "reviewed=false") == ["first", "third"]


async def test_receipts_of_a_person_are_for_those_who_may_see_persons(three: Server) -> None:
    reader = await three.key("receipts:read", organisation="acme")
    answer = await three.get("/v1/receipts?employee=e-7", reader)
    assert (answer.status, "receipts:personal" in answer.json["detail"]) == (403, True)


async def test_each_wrong_parameter_is_pointed_at(server: Server) -> None:
    answer = await server.get("/v1/receipts?limit=0&from=monday&anchored=maybe&colour=red&after=1&after=2")
    assert answer.status == 400
    assert {error["parameter"]: error["detail"] for error in answer.json["errors"]} == {
        "limit": "must be a whole number from 1 to 1000; got '0'",
        "from": "must be a time with a zone, such as 2026-11-01T00:00:00Z",
        "anchored": "must be true or false; got 'maybe'",
        "colour": "does not exist here; there are organisation, after, limit, department, project, client, employee, model,"
        " from, to, anchored, reviewed, type",
        "after": "may be given once only",
    }


async def test_a_list_that_has_not_changed_is_not_sent_again(three: Server) -> None:
    path = "/v1/receipts?organisation=acme&department=legal"
    first = await three.get(path)
    again = await three.get(path, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body, first.headers["Cache-Control"]) == (304, b"", "private, no-cache")


async def test_the_last_full_page_leads_to_an_empty_one(server: Server) -> None:
    await sealed(server, 2)
    page = (await server.get("/v1/receipts?organisation=acme&limit=2")).json
    assert page["next_after"] == 1
    assert (await server.get("/v1/receipts?organisation=acme&limit=2&after=1")).json == {
        "receipts": [],
        "next_after": None,
    }


async def test_an_organisation_without_receipts_has_empty_lists_and_no_checkpoint(server: Server) -> None:
    assert (await server.get("/v1/receipts")).json == {"receipts": [], "next_after": None}
    assert (await server.get("/v1/settlements")).json == {"settlements": [], "next_after": None}
    answer = await server.get("/v1/checkpoints/latest?organisation=acme")
    assert (answer.status, answer.json["title"]) == (404, "Not found")
    assert "'acme'" in answer.json["detail"]


@pytest.mark.parametrize("suffix", ["", ".json", "/body", "/proof"])
async def test_a_receipt_that_is_not_there_is_not_found(server: Server, suffix: str) -> None:
    answer: Answer = await server.get(f"/v1/receipts/rcpt_nobody{suffix}")
    assert (answer.status, answer.media_type) == (404, "application/problem+json")
    assert "'rcpt_nobody'" in answer.json["detail"]
