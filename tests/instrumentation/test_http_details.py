"""What clients do with a response or a request that a hook must not break or miss."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry.instrumentation.threading import ThreadingInstrumentor

from p402.instrumentation import attribution
from support.metering import MESSAGES, Llm, Spans, metered

ANSWER = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
CALL: Any = {"model": "gpt-4o", "messages": MESSAGES}


@pytest.fixture
def threading_is_instrumented() -> Iterator[None]:
    ThreadingInstrumentor().instrument()
    yield
    ThreadingInstrumentor().uninstrument()


async def test_openais_aiohttp_transport_is_metered_once(spans: Spans, llm: Llm) -> None:
    async with llm.openai(http_client=openai.DefaultAioHttpClient()) as client:
        await client.chat.completions.create(**CALL)
        chunks = await client.chat.completions.create(**CALL, stream=True)
        assert [chunk async for chunk in chunks if not chunk.choices] == []
    assert [(span.attributes or {})["gen_ai.usage.input_tokens"] for span in spans.calls] == [100, 100]


async def test_a_response_still_tells_how_long_it_took(spans: Spans, llm: Llm) -> None:
    url = f"{llm.url}/v1/chat/completions"
    async with httpx2.AsyncClient(headers={"authorization": "Bearer k"}) as client:
        plain = await client.post(url, json=CALL)
        async with client.stream("POST", url, json={**CALL, "stream": True}) as streamed:
            await streamed.aread()
    assert plain.elapsed.total_seconds() > 0
    assert streamed.elapsed.total_seconds() > 0
    assert len(spans.calls) == 2


async def test_an_attempt_that_times_out_is_a_span_of_its_own(spans: Spans) -> None:
    def too_slow(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("too slow", request=request)

    transport = httpx2.MockTransport(too_slow)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0.0)
        with (
            openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=transport), max_retries=1) as client,
            pytest.raises(openai.APITimeoutError),
        ):
            client.chat.completions.create(**CALL)
    first, second = [dict(span.attributes or {}) for span in spans.calls]
    assert first["error.type"] == second["error.type"] == "httpx2.ReadTimeout"
    assert first["p402.request"] == second["p402.request"]
    assert second["http.request.resend_count"] == 1


def test_a_body_that_can_be_read_only_once_is_left_alone(spans: Spans) -> None:
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.read())
        return httpx2.Response(200, json=ANSWER)

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client:
        client.post("http://gateway/v1/chat/completions", content=iter([b'{"model"', b': "m"}']))
        client.post("http://gateway/v1/images/edits", files={"image": io.BytesIO(b"PNG")})
    assert sent[0] == b'{"model": "m"}'
    assert b"PNG" in sent[1]
    assert spans.calls == []


def test_a_redirect_is_part_of_its_call(spans: Spans) -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        moved = "/old" in request.url.path
        headers = {"location": "/v1/chat/completions"} if moved else {}
        return httpx2.Response(307 if moved else 200, headers=headers, json=ANSWER)

    with httpx2.Client(transport=httpx2.MockTransport(answer), follow_redirects=True) as client:
        client.post("http://gateway/old/v1/chat/completions", json=CALL)
    assert asked == ["/old/v1/chat/completions", "/v1/chat/completions"]
    assert spans.only()["gen_ai.usage.input_tokens"] == 7


@pytest.mark.usefixtures("threading_is_instrumented")
async def test_the_threading_instrumentation_takes_attribution_along(llm: Llm) -> None:
    def call() -> None:
        with llm.openai_sync() as client:
            client.chat.completions.create(**CALL)

    with metered() as spans, ThreadPoolExecutor(1) as pool:
        with attribution(department="legal"):
            await asyncio.get_running_loop().run_in_executor(pool, call)
            await asyncio.wrap_future(pool.submit(call))
            thread = Thread(target=call)
            thread.start()
            await asyncio.to_thread(thread.join)
        await asyncio.get_running_loop().run_in_executor(pool, call)
    departments = [(span.attributes or {}).get("p402.department") for span in spans.calls]
    assert departments == ["legal", "legal", "legal", None]
