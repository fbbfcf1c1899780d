"""Events with their deliveries, and sending one again."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from p402.collector.channel_settings import WebhookSettings
from support.otlp import ASpan
from support.receiver import Receiver, receiver
from support.server import Server, bearer, serving

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
async def server(tmp_path: Path, there: Receiver) -> AsyncIterator[Server]:
    """Flags every session above a dollar, and tells one webhook."""
    ops = WebhookSettings.model_validate(
        {"name": "ops", "url": f"{there.url}/hook-of-ours", "secrets": [SECRET], "allow_private": True}
    )
    async with serving(tmp_path, anomaly_session_usd="1", require_key=True, webhooks=(ops,)) as running:
        key = await running.key("ingest")
        await running.send(*(ASpan.of({"p402.session": f"s-{n % 3}"}) for n in range(12)), key=key)
        await running.collector.watch.catch_up()
        yield running


async def page(server: Server, query: str = "") -> dict[str, Any]:
    answer = await server.get(f"/v1/events?organisation=acme{query}", await server.key("spend:read"))
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


async def settled(server: Server) -> None:
    """Deliver what the collector's own task has not delivered yet."""
    while any(item["state"] == "pending" for event in (await page(server))["events"] for item in event["deliveries"]):
        await server.collector.courier.catch_up()


async def test_an_event_tells_what_happened_and_what_became_of_it(server: Server, there: Receiver) -> None:
    await server.collector.courier.catch_up()
    await settled(server)
    event = (await page(server))["events"][0]
    assert (event["type"], event["organisation"]) == ("anomaly.detected", "acme")
    assert (event["data"]["rule"], event["data"]["cost_usd"]) == ("session_cost", "1.05694")
    assert event["deliveries"] == [
        {
            "channel": "ops",
            "state": "delivered",
            "attempts": 1,
            "next_try_at": None,
            "settled_at": "2026-05-15T09:00:00.000Z",
            "problem": None,
        }
    ]
    assert {got.headers["webhook-id"] for got in there.received} == {
        event["event_id"] for event in (await page(server))["events"]
    }


async def test_no_answer_shows_where_events_go(server: Server, there: Receiver) -> None:
    there.statuses = [500] * 3
    await server.collector.courier.catch_up()
    shown = json.dumps(await page(server))
    assert "hook-of-ours" not in shown
    assert SECRET not in shown


async def test_events_come_in_pages_and_by_type_and_state(server: Server) -> None:
    await server.collector.courier.catch_up()
    await settled(server)
    found, after = [], 0
    while after is not None:
        got = await page(server, f"&limit=2&after={after}")
        found += [event["data"]["session"] for event in got["events"]]
        after = got["next_after"]
    assert found == ["s-0", "s-1", "s-2"]
    assert len((await page(server, "&type=anomaly.detected&state=delivered"))["events"]) == 3
    assert (await page(server, "&type=budget.threshold"))["events"] == []
    assert (await page(server, "&state=failed"))["events"] == []
    answer = await server.get("/v1/events?type=x", await server.key("spend:read"))
    assert (answer.status, "type must be one of anomaly.detected, " in answer.json["detail"]) == (400, True)


async def test_an_event_is_sent_again_with_the_same_id(server: Server, there: Receiver) -> None:
    await server.collector.courier.catch_up()
    await settled(server)
    event = (await page(server))["events"][0]
    path = f"/v1/events/{event['event_id']}/redeliver?organisation=acme"
    answer = await server.ask("POST", path, headers=bearer(await server.key("admin")))
    assert (answer.status, answer.json["deliveries"][0]["state"]) == (202, "pending")
    await server.collector.courier.catch_up()
    await settled(server)
    assert [got.headers["webhook-id"] for got in there.received].count(event["event_id"]) == 2
    assert (await page(server))["events"][0]["deliveries"][0]["attempts"] == 2


async def test_events_are_for_those_who_may_read_the_whole_organisation(server: Server) -> None:
    legal = await server.key("spend:read", "admin", organisation="acme", department="legal")
    reader = await server.key("spend:read")
    path = "/v1/events/evt_1/redeliver?organisation=acme"
    assert (await server.get("/v1/events", legal)).status == 403
    assert (await server.ask("POST", path, headers=bearer(legal))).status == 403
    assert (await server.ask("POST", path, headers=bearer(reader))).status == 403
    assert (await server.ask("POST", path, headers=bearer(await server.key("admin")))).status == 404
    assert (await server.get("/v1/events", await server.key("spend:read", organisation="initech"))).json["events"] == []
