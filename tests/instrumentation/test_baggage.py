"""Baggage never reaches a provider, whoever would send it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx2
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from p402.instrumentation import attribution
from support.llm_calls import CALLS, run
from support.metering import MESSAGES, Llm, Spans, metered, scope

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # by google-genai
SECRET = "e-117"


@pytest.fixture(params=[(), ("httpx2",), ("aiohttp",), ("httpx2", "aiohttp")], ids=lambda on: "+".join(on) or "alone")
def others(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """Other instrumentations that send baggage, switched on too."""
    instrumentors: dict[str, Any] = {"httpx2": HTTPX2ClientInstrumentor, "aiohttp": AioHttpClientInstrumentor}
    on = [instrumentors[name]() for name in request.param]
    for instrumentor in on:
        instrumentor.instrument()
    try:
        yield request.param
    finally:
        for instrumentor in on:
            instrumentor.uninstrument()


@pytest.mark.parametrize("call", [call[0] for call in CALLS], ids=[call[0].__name__ for call in CALLS])
async def test_no_baggage_at_the_provider(others: tuple[str, ...], llm: Llm, call: object) -> None:
    """The anthropic SDK's own tracing is on here, since it is by default: it sends baggage by itself."""
    del others
    with metered() as spans, attribution(employee=SECRET):
        token = context.attach(baggage.set_baggage("card", SECRET))
        try:
            await run(call, llm)  # type: ignore[arg-type] # one of several kinds of function
        finally:
            context.detach(token)
    assert len(spans.calls) == 1
    assert spans.only()["p402.employee"] == SECRET
    [seen] = llm.providers.requests
    assert "baggage" not in seen.headers
    assert SECRET not in str(seen.headers)


async def test_traceparent_is_kept_and_tracestate_is_not(llm: Llm) -> None:
    parent = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", SECRET)]))
    HTTPX2ClientInstrumentor().instrument()
    token = context.attach(trace.set_span_in_context(NonRecordingSpan(parent)))
    try:
        with metered():
            async with llm.openai() as client:
                await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    finally:
        context.detach(token)
        HTTPX2ClientInstrumentor().uninstrument()
    headers = llm.providers.requests[0].headers
    assert headers["traceparent"].startswith(f"00-{7:032x}-")
    assert "tracestate" not in headers


async def test_http_span_is_the_child_of_ours_and_is_attributed(llm: Llm) -> None:
    with metered() as spans, attribution(employee=SECRET):
        HTTPX2ClientInstrumentor().instrument(tracer_provider=spans.provider)
        try:
            async with llm.openai() as client:
                await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        finally:
            HTTPX2ClientInstrumentor().uninstrument()
    [ours] = spans.calls
    [http] = [span for span in spans.all if "httpx" in scope(span)]
    assert ours.context
    assert http.parent
    assert http.parent.span_id == ours.context.span_id
    assert (http.attributes or {})["p402.employee"] == SECRET


async def test_trusted_host_receives_baggage(llm: Llm) -> None:
    HTTPX2ClientInstrumentor().instrument()
    try:
        with metered({"P402_BAGGAGE_HOSTS": "gateway.internal, 127.0.0.1"}), attribution(employee=SECRET):
            async with llm.openai() as client:
                await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    finally:
        HTTPX2ClientInstrumentor().uninstrument()
    assert llm.providers.requests[0].headers["baggage"] == f"p402.employee={SECRET}"


async def test_other_calls_keep_their_baggage(spans: Spans, llm: Llm) -> None:
    async with httpx2.AsyncClient() as client:
        await client.post(f"{llm.url}/v1/orders", json={}, headers={"baggage": "a=1"})
    async with aiohttp.ClientSession() as session, session.post(f"{llm.url}/v1/orders", json={}):
        pass
    assert spans.calls == []


@pytest.mark.parametrize("path", ["/v1/files", "/v1/audio/transcriptions"])
def test_other_calls_to_a_provider_send_no_baggage_either(spans: Spans, path: str) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        assert baggage.get_all() == {}
        return httpx2.Response(200, json={})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client, attribution(employee=SECRET):
        client.post(f"https://api.openai.com{path}", headers={"baggage": f"a={SECRET}"}, files={"file": b"sound"})
    assert "baggage" not in seen[0].headers
    assert spans.calls == []


def test_what_amazons_signature_covers_stays_and_the_rest_goes(spans: Spans) -> None:
    """Without it the request would be refused."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={})

    signature = "AWS4-HMAC-SHA256 Credential=k, SignedHeaders=baggage;host, Signature=0"
    headers = {"authorization": signature, "baggage": "a=1", "tracestate": "a=1"}
    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client:
        url = "https://bedrock-runtime.eu-central-1.amazonaws.com/model/m/converse"
        client.post(url, json={"messages": []}, headers=headers)
    assert seen[0].headers["baggage"] == "a=1"
    assert "tracestate" not in seen[0].headers
    assert len(spans.calls) == 1
