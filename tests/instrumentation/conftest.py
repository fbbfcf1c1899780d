"""Fixtures for the tests of the instrumentation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from p402.collector.demo.providers import MockProviders, ProviderCall, Reply, running
from support.metering import Llm, Spans, metered

TEXT = "The liability cap is missing. The notice period is too short. The governing law is left open."


@pytest.fixture
def spans() -> Iterator[Spans]:
    with metered() as spans:
        yield spans


@pytest.fixture
async def llm() -> AsyncIterator[Llm]:
    """Providers that count 100 tokens in, 40 of them from the cache, and 20 out, 5 of them for thinking."""

    def script(call: ProviderCall) -> Reply:
        if call.provider == "anthropic":
            return Reply(TEXT, 100, 20, cache_read_tokens=40, cache_write_tokens=10, cache_write_1h_tokens=4)
        return Reply(TEXT, 100, 20, cache_read_tokens=40, reasoning_tokens=5)

    providers = MockProviders(script)
    async with running(providers) as url:
        yield Llm(providers, url)
