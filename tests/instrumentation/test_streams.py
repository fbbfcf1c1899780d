"""Streams that do not simply run to their end, and chunks that the application must not see."""

from __future__ import annotations

import asyncio
import gc
import json
import math
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anthropic
import httpx
import httpx2
import openai
import pytest
from aiohttp import web

from p402.instrumentation import attribution
from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.estimate import _load, approximate, count_tokens
from p402.instrumentation.providers import RequestFacts
from p402.instrumentation.providers import openai as openai_dialect
from support.metering import MESSAGES, Llm, Spans, answered_by, metered, until

pytestmark = pytest.mark.filterwarnings(
    "ignore:Inheritance class AiohttpClientSession",  # by google-genai
)
MODEL = "gpt-4o"
PROMPT_TOKENS = 6  # "Is this contract in order?" in o200k_base


@pytest.fixture(autouse=True)
def _loaded_tokenizer() -> None:
    _load("o200k_base")
    assert count_tokens("Is this contract in order?", MODEL) == PROMPT_TOKENS


async def test_usage_chunk_is_hidden_when_the_app_did_not_ask_for_it(spans: Spans, llm: Llm) -> None:
    async with llm.openai() as client:
        chunks = [c async for c in await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)]
    assert all(chunk.choices for chunk in chunks)
    assert llm.providers.requests[0].body["stream_options"] == {"include_usage": True}
    assert llm.providers.requests[0].headers["accept-encoding"] == "identity"
    assert spans.only()["gen_ai.usage.output_tokens"] == 20


async def test_chunks_are_the_same_with_us_and_without(llm: Llm) -> None:
    async def chunks() -> list[str]:
        async with llm.openai() as client:
            stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
            return [chunk.model_copy(update={"id": ""}).model_dump_json() async for chunk in stream]

    bare = await chunks()
    with metered():
        assert await chunks() == bare


async def test_usage_chunk_is_shown_when_the_app_asked_for_it(spans: Spans, llm: Llm) -> None:
    async with llm.openai() as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 120
    assert spans.only()["gen_ai.usage.output_tokens"] == 20


async def test_other_stream_options_survive(spans: Spans, llm: Llm) -> None:
    async with llm.openai() as client:
        options: Any = {"include_obfuscation": False, "include_usage": False}
        stream = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options=options
        )
        assert all([chunk.choices async for chunk in stream])
    assert llm.providers.requests[0].body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert spans.only()["gen_ai.usage.output_tokens"] == 20


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_request_that_the_app_sends_twice_is_not_changed(spans: Spans, llm: Llm, module: Any) -> None:
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}
    url, headers = f"{llm.url}/v1/chat/completions", {"authorization": "Bearer k"}

    def send_twice() -> Any:
        with module.Client() as client:
            request = client.build_request("POST", url, json=body, headers=headers)
            for _ in range(2):
                assert b'"choices":[]' not in client.send(request, stream=True).read()
        return request

    async with module.AsyncClient() as client:
        request = client.build_request("POST", url, json=body, headers=headers)
        for _ in range(2):
            response = await client.send(request, stream=True)
            assert b'"choices":[]' not in await response.aread()
    for sent in (request, await asyncio.to_thread(send_twice)):
        assert json.loads(sent.content) == body
    assert [(span.attributes or {})["gen_ai.usage.output_tokens"] for span in spans.calls] == [20, 20, 20, 20]


async def test_stream_that_a_client_reads_at_once_is_left_alone(spans: Spans, llm: Llm) -> None:
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}
    async with httpx2.AsyncClient(headers={"authorization": "Bearer k"}) as client:
        response = await client.post(f"{llm.url}/v1/chat/completions", json=body)
    assert b'"choices":[]' not in response.content
    assert "stream_options" not in llm.providers.requests[0].body
    assert spans.only()["p402.usage.source"] == "estimated"


async def test_server_that_does_not_know_stream_options_is_asked_without(spans: Spans) -> None:
    async with _old_server() as url, openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0) as client:
        for _ in range(2):
            stream = await client.chat.completions.create(model="old", messages=MESSAGES, stream=True)
            assert [chunk.choices[0].delta.content async for chunk in stream] == ["Fine."]
    refused, first, second = [dict(span.attributes or {}) for span in spans.calls]
    assert refused["http.response.status_code"] == 400
    assert "gen_ai.usage.input_tokens" not in refused
    for answered in (first, second):
        assert answered["p402.usage.source"] == "estimated"
        assert answered["gen_ai.usage.output_tokens"] == 2  # "Fine" and "."


