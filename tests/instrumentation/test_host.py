"""The host application never suffers: from our failures, from our being off, from being switched on twice."""

from __future__ import annotations

import logging
import threading
from importlib.util import find_spec
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider

from p402.instrumentation import attribution, body, call, clients, guard, hiding, inspection, instrument, uninstrument
from support.llm_calls import CALLS, run
from support.metering import MESSAGES, Llm, Spans, metered

pytestmark = pytest.mark.filterwarnings(
    "ignore:Inheritance class AiohttpClientSession",  # by google-genai
)


@pytest.fixture(autouse=True)
def _nothing_reported() -> None:
    guard._reported.clear()


def _broken(*_: object, **__: object) -> Any:
    raise ValueError("the prompt: is this contract in order?")


@pytest.mark.parametrize("call_", [made[0] for made in CALLS], ids=[made[0].__name__ for made in CALLS])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (inspection.Inspector, "inspect"),
        (inspection.Inspector, "_start"),
        (inspection, "labels"),
        (call.Call, "answered"),
        (call.Call, "_conclude"),
        (call.Call, "chunk"),
        (body, "decoder"),
        (body.Body, "_read"),
        (body.Body, "_read_end"),
        (hiding, "Body"),
        (hiding, "read_event"),
        (hiding.HidingBody, "_shown"),
    ],
)
async def test_our_failure_is_not_the_hosts(
    spans: Spans,
    llm: Llm,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call_: Any,
    owner: Any,
    name: str,
) -> None:
    del spans
    monkeypatch.setattr(owner, name, _broken)
    await run(call_, llm)
    assert all("the prompt" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("name", ["read", "read_request"])
async def test_broken_mapper_is_reported_once(
    spans: Spans, llm: Llm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, dialect: str, name: str
) -> None:
    monkeypatch.setattr(f"p402.instrumentation.providers.{dialect}.{name}", _broken)
    with attribution(employee="e-117"):
        for made in CALLS:
            await run(made[0], llm)
    assert all("baggage" not in request.headers for request in llm.providers.requests)
    reports = [record for record in caplog.records if record.name == "p402.instrumentation" and record.levelno > 20]
    assert 1 <= len(reports) <= 2  # once while reading a response, once while reading a stream
    assert all("ValueError at " in record.getMessage() for record in reports)
    if name == "read":  # the calls are still there, without what could not be read
        assert len(spans.calls) == len(CALLS)
        assert "estimated" not in {(span.attributes or {}).get("p402.usage.source") for span in spans.calls}


async def test_disabled_hooks_nothing_and_says_so(llm: Llm, caplog: pytest.LogCaptureFixture) -> None:
    before = (httpx2.Client.send, httpx.Client.send, aiohttp.ClientSession.__init__)
    with metered({"P402_DISABLED": "1"}) as spans:
        assert (httpx2.Client.send, httpx.Client.send, aiohttp.ClientSession.__init__) == before
        for made in CALLS:
            await run(made[0], llm)
    assert spans.all == ()
    assert len([record for record in caplog.records if "P402_DISABLED" in record.getMessage()]) == 1


async def test_suppressed_instrumentation_is_respected(spans: Spans, llm: Llm) -> None:
    with suppress_instrumentation():
        async with llm.openai() as client:
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert spans.calls == []


def test_instrument_twice_and_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    before = (httpx2.Client.send, httpx2.AsyncClient.send, httpx.Client.send, aiohttp.ClientSession.__init__)
    provider = TracerProvider()
    for _ in range(2):
        instrument(provider)
        once = httpx2.Client.__dict__["send"]
        instrument(provider)
        assert httpx2.Client.__dict__["send"] is once
        uninstrument()
        uninstrument()
        assert (
            httpx2.Client.send,
            httpx2.AsyncClient.send,
            httpx.Client.send,
            aiohttp.ClientSession.__init__,
        ) == before
    assert len(provider._active_span_processor._span_processors) == 1
    provider.shutdown()


def test_start_says_what_is_hooked_and_where_spans_go(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "p402.instrumentation"), metered():
        pass
    [line] = [record.getMessage() for record in caplog.records]
    assert line == (
        "P402 Meter is on: hooked httpx, httpx2, aiohttp, requests, botocore; spans go to http://127.0.0.1:4318 by OpenTelemetry's own exporter."
    )


def test_sdk_without_its_client_is_warned_about(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "find_spec", lambda name: None if name == "httpx2" else find_spec(name))
    with metered():
        pass
    assert any("openai" in record.getMessage() and record.levelno == logging.WARNING for record in caplog.records)


def test_httpx_that_is_httpx2_is_hooked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx", httpx2)
    with metered() as spans:
        answer = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"choices": [], "usage": {}}))
        with httpx2.Client(transport=answer) as client:
            client.post("http://gateway/v1/chat/completions", json={"model": "m", "messages": []})
    assert len(spans.calls) == 1


def test_calls_from_many_threads_are_all_metered(spans: Spans) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"choices": [], "usage": usage}))

    def work() -> None:
        with httpx2.Client(transport=answer) as client:
            for _ in range(20):
                client.post("http://gateway/v1/chat/completions", json={"model": "m", "messages": []})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum((span.attributes or {})["gen_ai.usage.input_tokens"] for span in spans.calls) == 8 * 20 * 3  # type: ignore[misc] # all are ints
    assert len({(span.attributes or {})["p402.request"] for span in spans.calls}) == 160
