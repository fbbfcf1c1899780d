"""What models cost, as calls are priced, at any time."""

from __future__ import annotations

from support.server import Server

OPUS = "/v1/prices?provider=anthropic&model=claude-opus-4-5"


async def test_a_price_is_that_of_the_worked_example(server: Server) -> None:
    answer = (await server.get(OPUS)).json
    [price] = answer["prices"]
    assert answer["at"] == "2026-05-15T09:00:00.000Z"
    assert price["usd_per_million_tokens"] == {
        "input": "5", "output": "25", "cache_read": "0.5", "cache_write": "6.25", "cache_write_1h": "10", "reasoning": "25",
    }  # fmt: skip
    assert price["card"]["rates"][:2] == [
        5_000 * 10 ** price["card"]["decimals"],
        25_000 * 10 ** price["card"]["decimals"],
    ]


async def test_a_service_tier_without_a_price_of_its_own_says_so(server: Server) -> None:
    [price] = (await server.get(f"{OPUS}&service_tier=batch")).json["prices"]
    assert (price["usd_per_million_tokens"], price["service_tier"]) == (None, "batch")
    assert "service tier 'batch'" in price["unpriced_reason"]


async def test_what_has_no_price_says_why(server: Server) -> None:
    [price] = (await server.get("/v1/prices?provider=anthropic&model=nobody")).json["prices"]
    assert (price["usd_per_million_tokens"], price["card"]) == (None, None)
    assert "nobody" in price["unpriced_reason"]


async def test_without_a_name_it_is_the_catalogue(server: Server) -> None:
    everything = (await server.get("/v1/prices")).json["prices"]
    anthropic = (await server.get("/v1/prices?provider=anthropic")).json["prices"]
    assert len(everything) > len(anthropic) > 3
    assert {price["provider"] for price in anthropic} == {"anthropic"}


async def test_a_model_without_a_provider_is_refused(server: Server) -> None:
    answer = await server.get("/v1/prices?model=claude-opus-4-5")
    assert (answer.status, answer.json["errors"][0]["parameter"]) == (400, "provider")
