"""aiohttp's client, used directly: every way to read a body is seen, and reads the same as without us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from support.metering import MESSAGES, Llm, Spans, metered

_HEADERS = {"authorization": "Bearer k"}
_BODY: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
_STREAM: dict[str, Any] = {**_BODY, "stream": True, "stream_options": {"include_usage": True}}


@asynccontextmanager
async def _posting(
    llm: Llm, options: dict[str, Any] | None = None, **body: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    async with (
        aiohttp.ClientSession(headers=_HEADERS, **(options or {})) as session,
        session.post(f"{llm.url}/v1/chat/completions", **body) as response,
    ):
        yield response


async def _join(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def _by_chunk(response: aiohttp.ClientResponse) -> bytes:
    data = b""
    while (piece := await response.content.readchunk()) != (b"", False):
        data += piece[0]
    return data


async def _by_line(response: aiohttp.ClientResponse) -> bytes:
    data = b""
    while line := await response.content.readline():
        data += line
    return data


async def _until_blank_line(response: aiohttp.ClientResponse) -> bytes:
    data = b""
    while event := await response.content.readuntil(b"\n\n"):
        data += event
    return data


async def _exactly(response: aiohttp.ClientResponse) -> bytes:
    start = await response.content.readexactly(10)
    return start + await response.content.read()


async def _as_it_comes(response: aiohttp.ClientResponse) -> bytes:
    data = b""
    while piece := await response.content.readany():
        data += piece + response.content.read_nowait()
    return data


async def _pairs(response: aiohttp.ClientResponse) -> bytes:
    return b"".join([data async for data, _ in response.content.iter_chunks()])


READERS: dict[str, Callable[[aiohttp.ClientResponse], Awaitable[bytes]]] = {
    "read": lambda response: response.read(),
    "content": lambda response: response.content.read(),
    "lines": lambda response: _join(aiter(response.content)),
    "iter_any": lambda response: _join(response.content.iter_any()),
    "iter_chunked": lambda response: _join(response.content.iter_chunked(5)),
    "iter_chunks": _pairs,
    "readchunk": _by_chunk,
    "readline": _by_line,
    "readuntil": _until_blank_line,
    "readexactly": _exactly,
    "readany": _as_it_comes,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("body", [_BODY, _STREAM], ids=["plain", "stream"])
async def test_every_way_of_reading(llm: Llm, reader: Any, body: dict[str, Any]) -> None:
    async def read() -> bytes:
        async with _posting(llm, json=body) as response:
            data: bytes = await reader(response)
            return data

    bare = await read()
    with metered() as spans:
        seen = await read()
    assert seen.replace(b"000002", b"000001") == bare  # the mock counts its answers
    attributes = spans.only()
    assert attributes["gen_ai.usage.input_tokens"] == 100
    assert attributes["gen_ai.usage.output_tokens"] == 20
    assert attributes["p402.stream.end"] == "read"


async def test_body_given_as_bytes_is_read(spans: Spans, llm: Llm) -> None:
    async with _posting(llm, data=b'{"model":"m","messages":[]}') as response:
        assert (await response.json())["usage"]["total_tokens"] == 120
    assert spans.only()["gen_ai.request.model"] == "m"


async def test_generated_body_is_left_alone(spans: Spans, llm: Llm) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"model":"m",'
        yield b'"messages":[]}'

    async with _posting(llm, data=body()) as response:
        assert response.status == 200
    assert spans.calls == []


async def test_response_released_unread_is_closed(spans: Spans, llm: Llm) -> None:
    llm.providers.chunk_delay_seconds = 0.01
    async with _posting(llm, json=_STREAM) as response:
        await response.content.readany()
    assert spans.only()["p402.stream.end"] == "closed"
    assert spans.only()["p402.usage.source"] == "estimated"


async def test_cut_stream_fails(spans: Spans, llm: Llm) -> None:
    llm.providers.cut_streams = True
    async with _posting(llm, json=_STREAM) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert spans.only()["error.type"] == "aiohttp.client_exceptions.ClientPayloadError"
    assert spans.only()["p402.usage.source"] == "estimated"


async def test_timeout_while_reading_fails(spans: Spans, llm: Llm) -> None:
    llm.providers.chunk_delay_seconds = 60
    timeout = aiohttp.ClientTimeout(sock_read=0.05)
    async with _posting(llm, {"timeout": timeout}, json=_STREAM) as response:
        with pytest.raises(asyncio.TimeoutError):
            await response.read()
    assert spans.only()["p402.stream.end"] == "failed"


async def test_middlewares_of_the_application_stay(spans: Spans, llm: Llm) -> None:
    async def twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        (await handler(request)).close()
        return await handler(request)

    async with _posting(llm, {"middlewares": (twice,)}, json=_BODY) as response:
        await response.json()
    assert len(spans.calls) == 2


@pytest.mark.parametrize("of_session", [True, False], ids=["with the session's", "its own"])
async def test_request_with_middlewares_of_its_own_is_metered_once_and_its_baggage_kept_back(
    spans: Spans,
    llm: Llm,
    of_session: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    sent: list[str | None] = []

    async def as_it_is(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await handler(request)
        sent.append(response.request_info.headers.get("baggage"))
        return response

    headers = {"authorization": "Bearer k", "baggage": "p402.employee=e-117"}
    async with aiohttp.ClientSession(headers=headers) as session:
        given = (*(session._middlewares if of_session else ()), as_it_is)
        async with session.post(f"{llm.url}/v1/chat/completions", json=_BODY, middlewares=given) as response:
            await response.read()
    assert spans.only()["gen_ai.usage.input_tokens"] == 100
    assert sent == [None]
