"""A stream of which most events are not parsed tells the same as one of which all are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import INVALID_SPAN

from p402.instrumentation.body import Body
from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.hiding import HidingBody
from p402.instrumentation.providers import Answer, Dialect, RequestFacts, anthropic, gemini, ollama, openai
from p402.instrumentation.providers.openai import is_usage_event
from p402.instrumentation.shapes import Shapes, text_in_json
from support.recorded import Recorded, recorded

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ['"', "\\", '\\"', '"content":"x"', "[]", "\n\n", "é", "😀", "", '{"usage":1}', "data: ", "\ud83d"]
    ),
)
COUNTS = st.integers(0, 3)
IDS = st.sampled_from(["a", "b", None])
USAGES = st.none() | st.fixed_dictionaries({"prompt_tokens": COUNTS, "completion_tokens": COUNTS})
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": TEXTS}),
    st.fixed_dictionaries({"content": TEXTS, "reasoning": TEXTS}),
    st.fixed_dictionaries({"tool_calls": st.tuples(st.fixed_dictionaries({"function": st.fixed_dictionaries({"arguments": TEXTS})}))}),
)  # fmt: skip
COMPLETIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"id": IDS, "created": COUNTS, "model": IDS},
    optional={
        "choices": st.just([])
        | st.tuples(st.fixed_dictionaries({"delta": DELTAS, "finish_reason": st.sampled_from([None, "stop"])})),
        "usage": USAGES,
        "obfuscation": TEXTS,
        "error": st.fixed_dictionaries({"code": TEXTS}),
        "unknown": TEXTS,
    },
)
RESPONSES = st.fixed_dictionaries(
    {"type": st.sampled_from(["response.output_text.delta", "response.in_progress"]), "sequence_number": COUNTS},
    optional={
        "delta": TEXTS,
        "response": st.fixed_dictionaries(
            {"id": IDS, "output": st.lists(st.just({"content": [{"text": "whole"}]}), max_size=1)},
            optional={"status": st.sampled_from(["in_progress", "completed"]), "usage": USAGES},
        ),
    },
)
MESSAGES = st.one_of(
    st.fixed_dictionaries({"type": st.just("content_block_delta"), "delta": st.fixed_dictionaries({"text": TEXTS})}),
    st.fixed_dictionaries({"type": st.just("content_block_delta"), "delta": st.fixed_dictionaries({"partial_json": TEXTS})}),
    st.fixed_dictionaries({"type": st.just("message_delta"), "usage": st.fixed_dictionaries({"output_tokens": COUNTS})}),
    st.fixed_dictionaries({"type": st.just("content_block_start"), "content_block": st.fixed_dictionaries({"name": TEXTS, "input": st.fixed_dictionaries({"text": TEXTS})})}),
    st.just({"type": "ping"}),
)  # fmt: skip
CANDIDATES = st.fixed_dictionaries(
    {"candidates": st.tuples(st.fixed_dictionaries({"content": st.fixed_dictionaries({"parts": st.lists(st.one_of(
        st.fixed_dictionaries({"text": TEXTS}),
        st.fixed_dictionaries({"functionCall": st.fixed_dictionaries({"name": TEXTS, "args": st.fixed_dictionaries({"p": TEXTS, "text": TEXTS})})}),
    ), max_size=2)})}))},
    optional={"usageMetadata": st.fixed_dictionaries({"promptTokenCount": COUNTS}), "responseId": IDS},
)  # fmt: skip
LINES = st.fixed_dictionaries(
    {"model": IDS, "created_at": TEXTS, "response": TEXTS}, optional={"done_reason": IDS, "eval_count": COUNTS}
)
STREAMS: st.SearchStrategy[tuple[Dialect, list[dict[str, Any]]]] = st.one_of(
    *(
        st.tuples(st.just(dialect), st.lists(documents, max_size=12))
        for dialect, documents in (
            (openai, COMPLETIONS), (openai, RESPONSES), (anthropic, MESSAGES), (gemini, CANDIDATES), (ollama, LINES)
        )
    )
)  # fmt: skip


def body_of(dialect: Dialect, *, hides: bool) -> Body | HidingBody:
    facts = RequestFacts(operation="chat", model="m", stream=True)
    call = Call(INVALID_SPAN, dialect, facts, b"{}", hides_usage=hides)
    return HidingBody(call, "text/event-stream", bytes) if hides else Body(call, "text/event-stream", "")


def in_pieces(wire: bytes, sizes: list[int]) -> list[bytes]:
    pieces, turn = [], 0
    while wire:
        pieces.append(wire[: sizes[turn % len(sizes)]])
        wire, turn = wire[len(pieces[-1]) :], turn + 1
    return pieces


def read_in_full(dialect: Dialect, datas: list[bytes]) -> Answer:
    answer = Answer()
    for data in datas:
        try:
            document = json.loads(data)
        except ValueError:
            continue
        dialect.read(document, answer)
    return answer


@given(
    STREAMS,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([b"\n", b"\r\n"]),
    st.none() | st.lists(st.integers(1, 90), min_size=1, max_size=9),
)
def test_the_answer_and_what_is_shown_are_those_of_reading_in_full(
    stream: tuple[Dialect, list[dict[str, Any]]],
    ascii_only: bool,  # noqa: FBT001 - of Hypothesis
    compact: bool,  # noqa: FBT001 - of Hypothesis
    hides: bool,  # noqa: FBT001 - of Hypothesis
    end: bytes,
    sizes: list[int] | None,
) -> None:
    dialect, documents = stream
    documents = [document for document in documents for _ in range(2)]
    separators = (",", ":") if compact else (", ", ": ")
    datas = [
        json.dumps(document, ensure_ascii=ascii_only, separators=separators).encode(errors="surrogatepass")
        for document in documents
    ]
    events = [b"data: " + data + end + end for data in datas]
    body, shown = body_of(dialect, hides=hides), b""
    for piece in in_pieces(b"".join(events), sizes) if sizes else events:
        shown += body.feed(piece)
    shown += body.finish(StreamEnd.READ)
    expected = read_in_full(dialect, datas)
    answer = body.call._answer
    assert ("".join(answer.text), answer.facts()) == ("".join(expected.text), expected.facts())
    hidden = [hides and is_usage_event(document) for document in documents]
    assert shown == b"".join(event for event, gone in zip(events, hidden, strict=True) if not gone)


@pytest.mark.parametrize(
    "case", [case for case in recorded() if case.streams and "event-stream" in case.content_type], ids=lambda one: one.name
)  # fmt: skip
def test_recorded_streams_tell_the_same_when_each_event_comes_thrice(case: Recorded) -> None:
    events = [piece for piece in case.pieces() for _ in range(3)]
    datas = [piece.partition(b"data:")[2].strip() for piece in events]
    body = body_of(openai, hides=False)
    for piece in events:
        body.feed(piece)
    body.finish(StreamEnd.CLOSED)
    expected = read_in_full(openai, datas)
    assert ("".join(body.call._answer.text), body.call._answer.facts()) == ("".join(expected.text), expected.facts())


def shape_of(event: bytes, *added: str) -> Shapes:
    shapes = Shapes()
    shapes.learn(event, list(added))
    return shapes


def test_events_of_one_shape_differ_in_text_counters_and_padding() -> None:
    shapes = shape_of(b'{"created":1,"delta":{"content":"a"},"obfuscation":"xyz"}', "a")
    assert shapes.text_in(b'{"created":22,"delta":{"content":"\\"b\\u00e9"},"obfuscation":""}') == b'\\"b\\u00e9'
    for another in (
        b'{"created":1,"delta":{"content":"b"},"obfuscation":"","usage":{}}',
        b'{"created":1,"delta":{"content":"b","content":"c"},"obfuscation":""}',
        b'{"created":1.5,"delta":{"content":"b"},"obfuscation":""}',
        b'{"created":012,"delta":{"content":"b"},"obfuscation":""}',
        b'{"created":1,"delta":{"content":"b\\"},"obfuscation":""}',
        b'{"created":1,"delta":{"content":"b"},"obfuscation":"\x00"}',
    ):
        assert shapes.text_in(another) is None


def test_nothing_is_learned_where_the_text_cannot_be_told() -> None:
    two = b'{"content":"a","reasoning":"b"}'
    assert shape_of(two, "a", "b").text_in(two) is None
    other = b'{"name":"a"}'
    assert shape_of(other, "a").text_in(other) is None


def test_text_that_is_no_json_is_no_text() -> None:
    assert [text_in_json(b"a\\n"), text_in_json(b"\n"), text_in_json(b"\\x"), text_in_json(b"\xff")] == [
        "a\n", None, None, None
    ]  # fmt: skip
