"""The usage that only we asked for is not seen by the application, in whatever form it comes; everything else is."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import httpx2
import openai
import pytest
from aiohttp import web

from support.metering import MESSAGES, Spans, answered_by

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
TEXT = {**HEAD, "choices": [{"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}]}
USAGE = {**HEAD, "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def events(*documents: dict[str, Any]) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(document).encode() for document in documents) + b"data: [DONE]\n\n"


class Server:
    """Streams a chat completion, with its usage if it is asked for that."""

    def __init__(self, content_type: str = "text/event-stream", encoding: str = "") -> None:
        self.headers = {"content-type": content_type, "content-encoding": encoding}
        self.asked: list[bool] = []

    async def answer(self, request: web.Request) -> web.Response:
        asked = "stream_options" in await request.json()
        self.asked.append(asked)
        body = ENCODERS[self.headers["content-encoding"]](events(TEXT, *([USAGE] if asked else [])))
        return web.Response(body=body, headers={name: value for name, value in self.headers.items() if value})


def answered(content: Iterable[bytes], content_type: str = "text/event-stream", **headers: str) -> httpx2.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert "stream_options" in json.loads(request.content)
        return httpx2.Response(200, headers={"content-type": content_type, **headers}, content=content)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def stream(client: httpx2.Client) -> bytes:
    body = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
    with client.stream("POST", "http://gateway/v1/chat/completions", json=body) as response:
        return response.read()


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("content_type", ["text/event-stream; charset=utf-8", "text/plain", "application/json", ""])
async def test_the_sdk_reads_what_it_would_read_without_us(spans: Spans, content_type: str, encoding: str) -> None:
    server = Server(content_type, encoding)
    async with (
        answered_by(server.answer) as url,
        openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0) as client,
    ):
        for _ in range(2):
            chunks = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
            assert [chunk.choices[0].delta.content async for chunk in chunks] == ["Yes."]
    encoded = ENCODERS[encoding] is not bytes  # who encodes although we asked for none is not asked again
    assert server.asked == [True, not encoded]
    assert (spans.calls[0].attributes or {})["gen_ai.usage.input_tokens"] == 7


def test_headers_fit_what_is_handed_on(spans: Spans) -> None:
    with (
        answered(
            iter([gzip.compress(events(TEXT, USAGE))]),
            **{"content-encoding": "gzip", "content-length": "9", "x-request-id": "1"},
        ) as client,
        client.stream(
            "POST", "http://gateway/v1/chat/completions", json={"model": "m", "messages": [], "stream": True}
        ) as response,
    ):
        assert b"".join(response.iter_raw()) == events(TEXT)
    assert {"content-encoding", "content-length"}.isdisjoint(response.headers)
    assert response.headers["x-request-id"] == "1"
    assert spans.only()["gen_ai.usage.output_tokens"] == 2


@pytest.mark.parametrize("size", [1, 3, 1_000])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps({**HEAD, "choices": [], "usage": USAGE["usage"]}).encode()),
        ("text/html", b"<html>data: {}\n\n</html>"),
        ("text/plain", b"dat"),
        ("text/plain", b"\r\n\r\nevents: none"),
        ("text/plain", b""),
    ],
)
def test_what_is_no_stream_of_events_is_handed_on_as_it_is(
    spans: Spans, content_type: str, body: bytes, size: int
) -> None:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    with answered(pieces, content_type) as client:
        assert stream(client) == body
    assert spans.only().get("gen_ai.usage.input_tokens") == (7 if content_type == "application/json" else None)


@pytest.mark.parametrize(
    "beginning", [b"\xef\xbb\xbf", b"\n\n", b": waiting\n\n", b"event: chunk\n", b"id: 1\n", b"retry: 9\n"]
)
def test_stream_of_events_is_known_by_its_first_bytes(spans: Spans, beginning: bytes) -> None:
    whole = beginning + events(TEXT, USAGE)
    with answered((whole[at : at + 1] for at in range(len(whole))), "text/plain") as client:
        assert stream(client) == beginning + events(TEXT)
    assert spans.only()["gen_ai.usage.input_tokens"] == 7


def test_response_that_a_hook_of_the_application_reads_is_without_it_too(spans: Spans) -> None:
    with answered(iter([events(TEXT, USAGE)])) as client:
        client.event_hooks = {"response": [lambda response: response.read()]}
        assert stream(client) == events(TEXT)
    assert spans.only()["gen_ai.usage.input_tokens"] == 7


def test_encoding_that_is_broken_is_an_error_for_the_application_and_ends_the_call(spans: Spans) -> None:
    with answered(iter([b"not gzip"]), **{"content-encoding": "gzip"}) as client, pytest.raises(zlib.error):
        stream(client)
    assert spans.only()["p402.stream.end"] == "failed"


def test_encoding_that_nobody_here_can_undo_is_handed_on(spans: Spans) -> None:
    with answered(iter([b"?"]), **{"content-encoding": "compress"}) as client:
        assert stream(client) == b"?"
    assert "gen_ai.usage.input_tokens" not in spans.only()
