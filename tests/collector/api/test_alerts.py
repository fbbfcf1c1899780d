"""Alerts about budgets: raised once, told once, resolved once."""

from __future__ import annotations

from typing import Any

import pytest

from p402.collector.notifications.events import EventType
from support.budgets import put_budget
from support.otlp import MAY_2026, ASpan
from support.server import Server

DAY = 86_400_000_000_000


async def alerts(server: Server, query: str = "") -> list[dict[str, Any]]:
    answer = await server.get(f"/v1/alerts?organisation=acme{query}")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["alerts"]
    return found


async def test_a_threshold_raises_one_alert_however_much_is_spent_after_it(server: Server) -> None:
    # 3 calls of $0.264235 are 79.3 % of a dollar, 4 are 105.7 %.
    await put_budget(server, "legal", {"level": "department", "node": "legal", "cap": "1.00"})
    await server.send(*(ASpan() for _ in range(3)))
    assert await alerts(server) == []
    for _ in range(2):
        await server.send(ASpan())
    found = await alerts(server)
    assert [(alert["kind"], alert["percent"], alert["amount"]) for alert in found] == [
        ("threshold", 80, "1.05694"),
        ("threshold", 95, "1.05694"),
    ]
    assert (found[0]["budget"], found[0]["node"], found[0]["cap"]) == ("legal", "legal", "1")


async def test_an_alert_is_published_as_an_event_with_a_sentence_for_people(server: Server) -> None:
    await put_budget(
        server, "legal", {"level": "department", "node": "legal", "cap": "0.30", "warn_at": [80], "owner": "m.ortiz"}
    )
    await server.send(ASpan())
    [event] = (await server.get(f"/v1/events?organisation=acme&type={EventType.BUDGET_THRESHOLD}")).json["events"]
    assert event["data"]["owner"] == "m.ortiz"
    said = "Budget legal (department legal): 0.264235 USD of 0.3 are spent: more than 80 %."
    assert event["data"]["summary"] == said


async def test_a_lowered_cap_raises_the_alert_that_spend_alone_did_not(server: Server) -> None:
    legal = {"level": "department", "node": "legal", "cap": "100"}
    await put_budget(server, "legal", legal)
    await server.send(ASpan())
    await put_budget(server, "legal", {**legal, "cap": "0.28", "warn_at": [90]})
    await server.collector.budget_watch.look()
    assert ("threshold", 90) in [(alert["kind"], alert["percent"]) for alert in await alerts(server)]


async def test_a_projection_above_nine_tenths_of_the_cap_is_told_with_the_day_on_which_it_is_reached(
    server: Server,
) -> None:
    # $0.264235 a day from the 1st to the 14th, and now it is the 15th: by the end of May $7 to $8 of $6.
    await put_budget(server, "legal", {"level": "department", "node": "legal", "cap": "6.00"})
    await server.send(*(ASpan(started_ns=MAY_2026 - days * DAY) for days in range(1, 15)))
    await server.collector.budget_watch.look()
    await server.collector.budget_watch.look()
    [alert] = await alerts(server)
    assert (alert["kind"], alert["percent"]) == ("projected", 90)
    assert "2026-05-20" <= alert["cap_reached_on"] <= "2026-05-26"
    assert 7 < float(alert["amount"]) < 9


async def test_a_budget_that_is_far_from_its_cap_raises_nothing(server: Server) -> None:
    await put_budget(server, "legal", {"level": "department", "node": "legal", "cap": "500"})
    await server.send(*(ASpan(started_ns=MAY_2026 - days * DAY) for days in range(1, 15)))
    await server.collector.budget_watch.look()
    assert await alerts(server) == []


async def test_an_alert_is_resolved_once_and_says_by_whom(guarded: Server) -> None:
    await put_budget(guarded, "legal", {"level": "department", "node": "legal", "cap": "0.60", "warn_at": [80]})
    ingest, review, reader = [await guarded.key(scope) for scope in ("ingest", "review", "spend:read")]
    await guarded.send(ASpan(), key=ingest)
    listed = (await guarded.get("/v1/alerts?organisation=acme&state=open", reader)).json["alerts"]
    path = f"/v1/alerts/{listed[0]['alert_id']}/resolve?organisation=acme"
    headers = {"Authorization": f"Bearer {review}"}
    answers = [await guarded.ask("POST", path, json={"note": "cap raised"}, headers=headers) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 409]
    assert (answers[0].json["note"], answers[0].json["resolved_at"]) == ("cap raised", "2026-05-15T09:00:00.000Z")
    assert answers[0].json["resolved_by"].startswith("key_")
    assert (await guarded.get("/v1/alerts?organisation=acme&state=open", reader)).json["alerts"] == []


@pytest.mark.parametrize("query", ["state=closed", "limit=0", "after=x"])
async def test_a_query_that_is_wrong_is_refused(server: Server, query: str) -> None:
    assert (await server.get(f"/v1/alerts?{query}")).status == 400
