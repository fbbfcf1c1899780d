"""APIs whose calls are not seen are warned of by name, once each, when real clients first reach for them."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import httpx2
import openai
import pytest
import requests
from aiohttp import web
from anthropic import Anthropic
from google import genai
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from p402.instrumentation import unseen
from support.batch_providers import BatchProviders, batch_providers
from support.metering import Spans, metered

OPENAI = openai.OpenAI(api_key="k", max_retries=0)


@pytest.fixture(autouse=True)
def _unwarned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unseen, "_warned", set())


@pytest.fixture
def served() -> Iterator[BatchProviders]:
    with batch_providers() as running:
        yield running


@pytest.fixture
def echo() -> Iterator[str]:
    """A WebSocket server that says back what it is told; gives its address without the scheme."""

    def answer(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if line.startswith("P402 Meter does not see")]


async def test_openais_realtime_api_works_and_is_warned_of_once(
    spans: Spans, caplog: pytest.LogCaptureFixture, echo: str
) -> None:
    client = openai.AsyncOpenAI(api_key="k", base_url=f"http://{echo}/v1")
    for _ in range(2):
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.send_raw('{"type": "response.done"}')
            assert await connection.recv_bytes() == b'{"type": "response.done"}'
    [warning] = warnings(caplog)
    assert "OpenAI's Realtime API" in warning
    assert "Report their usage" in warning
    assert spans.calls == []


async def test_aiohttps_websockets_are_seen(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    application = web.Application()
    application.router.add_get("/v1/realtime", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/v1/realtime") as socket,
    ):
        await socket.send_str("said")
        assert (await socket.receive_str()) == "said"
    await runner.cleanup()
    assert ["OpenAI's Realtime API" in line for line in warnings(caplog)] == [True]
    assert spans.calls == []


async def test_geminis_live_api_is_warned_of(spans: Spans, caplog: pytest.LogCaptureFixture, echo: str) -> None:
    client = genai.Client(api_key="k", http_options=genai.types.HttpOptions(base_url=f"ws://{echo}"))
    with contextlib.suppress(OSError):  # the SDK insists on TLS, which is not there, but it has reached for the API
        async with client.aio.live.connect(model="gemini-live-2.5-flash"):
            pass
    assert ["Gemini's Live API" in line for line in warnings(caplog)] == [True]
    assert spans.calls == []


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("ws://{}/v1/realtime", "OpenAI's Realtime API"),
        ("ws://{}/v1/responses", "OpenAI's Responses API over WebSocket"),
        ("ws://{}/chat", None),
        ("ws://{}/socket.io/live", None),
    ],
)
def test_a_synchronous_websocket_is_seen(
    spans: Spans, caplog: pytest.LogCaptureFixture, echo: str, url: str, named: str | None
) -> None:
    with connect(url.format(echo)) as connection:
        connection.send("said")
        assert connection.recv() == "said"
    assert [named in line for line in warnings(caplog) if named] == ([True] if named else [])
    assert bool(warnings(caplog)) == (named is not None)
    assert spans.calls == []


def test_websockets_of_a_known_host_are_named_by_it(caplog: pytest.LogCaptureFixture) -> None:
    unseen.warn_of_websocket("api.x.ai", "/v1/agents", 443, {})
    unseen.warn_of_websocket("chat.example.com", "/v1/agents", 443, {})
    unseen.warn_of_websocket("vllm.internal", "/agents", 8000, {"vllm.internal": "vllm"})
    assert ["api.x.ai" in line or "vllm.internal" in line for line in warnings(caplog)] == [True, True]


def test_uninstrument_leaves_websockets_as_they_were(caplog: pytest.LogCaptureFixture, echo: str) -> None:
    from websockets.client import ClientProtocol  # noqa: PLC0415 - where it is hooked

    before = ClientProtocol.__init__
    with metered():
        assert ClientProtocol.__init__ is not before
    assert ClientProtocol.__init__ is before
    with connect(f"ws://{echo}/v1/realtime"):
        pass
    assert warnings(caplog) == []


CREATE: list[tuple[Callable[[str], Any], str]] = [
    (
        lambda url: Anthropic(api_key="k", base_url=url, max_retries=0).messages.batches.create(requests=[]),
        "Anthropic's batch API",
    ),
    (
        lambda url: genai.Client(
            api_key="k", http_options=genai.types.HttpOptions(base_url=url)
        ).batches.create(model="gemini-2.5-flash", src=[genai.types.InlinedRequest(contents="x")]),
        "Gemini's batch API",
    ),
    (lambda url: httpx2.post(f"{url}/v1/projects/p/locations/l/batchPredictionJobs", json={}), "Vertex AI's batch prediction"),
    (lambda url: requests.post(f"{url}/model-invocation-job", json={}), "Bedrock's batch inference"),
    (lambda url: httpx2.post(f"{url}/v1/realtime/client_secrets", json={}), "OpenAI's Realtime API"),
    (
        lambda url: httpx2.post(f"{url}/v1/projects/p/locations/l/publishers/google/models/imagen-4:predict", json={}),
        "Vertex AI's predictions",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("create", "named"), CREATE, ids=[named for _, named in CREATE])
def test_a_batch_is_warned_of_when_it_is_made(
    spans: Spans, served: BatchProviders, caplog: pytest.LogCaptureFixture, create: Callable[[str], Any], named: str
) -> None:
    for _ in range(2):
        with contextlib.suppress(Exception):  # the mock knows no such batch
            create(served.url)
    assert [named in line for line in warnings(caplog)] == [True]
    assert spans.calls == []


@pytest.mark.parametrize("told", [True, False])
def test_embeddings_of_gemini_are_warned_of_where_their_answers_tell_no_usage(
    spans: Spans,
    caplog: pytest.LogCaptureFixture,
    told: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    usage = {"usageMetadata": {"promptTokenCount": 5}} if told else {}
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"embedding": {"values": [0.1]}, **usage}))
    with httpx2.Client(transport=answer) as client:
        for _ in range(2):
            client.post("http://gateway/v1beta/models/gemini-embedding:embedContent", json={"content": {"parts": []}})
    assert [(span.attributes or {}).get("gen_ai.usage.input_tokens") for span in spans.calls] == [
        5 if told else None
    ] * 2
    assert ["Gemini's embeddings" in line for line in warnings(caplog)] == ([] if told else [True])


@pytest.mark.parametrize(
    ("host", "path", "named"),
    [
        ("api.openai.com", "/v1/batches", "the batch API of api.openai.com"),
        ("acme.openai.azure.com", "/openai/batches", "the batch API of acme.openai.azure.com"),
        ("api.groq.com", "/openai/v1/batches", "the batch API of api.groq.com"),
        ("api.mistral.ai", "/v1/batch/jobs", "the batch API of api.mistral.ai"),
        ("api.openai.com", "/v1/threads/t-1/runs", "OpenAI's Assistants API"),
        ("api.openai.com", "/v1/threads/runs", "OpenAI's Assistants API"),
        ("generativelanguage.googleapis.com", "/v1beta/models/imagen-4:predict", "Gemini's predictions"),
        ("tensorflow-serving.internal", "/v1/models/churn:predict", None),
        ("shop.example.com", "/v1/batches", None),
        ("shop.example.com", "/v1/threads/runs", None),
        ("api.openai.com", "/v1/files", None),
        ("api.openai.com", "/v1/batches/b-1/cancel", None),
    ],
)
def test_only_what_is_a_providers_is_warned_of(
    caplog: pytest.LogCaptureFixture, host: str, path: str, named: str | None
) -> None:
    with caplog.at_level(logging.WARNING):
        unseen.warn_of_request(host, path, 443, {})
    assert [named in line for line in warnings(caplog) if named] == ([True] if named else [])
    assert bool(warnings(caplog)) == (named is not None)
