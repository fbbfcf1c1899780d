"""A key may ask so often and no more; spans and decisions are never refused for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from p402.collector.api.problem import TooManyRequests
from p402.collector.api.rate_limits import RateLimits
from support.clock import FakeClock
from support.otlp import ASpan
from support.server import Server, serving


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[Server]:
    """Each key may ask three times a minute."""
    async with serving(tmp_path, require_key=True, rate_limit_per_minute=3) as running:
        yield running


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(limited: Server) -> None:
    key = await limited.key("spend:read")
    answers = [await limited.get("/v1/charges", key) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["RateLimit"] for answer in answers] == [
        '"key";r=2;t=20',
        '"key";r=1;t=40',
        '"key";r=0;t=60',
        '"key";r=0;t=60',
    ]
    refused = answers[-1]
    assert (refused.media_type, refused.json["type"]) == ("application/problem+json", "about:p402/too-many-requests")
    assert (refused.headers["Retry-After"], refused.headers["RateLimit-Policy"]) == ("20", '"key";q=3;w=60')
    limited.clock.advance(seconds=19.9)
    assert (await limited.get("/v1/charges", key)).headers["Retry-After"] == "1"
    limited.clock.advance(seconds=0.1)
    assert (await limited.get("/v1/charges", key)).status == 200
    assert (await limited.get("/v1/charges", key)).status == 429


async def test_keys_do_not_take_from_each_other(limited: Server) -> None:
    one, other = await limited.key("spend:read"), await limited.key("spend:read")
    assert [(await limited.get("/v1/charges", one)).status for _ in range(4)][-1] == 429
    assert (await limited.get("/v1/charges", other)).status == 200


async def test_spans_and_decisions_are_not_limited(limited: Server) -> None:
    key = await limited.key("ingest", "feedback", "spend:read")
    for _ in range(5):
        assert (await limited.send(ASpan(), key=key)).status == 200
        assert (await limited.get("/v1/authorize", key)).status == 200
    assert "RateLimit" not in (await limited.get("/v1/authorize", key)).headers
    assert (await limited.get("/v1/charges", key)).headers["RateLimit"] == '"key";r=2;t=20'


async def test_whoever_needs_no_key_is_not_limited(tmp_path: Path) -> None:
    async with serving(tmp_path, rate_limit_per_minute=1) as server:
        assert {(await server.get("/v1/charges")).status for _ in range(3)} == {200}


async def test_nobody_is_limited_if_the_limit_is_nought(tmp_path: Path) -> None:
    async with serving(tmp_path, rate_limit_per_minute=0) as server:
        key = await server.key("spend:read")
        answers = [await server.get("/v1/charges", key) for _ in range(3)]
        assert [(answer.status, "RateLimit" in answer.headers) for answer in answers] == [(200, False)] * 3


def test_only_so_many_keys_are_remembered_and_those_that_asked_last() -> None:
    limits = RateLimits(1, FakeClock(), most_keys=2)
    request = make_mocked_request("GET", "/")
    for key in ("one", "two", "three"):
        limits.take(request, key)
    assert len(limits._full_at) == 2
    limits.take(request, "one")
    with pytest.raises(TooManyRequests):
        limits.take(request, "three")


def test_a_clock_that_is_set_back_locks_nobody_out_for_long() -> None:
    clock, request = FakeClock(), make_mocked_request("GET", "/")
    limits = RateLimits(2, clock)
    limits.take(request, "key")
    clock.advance(days=-1)
    with pytest.raises(TooManyRequests) as refused:
        limits.take(request, "key")
    assert refused.value.retry_after <= 30


@given(per_minute=st.integers(1, 200), gaps=st.lists(st.floats(0, 30), max_size=60))
def test_in_no_minute_more_is_let_through_than_twice_the_limit_and_never_less_than_the_limit(
    per_minute: int, gaps: list[float]
) -> None:
    clock, request = FakeClock(), make_mocked_request("GET", "/")
    limits, passed = RateLimits(per_minute, clock), []
    for gap in gaps:
        clock.advance(seconds=gap)
        try:
            limits.take(request, "key")
            passed.append(clock.now())
        except TooManyRequests as refused:
            lately = [at for at in passed if (clock.now() - at).total_seconds() < 60]
            assert len(lately) >= per_minute
            clock.advance(seconds=refused.retry_after)
            limits.take(request, "key")
            passed.append(clock.now())
    for at in passed:
        assert sum(0 <= (other - at).total_seconds() < 60 for other in passed) <= 2 * per_minute