async def test_cut_openai_stream_is_estimated(spans: Spans, llm: Llm) -> None:
    llm.providers.cut_streams = True
    async with llm.openai(max_retries=0) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        seen, error = await _read(stream)
    assert isinstance(error, openai.APIConnectionError)
    attributes = spans.only()
    assert attributes["p402.usage.source"] == "estimated"
    assert attributes["p402.stream.end"] == "failed"
    assert attributes["error.type"] == "httpx2.RemoteProtocolError"
    assert attributes["gen_ai.usage.input_tokens"] == PROMPT_TOKENS
    text = "".join(chunk.choices[0].delta.content or "" for chunk in seen)
    assert 0 < attributes["gen_ai.usage.output_tokens"] <= math.ceil(len(text) / 2)


async def test_cut_anthropic_stream_keeps_the_exact_input(spans: Spans, llm: Llm) -> None:
    llm.providers.cut_streams = True
    async with llm.anthropic(max_retries=0) as client:
        stream = await client.messages.create(model="claude-x", max_tokens=90, messages=MESSAGES, stream=True)
        seen, error = await _read(stream)
    assert isinstance(error, anthropic.APIConnectionError | httpx2.RemoteProtocolError)
    attributes = spans.only()
    assert attributes["gen_ai.usage.input_tokens"] == 100
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 40
    assert attributes["p402.usage.source"] == "estimated"
    assert attributes["gen_ai.usage.output_tokens"] > 1  # message_start said 1
    assert seen


async def test_cut_gemini_stream_is_estimated(spans: Spans, llm: Llm) -> None:
    llm.providers.cut_streams = True
    async with llm.gemini().aio as client:
        stream: Any = await client.models.generate_content_stream(model="gemini-x", contents="Hm?")
        _, error = await _read(stream)
    assert error is not None
    attributes = spans.only()
    assert attributes["p402.usage.source"] == "estimated"
    assert attributes["gen_ai.usage.input_tokens"] == 100
    assert attributes["p402.stream.end"] == "failed"


