"""The human review of sessions as the API gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.databases import kept_in
from support.otlp import ASpan
from support.server import Answer, Server, bearer


@pytest.fixture
async def receipt_id(server: Server) -> str:
    await server.send(ASpan())
    await server.seal()
    [receipt] = (await server.get("/v1/receipts?organisation=acme")).json["receipts"]
    found: str = receipt["receipt_id"]
    return found


async def review(server: Server, receipt_id: str, action: str, key: str | None = None, **said: str) -> Answer:
    body = {"action": action, "reviewer": "rev.iewer", **said}
    path = f"/v1/receipts/{receipt_id}/review?organisation=acme"
    return await server.ask("POST", path, json=body, headers=bearer(key))


async def view(server: Server, receipt_id: str, key: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (await server.get(f"/v1/receipts/{receipt_id}", key)).json
    return found


async def test_a_review_is_shown_step_by_step_and_changes_the_etag(server: Server, receipt_id: str) -> None:
    before = (await server.get(f"/v1/receipts/{receipt_id}")).headers["ETag"]
    asked = await review(server, receipt_id, "request")
    assert (asked.status, asked.json["action"], asked.json["reviewer"]) == (201, "requested", "rev.iewer")
    server.clock.advance(minutes=5)
    await review(server, receipt_id, "comment", comment="Who checked the price?")
    await review(server, receipt_id, "approve", comment="Checked.")
    shown = await server.get(f"/v1/receipts/{receipt_id}")
    assert shown.headers["ETag"] != before
    steps = shown.json["reviews"]
    assert [(step["action"], step["comment"]) for step in steps] == [
        ("requested", None), ("commented", "Who checked the price?"), ("approved", "Checked."),
    ]  # fmt: skip
    assert len({step["review_id"] for step in steps}) == 1
    state = shown.json["human_review"]
    assert (state["state"], state["self_review"], state["at"]) == ("approved", False, "2026-05-15T09:05:00.000Z")


async def test_what_comes_after_a_decision_is_another_review_unless_it_is_a_comment(
    server: Server, receipt_id: str
) -> None:
    first = (await review(server, receipt_id, "reject")).json["review_id"]
    assert (await review(server, receipt_id, "comment", comment="Why?")).json["review_id"] == first
    second = (await review(server, receipt_id, "request")).json["review_id"]
    assert second != first
    assert (await review(server, receipt_id, "approve")).json["review_id"] == second
    assert (await view(server, receipt_id))["human_review"]["state"] == "approved"


async def test_who_reviews_their_own_session_is_marked(server: Server, receipt_id: str) -> None:
    own = await review(server, receipt_id, "approve", reviewer="e-1042")
    assert own.json["self_review"] is True
    assert (await view(server, receipt_id))["human_review"]["self_review"] is True


async def test_each_step_is_an_entry_of_the_log_without_names(server: Server, receipt_id: str, tmp_path: Path) -> None:
    leaf = (await view(server, receipt_id))["leaf_hash"]
    step = (await review(server, receipt_id, "approve", comment="Checked by rev.iewer.")).json
    [(body,)] = kept_in(tmp_path).rows("SELECT body FROM log_entries WHERE type = 'review'")
    entry = json.loads(body)
    assert (entry["seq"], entry["review_id"], entry["action"]) == (step["seq"], step["review_id"], "approved")
    assert (entry["receipt_id"], entry["receipt_leaf"], entry["self_review"]) == (receipt_id, leaf, False)
    assert len(entry["_sd"]) == 2
    assert b"rev.iewer" not in bytes(body)


async def test_names_are_for_those_who_may_see_them(guarded: Server) -> None:
    key = await guarded.key("receipts:read", organisation="acme")
    [receipt] = (await guarded.get("/v1/receipts", key)).json["receipts"]
    receipt_id = receipt["receipt_id"]
    reviewer = await guarded.key("review", organisation="acme")
    assert (await review(guarded, receipt_id, "approve", reviewer, comment="Fine.")).status == 201
    [step] = (await view(guarded, receipt_id, key))["reviews"]
    assert (step["action"], step["reviewer"], step["comment"]) == ("approved", None, None)
    personal = await guarded.key("receipts:read", "receipts:personal", organisation="acme")
    [step] = (await view(guarded, receipt_id, personal))["reviews"]
    assert (step["reviewer"], step["comment"]) == ("rev.iewer", "Fine.")


async def test_a_key_reviews_what_it_may_see_and_in_its_own_name(guarded: Server) -> None:
    key = await guarded.key("receipts:read", organisation="acme")
    [receipt] = (await guarded.get("/v1/receipts", key)).json["receipts"]
    receipt_id = receipt["receipt_id"]
    assert (await review(guarded, receipt_id, "approve", key)).status == 403
    elsewhere = await guarded.key("review", organisation="acme", department="sales")
    assert (await review(guarded, receipt_id, "approve", elsewhere)).status == 404
    other = await guarded.key("review", organisation="initech")
    assert (await review(guarded, receipt_id, "approve", other)).status == 403
    own = await guarded.key("review", organisation="acme", employee="e-1042")
    assert (await review(guarded, receipt_id, "approve", own)).status == 403
    assert (await review(guarded, receipt_id, "approve", own, reviewer="e-1042")).json["self_review"] is True


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"action": "bless"}, "action"),
        ({"action": "comment"}, "comment"),
        ({"reviewer": ""}, "reviewer"),
        ({"comment": "x" * 9000}, "comment"),
    ],
)
async def test_a_step_that_is_not_as_it_must_be_is_refused(
    server: Server, receipt_id: str, change: dict[str, str], named: str
) -> None:
    answer = await review(server, receipt_id, **{"action": "approve", **change})
    assert answer.status == 400
    assert named in answer.json["detail"]
    assert (await view(server, receipt_id))["reviews"] == []


async def test_a_comment_goes_with_the_person_whom_the_session_is_about(server: Server, receipt_id: str) -> None:
    await review(server, receipt_id, "approve", comment="e-1042 did well.")
    body = {"subject": {"employee": "e-1042"}, "legal_basis": "GDPR Art. 17", "by": "dpo"}
    assert (await server.ask("POST", "/v1/erasures?organisation=acme", json=body)).json["erased"] == 3
    [step] = (await view(server, receipt_id))["reviews"]
    assert (step["reviewer"], step["comment"]) == ("rev.iewer", None)


async def test_the_reviewer_can_be_erased_too(server: Server, receipt_id: str) -> None:
    await review(server, receipt_id, "approve", comment="Fine.")
    body = {"subject": {"employee": "rev.iewer"}, "legal_basis": "GDPR Art. 17", "by": "dpo"}
    assert (await server.ask("POST", "/v1/erasures?organisation=acme", json=body)).json["erased"] == 1
    [step] = (await view(server, receipt_id))["reviews"]
    assert (step["action"], step["reviewer"], step["comment"]) == ("approved", None, "Fine.")
