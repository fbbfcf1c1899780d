"""Times that no calendar or database can hold are refused at the door, by the name of their field."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from support.budgets import LEGAL, ask, balance, put_budget
from support.server import Server, bearer

FIRST, BEFORE_IT = "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"
LAST, AFTER_IT = "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"
NOW = "2026-05-15T09:00:00Z"


@pytest.mark.parametrize("field", ["started_at", "ended_at"])
@pytest.mark.parametrize("time", [FIRST, BEFORE_IT, "1969-12-31T23:59:59Z", LAST, AFTER_IT, "2026-05-16T09:00:01Z"])
async def test_a_call_is_settled_between_1970_and_tomorrow(server: Server, field: str, time: str) -> None:
    await put_budget(server, "legal", {**LEGAL, "time_zone": "America/New_York"})
    decided = (await ask(server, "/v1/decisions")).json["id"]
    body: dict[str, Any] = {"usage": {"input_tokens": 2_847, "output_tokens": 10_000}, field: time}
    refused = await server.ask("POST", f"/v1/decisions/{decided}/settle", json=body)
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (400, f"#/{field}")
    assert field in refused.json["detail"]
    settled = await server.ask("POST", f"/v1/decisions/{decided}/settle", json={**body, field: NOW})
    assert settled.json["outcome"] == "charged"
    assert await balance(server) == ("0.264235", "0", "0")


@pytest.mark.parametrize(
    ("said", "begun", "ended"),
    [
        ({}, "2026-05-15T09:00:00.000Z", "2026-05-15T09:00:05.000Z"),
        ({"started_at": "2026-05-15T08:59:58Z"}, "2026-05-15T08:59:58.000Z", "2026-05-15T09:00:05.000Z"),
        ({"started_at": "2026-05-15T09:00:09Z"}, "2026-05-15T09:00:09.000Z", "2026-05-15T09:00:09.000Z"),
        ({"ended_at": "2026-05-15T08:59:59Z"}, "2026-05-15T08:59:59.000Z", "2026-05-15T08:59:59.000Z"),
    ],
)
async def test_a_call_ends_after_it_has_begun_whatever_the_clock_of_its_sender_says(
    server: Server, said: dict[str, str], begun: str, ended: str
) -> None:
    decided = (await ask(server, "/v1/decisions")).json["id"]
    server.clock.advance(seconds=5)
    body = {"usage": {"input_tokens": 1, "output_tokens": 1}, **said}
    await server.ask("POST", f"/v1/decisions/{decided}/settle", json=body)
    [charge] = (await server.get("/v1/charges?organisation=acme")).json["charges"]
    assert (charge["started_at"], charge["ended_at"]) == (begun, ended)


async def test_a_call_that_is_said_to_end_before_it_began_is_refused(server: Server) -> None:
    decided = (await ask(server, "/v1/decisions")).json["id"]
    body = {"usage": {"input_tokens": 1}, "started_at": NOW, "ended_at": "2026-05-15T08:59:59Z"}
    refused = await server.ask("POST", f"/v1/decisions/{decided}/settle", json=body)
    assert refused.status == 400
    assert "ended_at must not be before started_at" in refused.json["detail"]


@pytest.mark.parametrize("field", ["from", "to"])
@pytest.mark.parametrize("time", [BEFORE_IT, AFTER_IT])
async def test_a_legal_hold_is_placed_on_times_that_exist(guarded: Server, field: str, time: str) -> None:
    key = await guarded.key("holds", organisation="acme")
    body = {"matter": "doe-v-acme", "by": "counsel", field: time}
    refused = await guarded.ask("POST", "/v1/holds", json=body, headers=bearer(key))
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (400, f"#/{field}")


@pytest.mark.parametrize("time", [FIRST, LAST])
async def test_evaluations_of_any_time_can_be_asked_for(server: Server, time: str) -> None:
    assert (await server.get(f"/v1/evaluations?to={quote(time)}")).json["evaluations"] == []
