"""Streams of lines and of Amazon's messages, split anywhere; what is none does not get in the application's way."""

from __future__ import annotations

import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.instrumentation.eventstream import MessageParser
from p402.instrumentation.lines import LineParser
from support.metering import metered
from support.recorded import event_stream_message

MESSAGES = [
    event_stream_message("chunk", {"type": "message_stop"}),
    event_stream_message("metadata", {"usage": {"inputTokens": 1}}),
    event_stream_message("messageStart", {}),
]
LINES = [b'{"done": false}\n', b"\r\n", b'{"done": true}\n']


@given(st.lists(st.integers(min_value=1, max_value=60)))
def test_messages_come_out_whole(sizes: list[int]) -> None:
    parser, whole = MessageParser(), b"".join(MESSAGES)
    events = [event for piece in split(whole, sizes) for event in parser.feed(piece)]
    assert [event.raw for event in events] == MESSAGES
    assert [json.loads(event.data) for event in events] == [
        {"type": "message_stop"},
        {"metadata": {"usage": {"inputTokens": 1}}},
        {"messageStart": {}},
    ]
    assert parser.rest() == b""


@given(st.lists(st.integers(min_value=1, max_value=9)))
def test_lines_come_out_whole(sizes: list[int]) -> None:
    parser = LineParser()
    events = [event for piece in split(b"".join(LINES) + b"{", sizes) for event in parser.feed(piece)]
    assert [event.raw for event in events] == LINES
    assert [event.data for event in events] == [b'{"done": false}', b"", b'{"done": true}']
    assert parser.rest() == b"{"


def split(whole: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(whole[at : at + size])
        at += size
    return [*pieces, whole[at:]]


def test_neither_grows_without_bound() -> None:
    for parser in (MessageParser(10), LineParser(10)):
        parser.feed(b"\0\0\x0f\xff\0\0\0\0....")
        assert parser.overflowed
        assert parser.rest()
        assert not parser.overflowed


@pytest.mark.parametrize("kind", ["application/vnd.amazon.eventstream", "application/x-ndjson", "audio/mpeg"])
def test_a_body_that_is_something_else_reaches_the_application(kind: str) -> None:
    content = b"\0\0\0\1\0\0\0\1not at all\n{" * 9
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers={"content-type": kind}, content=content))
    with metered() as spans, httpx2.Client(transport=transport) as client:
        url = "https://api.openai.com/v1/audio/speech"
        with client.stream("POST", url, json={"model": "tts-1", "input": "Yes."}) as response:
            assert b"".join(response.iter_bytes()) == content
    assert "gen_ai.usage.input_tokens" not in spans.only()
    assert spans.only()["gen_ai.request.model"] == "tts-1"
