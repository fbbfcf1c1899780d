"""The review queue: who sees it, and that a review is made once, by somebody who is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.otlp import ASpan
from support.server import Answer, Server, bearer, serving


async def flag(server: Server, *sessions: str, key: str | None = None, **attributes: str) -> None:
    """Sessions of $1.05694 each are above a dollar."""
    named = {f"p402.{level}": value for level, value in attributes.items()}
    spans = [ASpan.of({"p402.session": session, **named}) for session in sessions for _ in range(4)]
    assert (await server.send(*spans, key=key)).status == 200
    await server.collector.watch.catch_up()


async def queue(server: Server, query: str = "", key: str | None = None) -> list[dict[str, Any]]:
    answer = await server.get(f"/v1/anomalies?organisation=acme{query}", key)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["anomalies"]
    return found


async def reviewed(server: Server, anomaly: str, key: str | None = None, **body: Any) -> Answer:
    path = f"/v1/anomalies/{anomaly}/review?organisation=acme"
    return await server.ask("POST", path, json={"decision": "dismissed", **body}, headers=bearer(key))


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Server]:
    """Flags every session above one dollar."""
    async with serving(tmp_path, anomaly_session_usd="1") as running:
        yield running


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[Server]:
    """The same, for those with keys."""
    async with serving(tmp_path, anomaly_session_usd="1", require_key=True) as running:
        yield running


async def test_an_anomaly_says_whose_session_it_is_and_what_it_was_compared_with(watched: Server) -> None:
    await flag(watched, "s-1")
    [anomaly] = await queue(watched)
    expected = {
        "organisation": "acme", "department": "legal", "employee": "e-1042", "session": "s-1", "rule": "session_cost",
        "cost_usd": "1.05694", "baseline": {"sessions": 0, "mean_usd": "0", "total_usd": "0"}, "state": "open",
        "flagged_at": "2026-05-15T09:00:00.000Z", "reviewed_by": None, "reviewed_at": None, "note": None,
    }  # fmt: skip
    assert {name: anomaly[name] for name in expected} == expected


async def test_an_anomaly_leads_to_the_receipt_that_people_can_review(watched: Server) -> None:
    await flag(watched, "s-1")
    assert (await queue(watched))[0]["receipt_id"] is None
    await watched.seal("s-1")
    [receipt] = (await watched.get("/v1/receipts?organisation=acme")).json["receipts"]
    assert (await queue(watched))[0]["receipt_id"] == receipt["receipt_id"]


async def test_anomalies_come_in_pages_in_the_order_of_flagging(watched: Server) -> None:
    await flag(watched, *(f"s-{number}" for number in range(5)))
    found, after = [], 0
    while after is not None:
        page = (await watched.get(f"/v1/anomalies?organisation=acme&limit=2&after={after}")).json
        found += [anomaly["session"] for anomaly in page["anomalies"]]
        after = page["next_after"]
    assert found == [f"s-{number}" for number in range(5)]


async def test_the_queue_is_filtered_by_state_rule_and_level(watched: Server) -> None:
    await flag(watched, "s-1")
    await flag(watched, "s-2", employee="e-7", department="sales")
    first, second = await queue(watched)
    await reviewed(watched, first["anomaly_id"])
    assert [anomaly["session"] for anomaly in await queue(watched, "&state=open")] == ["s-2"]
    assert [anomaly["session"] for anomaly in await queue(watched, "&state=dismissed")] == ["s-1"]
    assert [anomaly["session"] for anomaly in await queue(watched, "&employee=e-7")] == ["s-2"]
    assert [anomaly["session"] for anomaly in await queue(watched, "&department=legal")] == ["s-1"]
    assert [anomaly["session"] for anomaly in await queue(watched, "&session=s-2")] == ["s-2"]
    assert await queue(watched, "&rule=employee_mean") == []
    assert second["state"] == "open"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("state=closed", "state must be one of open, dismissed, confirmed"),
        ("rule=x", "rule must be one of employee_mean, session_cost"),
        ("employee=%20x", "employee must be 1 to 256 printable characters"),
        ("limit=0", "limit must be a whole number from 1 to 1000"),
        ("after=-1", "after must be a whole number"),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(watched: Server, query: str, named: str) -> None:
    answer = await watched.get(f"/v1/anomalies?{query}")
    assert (answer.status, answer.media_type) == (400, "application/problem+json")
    assert named in answer.json["detail"]


async def test_a_review_says_who_when_and_why(keyed: Server) -> None:
    await flag(keyed, "s-1", key=await keyed.key("ingest"))
    reviewer = await keyed.key("review")
    reader = await keyed.key("spend:read")
    [anomaly] = await queue(keyed, key=reader)
    keyed.clock.advance(minutes=5)
    answer = await reviewed(keyed, anomaly["anomaly_id"], reviewer, decision="confirmed", note="A loop.\nStopped.")
    assert answer.status == 200
    [stored] = await queue(keyed, key=reader)
    assert stored == answer.json
    assert (stored["state"], stored["note"]) == ("confirmed", "A loop.\nStopped.")
    assert stored["reviewed_at"] == "2026-05-15T09:05:00.000Z"
    known = {key.id for key in await keyed.collector.keys.list() if "review" in key.scopes}
    assert {stored["reviewed_by"]} == known


async def test_a_second_review_is_a_conflict_and_changes_nothing(watched: Server) -> None:
    await flag(watched, "s-1")
    [anomaly] = await queue(watched)
    assert (await reviewed(watched, anomaly["anomaly_id"], note="fine")).status == 200
    answer = await reviewed(watched, anomaly["anomaly_id"], decision="confirmed", note="not fine")
    assert (answer.status, answer.media_type, answer.json["title"]) == (409, "application/problem+json", "Conflict")
    assert "was dismissed at 2026-05-15T09:00:00.000Z" in answer.json["detail"]
    [stored] = await queue(watched)
    assert (stored["state"], stored["note"]) == ("dismissed", "fine")


async def test_a_reviewed_session_that_grows_stays_reviewed(watched: Server) -> None:
    await flag(watched, "s-1")
    [anomaly] = await queue(watched)
    await reviewed(watched, anomaly["anomaly_id"])
    await flag(watched, "s-1")
    [stored] = await queue(watched)
    assert (stored["state"], stored["cost_usd"]) == ("dismissed", "2.11388")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"decision": "maybe"}, "decision: "),
        ({"decision": "open"}, "decision: "),
        ({"note": "x" * 2001}, "note: "),
        ({"note": "\x00"}, "note: a note is printable text"),
        ({"reviewer": "me"}, "reviewer: "),
    ],
)
async def test_what_is_wrong_with_a_review_is_named(watched: Server, body: dict[str, Any], named: str) -> None:
    answer = await reviewed(watched, "anom_1", **body)
    assert answer.status == 400
    assert named in answer.json["detail"]


async def test_a_review_must_be_json_and_small(watched: Server) -> None:
    path = "/v1/anomalies/anom_1/review"
    json_type = {"Content-Type": "application/json"}
    for body, headers, said in (
        (b'{"decision": "dismissed"}', {"Content-Type": "text/plain"}, "must be JSON"),
        (b"not json", json_type, "body: "),
        (b'"' + b"x" * 70_000 + b'"', json_type, "larger than 65536 bytes"),
    ):
        answer = await watched.ask("POST", path, data=body, headers=headers)
        assert (answer.status, said in answer.json["detail"]) == (400, True), answer.body


async def test_an_anomaly_that_does_not_exist_cannot_be_reviewed(watched: Server) -> None:
    answer = await reviewed(watched, "anom_404")
    assert (answer.status, "There is no anomaly 'anom_404'" in answer.json["detail"]) == (404, True)


async def test_a_key_sees_and_reviews_its_own_part_of_the_tree_only(keyed: Server) -> None:
    await flag(keyed, "s-1", key=await keyed.key("ingest"))
    sales = await keyed.key("spend:read", "review", organisation="acme", department="sales")
    legal = await keyed.key("spend:read", "review", organisation="acme", department="legal")
    assert await queue(keyed, key=sales) == []
    [anomaly] = await queue(keyed, key=legal)
    assert (await reviewed(keyed, anomaly["anomaly_id"], sales)).status == 404
    assert (await reviewed(keyed, anomaly["anomaly_id"], legal)).status == 200


async def test_reading_and_reviewing_need_their_scopes(keyed: Server) -> None:
    reader, reviewer = await keyed.key("spend:read"), await keyed.key("review")
    assert (await keyed.get("/v1/anomalies", reviewer)).status == 403
    assert (await reviewed(keyed, "anom_1", reader)).status == 403
    assert (await keyed.get("/v1/anomalies")).status == 401
