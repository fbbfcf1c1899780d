"""Charges, spend, and closing sessions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from support.otlp import MAY_2026, ASpan
from support.server import Server

HOUR = 3_600_000_000_000
MAY = "from=2026-05-01T00:00:00Z&to=2026-06-01T00:00:00Z"


async def test_a_charge_says_everything_about_its_call(server: Server) -> None:
    span = ASpan.of(
        {
            "p402.client": None,
            "p402.task_type": "review",
            "gen_ai.usage.cache_read.input_tokens": 0,
            "p402.service_tier": "standard",
        }
    )
    await server.send(span)
    [charge] = (await server.get("/v1/charges?organisation=acme")).json["charges"]
    expected: dict[str, Any] = {
        "seq": 1,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "organisation": "acme",
        "department": "legal",
        "client": None,
        "unattributed": ["client"],
        "started_at": "2026-05-15T09:00:00.000Z",
        "ended_at": "2026-05-15T09:00:01.500Z",
        "provider": "anthropic",
        "operation": "chat",
        "tokens": {
            "input": 2847, "cache_read": 0, "cache_write": 0, "output": 10_000, "reasoning": 0, "total": 12_847,
        },
        "usage_source": "provider",
        "cost_usd": "0.264235",
        "unpriced_reason": None,
        "task_type": "review",
        "service_tier": "standard",
    }  # fmt: skip
    assert {name: charge[name] for name in expected} == expected
    assert charge["price_book"]["id"].startswith("genai-prices/")


async def test_an_unpriced_charge_has_no_cost_and_a_reason(server: Server) -> None:
    await server.send(ASpan.of({"gen_ai.response.model": "opus-of-tomorrow"}))
    [charge] = (await server.get("/v1/charges?organisation=acme")).json["charges"]
    assert (charge["cost_usd"], charge["price_book"]) == (None, None)
    assert "opus-of-tomorrow" in charge["unpriced_reason"]


async def test_charges_come_in_pages_in_the_order_of_recording(server: Server) -> None:
    spans = [ASpan() for _ in range(5)]
    await server.send(*spans)
    found, after = [], 0
    while after is not None:
        page = (await server.get(f"/v1/charges?organisation=acme&limit=2&after={after}")).json
        found += [charge["span_id"] for charge in page["charges"]]
        after = page["next_after"]
    assert found == [span.span_id.hex() for span in spans]


@pytest.mark.parametrize("path", ["/v1/charges", "/v1/receipts", "/v1/settlements"])
@pytest.mark.parametrize("limit", ["0", "1001", "-1", "ten", "", "1e3", "9" * 30, "٣"])
async def test_a_limit_out_of_bounds_is_refused_with_the_bounds(server: Server, path: str, limit: str) -> None:
    answer = await server.get(f"{path}?limit={quote(limit)}")
    assert (answer.status, answer.json["title"]) == (400, "Bad request")
    assert "limit must be a whole number from 1 to 1000" in answer.json["detail"]


@pytest.mark.parametrize("path", ["/v1/charges", "/v1/receipts"])
async def test_a_cursor_that_is_none_is_refused(server: Server, path: str) -> None:
    for cursor in ("-5", "x", "9" * 19):
        assert (await server.get(f"{path}?after={cursor}")).status == 400
    assert (await server.get(f"{path}?after={2**53}")).status == 200


async def test_spend_is_summed_by_every_level_the_unattributed_included(server: Server) -> None:
    await server.send(
        ASpan(), ASpan(), ASpan.of({"p402.department": None, "gen_ai.response.model": "opus-of-tomorrow"})
    )
    answer = (await server.get(f"/v1/spend?organisation=acme&{MAY}")).json
    assert (answer["organisation"], answer["level"]) == ("acme", "department")
    assert answer["spend"] == [
        {
            "department": "legal",
            "cost_usd": "0.52847",
            "charges": 2,
            "unpriced_charges": 0,
            "tokens": {"input": 5694, "output": 20_000},
        },
        {
            "department": None,
            "cost_usd": "0",
            "charges": 1,
            "unpriced_charges": 1,
            "tokens": {"input": 2847, "output": 10_000},
        },
    ]
    for level in ("organisation", "project", "client", "employee", "session"):
        answer = (await server.get(f"/v1/spend?organisation=acme&level={level}&{MAY}")).json
        assert sum(node["charges"] for node in answer["spend"]) == 3


async def test_spend_is_of_whole_hours_and_says_which(server: Server) -> None:
    await server.send(*(ASpan(started_ns=MAY_2026 + hour * HOUR) for hour in range(3)))  # from 9, 10 and 11 o'clock

    async def asked(begin: str, end: str) -> tuple[str, str, int]:
        query = f"organisation=acme&level=organisation&from={quote(begin)}&to={quote(end)}"
        answer = (await server.get(f"/v1/spend?{query}")).json
        return answer["from"], answer["to"], sum(node["charges"] for node in answer["spend"])

    ten = ("2026-05-15T10:00:00.000Z", "2026-05-15T11:00:00.000Z", 1)
    assert await asked("2026-05-15T10:00:00Z", "2026-05-15T11:00:00Z") == ten
    assert await asked("2026-05-15T10:20:00Z", "2026-05-15T11:50:00Z") == ten
    assert await asked("2026-05-15T15:30:00+05:30", "2026-05-15T13:00:00+02:00") == ten
    assert (await asked("2026-05-15T10:00:00Z", "2026-05-15T10:00:00Z"))[2] == 0


async def test_spend_is_of_this_month_unless_said_otherwise(server: Server) -> None:
    april = MAY_2026 - 15 * 24 * HOUR
    await server.send(ASpan(), ASpan(started_ns=april))
    answer = (await server.get("/v1/spend?organisation=acme")).json
    assert (answer["from"], answer["to"]) == ("2026-05-01T00:00:00.000Z", "2026-05-15T10:00:00.000Z")
    assert answer["spend"][0]["charges"] == 1


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("level=request", "level must be one of organisation, department"),
        ("level=%00", "level must be one of"),
        ("from=yesterday", "from must be a time with a zone"),
        ("to=2026-05-15T10:00:00", "to must be a time with a zone"),
        ("from=0001-01-01T00:00:00%2B14:00", "from must be a time with a zone"),
        ("to=9999-12-31T23:59:59-14:00", "to must be a time with a zone"),
        ("organisation=", "organisation must be 1 to 256 printable characters"),
        ("organisation=%20acme", "organisation must be 1 to 256"),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(server: Server, query: str, named: str) -> None:
    answer = await server.get(f"/v1/spend?{query}")
    assert (answer.status, answer.media_type) == (400, "application/problem+json")
    assert named in answer.json["detail"]


async def test_closing_a_session_leads_to_its_receipt(server: Server) -> None:
    await server.send(ASpan())
    await server.collector.sealer.catch_up()
    answer = await server.ask("POST", "/v1/sessions/review-7/close?organisation=acme")
    assert (answer.status, answer.json) == (202, {"session": "review-7", "state": "closing", "open_parts": 1})
    await server.collector.sealer.catch_up()
    [receipt] = (await server.get("/v1/receipts?organisation=acme")).json["receipts"]
    assert (receipt["session_id"], receipt["body"]["session"]["closed_by"]) == ("review-7", "api")


async def test_closing_a_session_that_nobody_knows_yet_is_accepted(server: Server) -> None:
    answer = await server.ask("POST", "/v1/sessions/a%2Fb%20c/close")
    assert (answer.status, answer.json["session"], answer.json["open_parts"]) == (202, "a/b c", 0)


@pytest.mark.parametrize("session", ["%20s", "%0A", "x" * 257])
async def test_what_cannot_be_a_session_is_not_closed(server: Server, session: str) -> None:
    answer = await server.ask("POST", f"/v1/sessions/{session}/close")
    assert (answer.status, answer.json["detail"]) == (400, "A session id has 1 to 256 printable characters.")
