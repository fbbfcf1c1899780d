"""Events come out the same however the network splits their bytes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped] # it has no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.instrumentation.decoding import decoder
from p402.instrumentation.sse import EventParser, read_event

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
PAYLOADS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30).map(str.encode)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Bytes of a stream with one kind of line end, and the data of its events."""
    end = draw(LINE_ENDS)
    wire, datas = b"", []
    for lines in draw(st.lists(st.lists(PAYLOADS, min_size=1, max_size=3), max_size=5)):
        wire += b"event: x" + end + b": comment" + end
        wire += b"".join(b"data: " + line + end for line in lines) + end
        datas.append(b"\n".join(lines))
    return wire, datas


@given(streams(), st.lists(st.integers(min_value=1, max_value=7), min_size=1, max_size=50))
def test_any_split_gives_the_same_events_and_bytes(stream: tuple[bytes, list[bytes]], sizes: list[int]) -> None:
    wire, expected = stream
    parser = EventParser()
    events, rest, turn = [], wire, 0
    while rest:
        size = sizes[turn % len(sizes)]
        events += parser.feed(rest[:size])
        rest, turn = rest[size:], turn + 1
    left = parser.rest()
    assert b"".join(event.raw for event in events) + left == wire
    datas = [event.data for event in events] + ([read_event(left).data] if left else [])
    assert [data for data in datas if data] == [data for data in expected if data]


def test_event_of_openai_is_read_from_two_halves() -> None:
    parser = EventParser()
    assert parser.feed(b'data: {"a"') == []
    [event] = parser.feed(b":1}\n\ndata: [DO")
    assert event.data == b'{"a":1}'
    assert parser.rest() == b"data: [DO"


def test_byte_order_mark_is_no_part_of_the_first_event() -> None:
    [event] = EventParser().feed(b"\xef\xbb\xbfdata: 1\n\n")
    assert event.data == b"1"


def test_endless_event_is_given_back() -> None:
    parser = EventParser(max_event_bytes=10)
    [event] = parser.feed(b"data: 1\n\n" + b"x" * 11)
    assert (event.data, parser.overflowed, parser.rest()) == (b"1", True, b"x" * 11)


def _raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", _raw_deflate),
        ("br", brotli.compress),
        ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    ],
)
@given(data=st.binary(max_size=200), size=st.integers(min_value=2, max_value=9))
def test_encodings_are_undone_piece_by_piece(
    encoding: str, encode: Callable[[bytes], bytes], data: bytes, size: int
) -> None:
    decode = decoder(encoding)
    assert decode is not None
    encoded = encode(data)
    assert b"".join(decode(encoded[start : start + size]) for start in range(0, len(encoded), size)) == data


def test_unknown_encoding_has_no_decoder() -> None:
    assert decoder("rot13") is None
