"""Calls as OCSF events: what the class and its profiles require, and nothing of the content."""

from __future__ import annotations

from support.otlp import ASpan
from support.server import Server

REQUIRED = {
    "": ("activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "metadata", "actor", "api", "src_endpoint"),
    "metadata": ("product", "version"),
    "ai_model": ("name", "ai_provider"),
    "api": ("operation",),
    "trace": ("uid",),
}  # fmt: skip
"""Of OCSF 1.8.0, by object."""


async def test_a_call_is_an_api_activity_with_its_model_and_its_tokens(server: Server) -> None:
    await server.send(ASpan())
    page = (await server.get("/v1/ocsf/events?organisation=acme")).json
    [event] = page["events"]
    for place, names in REQUIRED.items():
        held = event[place] if place else event
        assert set(names) <= set(held), place
    assert (event["class_uid"], event["type_uid"], event["metadata"]["version"]) == (6003, 600_399, "1.8.0")
    assert event["ai_model"] == {"name": "claude-opus-4-5", "ai_provider": "anthropic"}
    tokens = {name: event["message_context"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert tokens == {"prompt_tokens": 2847, "completion_tokens": 10_000, "total_tokens": 12_847}
    assert event["message_context"]["application"] == {"name": "contracts"}
    assert event["actor"] == {"app_name": "contracts", "user": {"uid": "e-1042"}, "session": {"uid": "review-7"}}
    assert (event["time"], event["duration"]) == (1_778_835_600_000, 1_500)
    assert event["unmapped"]["cost_usd"] == "0.264235"


async def test_a_call_that_nobody_is_named_for_and_that_has_no_price_is_an_event_too(server: Server) -> None:
    unknown = {f"p402.{level}": None for level in ("department", "project", "client", "employee", "session")}
    models = {"gen_ai.request.model": "nobody", "gen_ai.response.model": "nobody"}
    await server.send(ASpan.of({**unknown, **models}))
    [event] = (await server.get("/v1/ocsf/events?organisation=acme")).json["events"]
    assert event["actor"] == {"app_name": "acme"}
    assert "cost_usd" not in event["unmapped"]
    assert "nobody" in event["unmapped"]["unpriced_reason"]


async def test_a_siem_that_keeps_its_place_misses_nothing(server: Server) -> None:
    await server.send(*(ASpan() for _ in range(3)))
    first = (await server.get("/v1/ocsf/events?organisation=acme&limit=2")).json
    rest = (await server.get(f"/v1/ocsf/events?organisation=acme&limit=2&after={first['next_after']}")).json
    assert [event["metadata"]["sequence"] for event in first["events"] + rest["events"]] == [1, 2, 3]
    assert rest["next_after"] is None
    again = (await server.get("/v1/ocsf/events?organisation=acme&limit=2")).json
    assert again == first