async def test_cancelled_stream_is_estimated_and_no_error(spans: Spans, llm: Llm) -> None:
    llm.providers.chunk_delay_seconds = 0.02
    first = asyncio.Event()

    async def consume() -> None:
        async with llm.openai() as client:
            async for _ in await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
                first.set()

    task = asyncio.create_task(consume())
    await asyncio.wait_for(first.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [span] = spans.calls
    attributes = spans.only()
    assert attributes["p402.stream.end"] == "cancelled"
    assert attributes["p402.usage.source"] == "estimated"
    assert attributes["gen_ai.usage.input_tokens"] == PROMPT_TOKENS
    assert "error.type" not in attributes
    assert not span.events


async def test_cancelled_call_before_any_answer_has_no_usage(spans: Spans) -> None:
    async with _silent_server() as (url, reached), openai.AsyncOpenAI(api_key="k", base_url=url) as client:
        task = asyncio.create_task(client.chat.completions.create(model=MODEL, messages=MESSAGES))
        await asyncio.wait_for(reached.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    attributes = spans.only()
    assert attributes["p402.stream.end"] == "cancelled"
    assert "gen_ai.usage.input_tokens" not in attributes


async def test_closed_stream_is_estimated(spans: Spans, llm: Llm) -> None:
    llm.providers.chunk_delay_seconds = 0.01
    async with llm.openai() as client:
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        async with stream:
            await anext(aiter(stream))
    attributes = spans.only()
    assert attributes["p402.stream.end"] == "closed"
    assert attributes["p402.usage.source"] == "estimated"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("client_name", ["openai", "gemini"])
async def test_abandoned_stream_ends_its_span(spans: Spans, llm: Llm, client_name: str) -> None:
    llm.providers.chunk_delay_seconds = 0.01
    client: Any = llm.openai() if client_name == "openai" else llm.gemini().aio

    async def abandon() -> None:
        if client_name == "openai":
            stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        else:
            stream = await client.models.generate_content_stream(model="gemini-x", contents="Hm?")
        async for _ in stream:
            break

    await abandon()

    def gone() -> bool:
        gc.collect()
        return bool(spans.calls)

    await until(gone)
    assert spans.only()["p402.stream.end"] in {"abandoned", "closed"}
    assert spans.only()["p402.usage.source"] == "estimated"
    await (client.close() if client_name == "openai" else client.aclose())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("client_name", ["httpx2", "httpx2 async", "aiohttp"])
async def test_response_that_nobody_reads_ends_its_span(spans: Spans, llm: Llm, client_name: str) -> None:
    llm.providers.chunk_delay_seconds = 0.01
    url, headers = f"{llm.url}/v1/chat/completions", {"authorization": "Bearer k"}
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}

    def drop() -> None:
        with httpx2.Client(headers=headers) as client:
            client.send(client.build_request("POST", url, json=body), stream=True)

    async def drop_async() -> None:
        async with httpx2.AsyncClient(headers=headers) as client:
            await client.send(client.build_request("POST", url, json=body), stream=True)

    async def drop_aiohttp() -> None:
        async with aiohttp.ClientSession(headers=headers) as session:
            await session.post(url, json=body)

    if client_name == "httpx2":
        await asyncio.to_thread(drop)
    else:
        await (drop_async() if client_name == "httpx2 async" else drop_aiohttp())

    def gone() -> bool:
        gc.collect()
        return bool(spans.calls)

    await until(gone)
    assert spans.only()["p402.stream.end"] == "abandoned"
    assert spans.only()["p402.usage.source"] == "estimated"


def test_call_finishes_once_whoever_is_first(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    failures: list[int] = []
    facts = RequestFacts(operation="chat", model=MODEL)
    span = spans.provider.get_tracer("p402.instrumentation").start_span("chat")
    call = Call(span, openai_dialect, facts, b"{}", on_failure=lambda: failures.append(1))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            pool.submit(call.finish, StreamEnd.FAILED, OSError())
    assert failures == [1]
    assert len(spans.calls) == 1
    assert "ended span" not in caplog.text


async def test_stream_that_is_read_in_another_context_keeps_its_attribution(spans: Spans, llm: Llm) -> None:
    async with llm.openai() as client:
        with attribution(department="legal"):
            stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        with attribution(department="sales"):
            assert [chunk async for chunk in stream]
    assert spans.only()["p402.department"] == "legal"


async def test_error_inside_a_stream_is_named(spans: Spans) -> None:
    events = [
        {"type": "message_start", "message": {"id": "m", "model": "claude-x", "content": [], "usage": {}}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "a prompt may be quoted here"}},
    ]
    async with _server(lambda: events) as url, httpx2.AsyncClient() as client:
        body = {"model": "claude-x", "messages": [], "max_tokens": 9, "stream": True}
        await client.post(f"{url}/v1/messages", json=body)
    assert spans.only()["error.type"] == "overloaded_error"
    assert "quoted" not in str(spans.calls[0].to_json())


async def test_with_streaming_response_of_a_body_that_is_no_stream(spans: Spans, llm: Llm) -> None:
    async with (
        llm.openai() as client,
        client.chat.completions.with_streaming_response.create(model=MODEL, messages=MESSAGES) as response,
    ):
        completion: Any = await response.parse()
    assert completion.usage.total_tokens == 120
    assert spans.only()["gen_ai.usage.input_tokens"] == 100


def test_approximation_is_four_bytes_a_token() -> None:
    assert [approximate(text) for text in ("", "a", "abcd", "abcde", "ééé")] == [0, 1, 1, 2, 2]


async def _read(stream: AsyncIterator[Any]) -> tuple[list[Any], Exception | None]:
    seen: list[Any] = []
    try:
        async for chunk in stream:
            seen.append(chunk)  # noqa: PERF401 - what came before the error counts
    except Exception as error:  # noqa: BLE001 - each SDK has its own
        return seen, error
    return seen, None


@asynccontextmanager
async def _server(events: Any) -> AsyncIterator[str]:
    async def handle(_: web.Request) -> web.Response:
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events())
        return web.Response(text=text, content_type="text/event-stream")

    async with answered_by(handle) as url:
        yield url


@asynccontextmanager
async def _old_server() -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        if "stream_options" in await request.json():
            return web.json_response({"error": {"message": "Unknown field: stream_options"}}, status=400)
        chunk = {"choices": [{"index": 0, "delta": {"content": "Fine."}, "finish_reason": "stop"}]}
        return web.Response(text=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", content_type="text/event-stream")

    async with answered_by(handle) as url:
        yield url


@asynccontextmanager
async def _silent_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    reached = asyncio.Event()

    async def handle(_: web.Request) -> web.Response:
        reached.set()
        await asyncio.Event().wait()
        return web.Response()

    async with answered_by(handle) as url:
        yield url, reached
