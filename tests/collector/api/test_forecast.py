"""Where spend is heading, as the API tells it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from p402.vocabulary import Money
from support.otlp import MAY_2026, ASpan
from support.server import Server

DAY = 24 * 3_600_000_000_000
LEGAL = "/v1/forecast?organisation=acme&level=department&node=legal"


async def one_call_a_day(server: Server, days: int, key: str | None = None, **attributes: str) -> None:
    """One call at the same time of each day, the last one now; each costs $0.264235."""
    spans = [ASpan.of(attributes, started_ns=MAY_2026 - ago * DAY) for ago in range(days)]
    assert (await server.send(*spans, key=key)).status == 200


async def test_a_young_node_is_projected_by_its_velocity(server: Server) -> None:
    await one_call_a_day(server, 15)
    answer = (await server.get(f"{LEGAL}&cap_usd=7")).json
    assert {name: answer[name] for name in list(answer)[:11]} == {
        "organisation": "acme",
        "level": "department",
        "node": "legal",
        "period": "month",
        "time_zone": "UTC",
        "from": "2026-05-01T00:00:00.000Z",
        "to": "2026-06-01T00:00:00.000Z",
        "at": "2026-05-15T09:00:00.000Z",
        "elapsed": 0.46371,  # 345 of 744 hours
        "spent_usd": "3.963525",
        "cap_usd": "7",
    }
    assert answer["velocity"] == {
        "usd_per_day": "0.275723478",  # 3.963525 / 345 × 24
        "projected_usd": "8.547427826",
        "cap_reached_on": "2026-05-26",
    }
    assert answer["forecast"] == {
        "method": "velocity",
        "basis_days": 14,
        "projected_usd": "8.547427826",
        "interval": 0.8,
        "low_usd": None,
        "high_usd": None,
        "cap_reached_on": "2026-05-26",
        "cap_passed_probability": None,
    }


async def test_a_node_with_history_has_a_forecast_with_an_interval_and_a_chance(server: Server) -> None:
    await one_call_a_day(server, 60)
    server.clock.advance(hours=1)
    answer = (await server.get(f"{LEGAL}&cap_usd=8.5")).json
    forecast = answer["forecast"]
    assert (forecast["method"], forecast["basis_days"]) == ("rhythm", 59)
    assert (
        Money.parse(forecast["low_usd"]) <= Money.parse(forecast["projected_usd"]) <= Money.parse(forecast["high_usd"])
    )
    assert forecast["projected_usd"] == "8.191285"  # 31 calls
    assert (forecast["cap_reached_on"], forecast["cap_passed_probability"]) == (None, 0)
    assert [day["date"] for day in answer["days"]] == [f"2026-05-{day:02}" for day in range(1, 32)]
    days = [Money.parse(day["spent_usd"]) + Money.parse(day["expected_usd"]) for day in answer["days"]]
    assert str(sum(days, Money(0))) == forecast["projected_usd"]
    assert answer["days"][14] == {"date": "2026-05-15", "spent_usd": "0.264235", "expected_usd": "0"}


async def test_periods_are_those_of_the_zone(server: Server) -> None:
    async def asked(period: str, zone: str) -> tuple[str, str, int]:
        answer = (await server.get(f"{LEGAL}&period={period}&time_zone={quote(zone)}")).json
        return answer["from"], answer["to"], len(answer["days"])

    assert await asked("month", "Europe/Berlin") == ("2026-04-30T22:00:00.000Z", "2026-05-31T22:00:00.000Z", 31)
    assert await asked("week", "Asia/Kathmandu") == ("2026-05-10T18:15:00.000Z", "2026-05-17T18:15:00.000Z", 7)
    assert await asked("day", "Pacific/Honolulu") == ("2026-05-14T10:00:00.000Z", "2026-05-15T10:00:00.000Z", 1)


async def test_nothing_spent_is_an_answer(server: Server) -> None:
    answer = (await server.get("/v1/forecast")).json
    assert (answer["level"], answer["node"], answer["spent_usd"]) == ("organisation", "default", "0")
    assert (answer["velocity"]["projected_usd"], answer["forecast"]["projected_usd"]) == ("0", "0")


async def test_what_is_unattributed_is_a_node_too(server: Server) -> None:
    await server.send(ASpan.of({"p402.department": None}), ASpan())
    answer = (await server.get("/v1/forecast?organisation=acme&level=department&node=")).json
    assert (answer["node"], answer["spent_usd"]) == (None, "0.264235")
    whole = (await server.get("/v1/forecast?organisation=acme")).json
    assert (whole["node"], whole["spent_usd"]) == ("acme", "0.52847")


async def test_a_key_of_a_part_may_ask_for_that_part_only(guarded: Server) -> None:
    legal = await guarded.key("spend:read", organisation="acme", department="legal")
    project = await guarded.key("spend:read", organisation="acme", project="contracts")
    whole = await guarded.key("spend:read", organisation="acme")
    own, contracts = "level=department&node=legal", "level=project&node=contracts"
    others = ("", "level=department&node=sales", "level=department&node=", "level=employee&node=legal")
    for key, allowed in ((legal, {own}), (project, {contracts}), (whole, {own, contracts, *others})):
        for query in (own, contracts, *others):
            answer = await guarded.get(f"/v1/forecast?{query}", key)
            assert answer.status == (200 if query in allowed else 403), (allowed, query)
    answer = await guarded.get(f"/v1/forecast?{contracts}", legal)
    assert "bound to one department" in answer.json["detail"]


async def test_a_key_of_two_levels_may_ask_for_neither_since_each_has_spend_that_is_not_the_key_s(
    guarded: Server,
) -> None:
    both = await guarded.key("spend:read", organisation="acme", department="legal", project="contracts")
    sales = ASpan.of({"p402.department": "sales", "p402.session": "s-2"})  # of the same project
    await guarded.send(sales, key=await guarded.key("ingest"))
    for query in ("level=project&node=contracts", "level=department&node=legal", ""):
        answer = await guarded.get(f"/v1/forecast?{query}", both)
        assert (answer.status, "a department and a project" in answer.json.get("detail", "")) == (403, True)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("level=request&node=x", "level must be one of organisation, department"),
        ("level=department", "node must be the id of a department"),
        ("level=department&node=%20x", "node must be the id of a department"),
        ("level=department&node=" + "x" * 257, "node must be the id of a department"),
        ("node=initech", "node must be left out at the level organisation"),
        ("period=year", "period must be one of day, week, month"),
        ("time_zone=Mars/Olympus", "time_zone must be a name of the IANA database"),
        ("time_zone=../../etc/passwd", "time_zone must be a name"),
        ("time_zone=Europe", "time_zone must be a name"),
        ("time_zone=", "time_zone must be a name"),
        ("time_zone=%00", "time_zone must be a name"),
        ("time_zone=" + "x" * 300, "time_zone must be a name"),
        ("cap_usd=1e3", "cap_usd must be an amount: An amount is a decimal string"),
        ("cap_usd=-1", "cap_usd must not be negative"),
        ("organisation=", "organisation must be 1 to 256 printable characters"),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(server: Server, query: str, named: str) -> None:
    answer = await server.get(f"/v1/forecast?{query}")
    assert (answer.status, answer.media_type) == (400, "application/problem+json")
    assert named in answer.json["detail"]
