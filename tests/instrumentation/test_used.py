"""What is charged where the provider tells no usage: an answer that may be billed, and nothing that is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx2
import pytest
from aiohttp import web

from p402.instrumentation.estimate import _load
from support.metering import MESSAGES, Spans, answered_by

PROMPT_TOKENS = 6  # "Is this contract in order?" in o200k_base
EVENTS, JSON, PAGE = "text/event-stream", "application/json; charset=utf-8", "text/html"
ERROR = b'{"error": {"message": "overloaded", "type": "server_error"}}'
TEXT = b'{"choices": [{"delta": {"content": "Yes."}}]}'


@pytest.fixture(autouse=True)
def _loaded_tokenizer() -> None:
    _load("o200k_base")


def charged(spans: Spans, status: int, content_type: str, body: bytes, *, cut: bool, stream: bool) -> Any:
    """Make a call that is answered so; give the tokens it is charged for, in and out, and whose count that is."""

    def pieces() -> Iterator[bytes]:
        yield body
        if cut:
            raise httpx2.RemoteProtocolError("peer closed connection")

    answer = httpx2.MockTransport(
        lambda _: httpx2.Response(status, headers={"content-type": content_type}, content=pieces())
    )
    url, request = "http://gateway/v1/chat/completions", {"model": "gpt-4o", "messages": MESSAGES, "stream": stream}
    with httpx2.Client(transport=answer) as client, client.stream("POST", url, json=request) as response:
        if cut:
            with pytest.raises(httpx2.RemoteProtocolError):
                response.read()
        else:
            response.read()
    told = spans.only()
    names = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "p402.usage.source")
    return tuple(told[name] for name in names) if names[0] in told else None


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, PAGE, b"<html>Please sign in.</html>"),
        (200, JSON, ERROR),
        (200, JSON, b'{"detail": "Please sign in."}'),
        (200, JSON, b""),
        (200, EVENTS, b"data: " + ERROR + b"\n\n"),
        (200, EVENTS, b'data: {"detail": "Please sign in."}\n\n'),
        (204, "", b""),
        (302, PAGE, b"Moved"),
        (307, JSON, b""),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_no_answer_costs_nothing(
    spans: Spans,
    status: int,
    content_type: str,
    body: bytes,
    stream: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    assert charged(spans, status, content_type, body, cut=False, stream=stream) is None


@pytest.mark.parametrize(
    ("content_type", "body", "stream", "output_tokens"),
    [
        (EVENTS, b"", True, 0),
        (EVENTS, b": waiting\n\n", True, 0),
        (EVENTS, b"data: " + TEXT + b"\n\n", True, 2),
        (EVENTS, b"data: " + TEXT + b"\n\ndata: " + ERROR + b"\n\n", True, 2),
        (JSON, b"", False, 0),
        (JSON, b'{"id": "chatcmpl-1", "choices": [{"mess', False, 0),
        (JSON, b"[" + TEXT, True, 0),
    ],
)
def test_answer_that_was_cut_is_estimated(
    spans: Spans,
    content_type: str,
    body: bytes,
    stream: bool,  # noqa: FBT001 - a parameter of the test
    output_tokens: int,
) -> None:
    told = charged(spans, 200, content_type, body, cut=True, stream=stream)
    assert told == (PROMPT_TOKENS, output_tokens, "estimated")


@pytest.mark.parametrize(
    ("content_type", "body", "output_tokens"),
    [
        (JSON, json.dumps({"choices": [{"message": {"content": "Yes."}}]}).encode(), 2),
        (JSON, b'{"id": "chatcmpl-1", "choices": []}', 0),
        (JSON, b'{"id": "chatcmpl-1", "choices": [{"mess', 0),  # cut by a proxy that does not say so
    ],
)
def test_answer_of_a_server_that_tells_no_usage_is_estimated(
    spans: Spans, content_type: str, body: bytes, output_tokens: int
) -> None:
    told = charged(spans, 200, content_type, body, cut=False, stream=False)
    assert told == (PROMPT_TOKENS, output_tokens, "estimated")


def test_page_that_was_cut_costs_nothing(spans: Spans) -> None:
    assert charged(spans, 200, PAGE, b"<html>", cut=True, stream=True) is None


async def test_call_that_is_redirected_is_charged_once(spans: Spans) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/old"):
            raise web.HTTPTemporaryRedirect("/new/v1/chat/completions")
        message = {"role": "assistant", "content": "Yes."}
        usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
        return web.json_response({"id": "c-1", "choices": [{"message": message}], "usage": usage})

    async with (
        answered_by(answer) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/old/v1/chat/completions", json={"model": "m", "messages": MESSAGES}) as response,
    ):
        await response.read()
    redirected, answered = [dict(span.attributes or {}) for span in spans.calls]
    assert redirected["http.response.status_code"] == 307
    assert "gen_ai.usage.input_tokens" not in redirected
    assert answered["gen_ai.usage.input_tokens"] == 7
