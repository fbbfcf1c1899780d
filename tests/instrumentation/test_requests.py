"""`requests`, with real HTTP to mock providers: metered, its baggage kept back, its requests as they were."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
import requests

from p402.collector.demo.providers import MockProviders, Reply
from p402.instrumentation import attribution
from support.metering import MESSAGES, Spans, metered, until
from support.providers import providers_thread

TEXT = "The liability cap is missing. The notice period is too short. The governing law is left open."
CHAT = {"model": "gpt-4o", "messages": MESSAGES}
STREAM = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
KEY = {"authorization": "Bearer k"}


@pytest.fixture
def providers() -> MockProviders:
    return MockProviders(lambda _: Reply(TEXT, 100, 20, cache_read_tokens=40, reasoning_tokens=5))


@pytest.fixture
def url(providers: MockProviders) -> Iterator[str]:
    with providers_thread(providers) as base:
        yield f"{base}/v1/chat/completions"


READERS: list[Callable[[requests.Response], Any]] = [
    lambda response: list(response.iter_content(16)),
    lambda response: list(response.iter_lines()),
    lambda response: response.content,
    lambda response: response.raw.read(),
    lambda response: list(iter(lambda: response.raw.read(10), b"")),
    lambda response: list(iter(lambda: response.raw.read1(10), b"")),
    lambda response: list(iter(response.raw.readline, b"")),
    lambda response: response.raw.readlines(),
    lambda response: list(response.raw),
    lambda response: list(iter(lambda: response.raw.readinto(bytearray(9)), 0)),
]


@pytest.mark.parametrize("encoding", [None, "gzip"])
@pytest.mark.parametrize("read", READERS)
def test_stream_is_counted_however_it_is_read(
    spans: Spans, providers: MockProviders, url: str, read: Any, encoding: Any
) -> None:
    providers.encoding = encoding
    with attribution(employee="e-117"), requests.post(url, json=STREAM, headers=KEY, stream=True) as response:
        assert read(response)
    attributes = spans.only()
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (100, 20)
    assert (attributes["p402.usage.source"], attributes["p402.stream.end"]) == ("provider", "read")
    assert attributes["p402.employee"] == "e-117"


@pytest.mark.parametrize("encoding", [None, "gzip", "br"])
def test_plain_call_is_counted_and_sent_as_it_was(
    spans: Spans, providers: MockProviders, url: str, encoding: Any
) -> None:
    providers.encoding = encoding
    answer = requests.post(url, json=CHAT, headers=KEY).json()
    assert answer["usage"]["prompt_tokens"] == spans.only()["gen_ai.usage.input_tokens"] == 100
    assert spans.only()["gen_ai.response.model"] == "gpt-4o"
    assert providers.requests[0].body == CHAT


def test_stream_that_asks_for_nothing_is_estimated(spans: Spans, providers: MockProviders, url: str) -> None:
    assert b'"choices": []' not in requests.post(url, json={**CHAT, "stream": True}, headers=KEY).content
    assert "stream_options" not in providers.requests[0].body
    assert spans.only()["p402.usage.source"] == "estimated"
    assert 10 < spans.only()["gen_ai.usage.output_tokens"] < 30


async def test_stream_that_is_dropped_is_estimated(spans: Spans, url: str) -> None:
    def drop() -> None:
        response = requests.post(url, json=STREAM, headers=KEY, stream=True)
        assert next(response.iter_content(200))

    await asyncio.to_thread(drop)
    gc.collect()
    await until(lambda: spans.calls)
    assert spans.only()["p402.usage.source"] == "estimated"
    assert spans.only()["p402.stream.end"] in {"closed", "abandoned"}


def test_stream_that_is_cut_is_an_error_and_estimated(spans: Spans, providers: MockProviders, url: str) -> None:
    providers.cut_streams = True
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = requests.post(url, json=STREAM, headers=KEY, stream=True).content
    assert (spans.only()["p402.stream.end"], spans.only()["p402.usage.source"]) == ("failed", "estimated")


def test_refused_call_is_an_error_without_usage_and_what_repeats_it_shares_its_request(
    spans: Spans, providers: MockProviders, url: str
) -> None:
    providers.fail_next(429)
    assert requests.post(url, json=CHAT, headers=KEY).status_code == 429
    requests.post(url, json=CHAT, headers=KEY)
    first, second = [dict(span.attributes or {}) for span in spans.calls]
    assert first["error.type"] == "429"
    assert "gen_ai.usage.input_tokens" not in first
    assert first["p402.request"] == second["p402.request"]
    assert second["http.request.resend_count"] == 1


def test_unreachable_provider_is_an_error(spans: Spans) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.post("http://127.0.0.1:9/v1/chat/completions", json=CHAT)
    assert spans.only()["error.type"] == "requests.exceptions.ConnectionError"


def test_no_baggage_at_the_provider_and_elsewhere_as_it_was(spans: Spans, providers: MockProviders, url: str) -> None:
    requests.post(url, json=CHAT, headers={**KEY, "baggage": "card=1", "tracestate": "a=1"})
    assert not {"baggage", "tracestate"} & providers.requests[0].headers.keys()
    order = requests.Request("POST", url.replace("chat/completions", "orders"), headers={"baggage": "a=1"}).prepare()
    requests.Session().send(order)
    assert order.headers["baggage"] == "a=1"
    assert len(spans.calls) == 1


def test_two_clients_on_top_of_each_other_are_one_call(spans: Spans, url: str) -> None:
    class OverRequests(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = requests.post(str(request.url), data=request.read(), headers=KEY)
            return httpx2.Response(answer.status_code, content=answer.content, headers={"content-type": "text/json"})

    with httpx2.Client(transport=OverRequests()) as client:
        assert client.post(url, content=json.dumps(CHAT)).json()["usage"]
    assert spans.only()["gen_ai.usage.input_tokens"] == 100


def test_uninstrument_leaves_nothing_behind() -> None:
    before = requests.Session.send
    with metered():
        assert requests.Session.send is not before
    assert requests.Session.send is before
