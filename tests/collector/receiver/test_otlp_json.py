"""OTLP in JSON to spans: the same spans as from protobuf, whatever way the sender writes numbers and ids."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import astuple
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.pipeline.records import SpanRecord
from p402.collector.receiver.decoded import MAX_ATTRIBUTES, MAX_DEPTH, MAX_SPANS, MalformedOtlp, TooLarge
from p402.collector.receiver.otlp_decode import decode_traces
from p402.collector.receiver.otlp_json import decode_events_json, decode_traces_json
from support.otlp import ASpan, request_of

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def span(**fields: Any) -> SpanRecord:
    """The one span of a request, with these fields beside its ids."""
    [decoded] = decode_traces_json(request({"traceId": TRACE_ID, "spanId": SPAN_ID, **fields})).spans
    return decoded


def request(*spans: object, resource: object = None) -> bytes:
    scope_spans = [{"scope": {"name": "vendor.sdk"}, "spans": list(spans)}]
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scope_spans}]}).encode()


def attribute(value: object) -> Any:
    """What becomes of an attribute with this value."""
    return span(attributes=[{"key": "key", "value": value}]).attributes["key"]


def rejection(**fields: Any) -> str:
    decoded = decode_traces_json(request({"traceId": TRACE_ID, "spanId": SPAN_ID, "name": "chat", **fields}))
    assert decoded.spans == []
    [sentence] = decoded.rejected
    return sentence.removeprefix("span 0 ('chat'): ")


def as_json(protobuf: bytes) -> bytes:
    """The same request as OTLP writes it in JSON: protobuf's own mapping, but ids in hexadecimal."""
    message: Any = MessageToDict(ExportTraceServiceRequest.FromString(protobuf))
    for resource_spans in message.get("resourceSpans", []):
        for scope_spans in resource_spans.get("scopeSpans", []):
            for one in scope_spans.get("spans", []):
                for name in {"traceId", "spanId", "parentSpanId"} & set(one):
                    one[name] = base64.b64decode(one[name]).hex()
                if "status" in one:
                    one["status"]["code"] = 2  # OTLP writes enums as numbers
    return json.dumps(message).encode()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = texts | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans() | st.binary(max_size=20)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
spans = st.builds(
    ASpan,
    attributes=st.dictionaries(texts, values, max_size=6),
    trace_id=st.binary(min_size=16, max_size=16) | st.binary(max_size=17),
    span_id=st.binary(min_size=8, max_size=8) | st.binary(max_size=9),
    parent_span_id=st.binary(max_size=9),
    scope=texts,
    started_ns=st.integers(0, 2**63),
    seconds=st.integers(0, 1000).map(float),
    failed=st.booleans(),
)


@given(st.lists(spans, max_size=4), st.dictionaries(texts, values, max_size=3))
def test_the_same_request_in_protobuf_and_in_json_gives_the_same_spans(
    sent: list[ASpan], resource: dict[str, Any]
) -> None:
    body = request_of(sent, resource)
    expected, found = decode_traces(body), decode_traces_json(as_json(body))
    assert [astuple(one) for one in found.spans] == [astuple(one) for one in expected.spans]
    assert [kinds(one) for one in found.spans] == [kinds(one) for one in expected.spans]
    assert len(found.rejected) == len(expected.rejected)
    assert found.message() == expected.message()


def kinds(found: SpanRecord) -> dict[str, type]:
    """1 and 1.0 and True are equal; their types are not."""
    return {name: type(value) for name, value in found.attributes.items()}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=100) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused_as_malformed(body: bytes) -> None:
    with suppress(MalformedOtlp):
        decode_traces_json(body).message()


VALUE_KINDS = ("stringValue", "intValue", "doubleValue", "boolValue", "bytesValue", "arrayValue", "kvlistValue")


@given(
    st.dictionaries(st.sampled_from([field.json_name for field in Span.DESCRIPTOR.fields]), json_values, max_size=8),
    st.dictionaries(st.sampled_from(VALUE_KINDS), json_values, min_size=1, max_size=2),
)
def test_a_span_with_any_fields_is_taken_or_rejected_by_itself(fields: dict[str, Any], value: dict[str, Any]) -> None:
    good = {"traceId": TRACE_ID, "spanId": SPAN_ID}
    odd = {**good, "attributes": [{"key": "odd", "value": value}]}
    decoded = decode_traces_json(request(fields, odd, good))
    assert len(decoded.spans) + len(decoded.rejected) == 3
    assert decoded.spans[-1].key == bytes.fromhex(TRACE_ID + SPAN_ID)
    sent_on = decoded.message().resource_spans[0].scope_spans[0].spans
    assert sent_on[-1] == Span(trace_id=bytes.fromhex(TRACE_ID), span_id=bytes.fromhex(SPAN_ID))
    for one in decoded.spans:
        json.dumps(astuple(one), default=bytes.hex).encode()


@given(st.text(st.sampled_from("\ud83d\ude00é\\uD"), max_size=8))
def test_half_a_character_does_not_keep_a_span_from_being_stored(name: str) -> None:
    stored = span(name=name).name
    assert stored == name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"traceId": TRACE_ID.upper(), "spanId": SPAN_ID.upper()}, ("trace_id", bytes.fromhex(TRACE_ID))),
        ({"parentSpanId": "00F067AA0BA902B7"}, ("parent_span_id", bytes.fromhex("00f067aa0ba902b7"))),
        ({"parentSpanId": ""}, ("parent_span_id", None)),
        ({"parentSpanId": "0000000000000000"}, ("parent_span_id", None)),
        ({"parentSpanId": "no hexadecimal"}, ("parent_span_id", None)),
        ({"startTimeUnixNano": "1778835600000000001"}, ("started_ns", 1778835600000000001)),
        ({"startTimeUnixNano": 1778835600000000001}, ("started_ns", 1778835600000000001)),
        ({"startTimeUnixNano": 1.7788356e18}, ("started_ns", 1778835600000000000)),
        ({"startTimeUnixNano": None}, ("started_ns", 0)),
        ({"status": {"code": 2}}, ("failed", True)),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, ("failed", True)),
        ({"status": {"code": 1}}, ("failed", False)),
        ({"status": {}}, ("failed", False)),
        ({"events": 7, "aFieldOfTomorrow": {"x": []}}, ("scope", "vendor.sdk")),
    ],
)
def test_a_field_is_read_however_it_is_written(fields: dict[str, Any], expected: tuple[str, object]) -> None:
    name, value = expected
    assert getattr(span(**fields), name) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": "text"}, "text"),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 2847}, 2847),
        ({"intValue": 2847.0}, 2847),
        ({"doubleValue": 7}, 7.0),
        ({"doubleValue": "0.5"}, 0.5),
        ({"doubleValue": "-Infinity"}, float("-inf")),
        ({"boolValue": False}, False),
        ({"bytesValue": "AP8="}, b"\x00\xff"),
        ({"bytesValue": "-_8"}, b"\xfb\xff"),
        ({"arrayValue": {"values": [{"intValue": 1}, {}, {"arrayValue": {}}]}}, (1, None, ())),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}}, None),
        ({"doubleValue": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_an_attribute_keeps_its_kind(value: object, expected: object) -> None:
    assert attribute(value) == expected
    assert type(attribute(value)) is type(expected)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"traceId": ""}, "trace_id has 0 bytes, it must have 16"),
        ({"traceId": "00" * 16}, "trace_id is all zeros, which W3C Trace Context forbids"),
        ({"traceId": "CvdlGRbNQ92ESOshHIAxnA=="}, "traceId is not hexadecimal"),
        ({"startTimeUnixNano": "soon"}, "startTimeUnixNano is not an integer"),
        ({"startTimeUnixNano": -1}, "startTimeUnixNano does not fit in 64 bits"),
        ({"endTimeUnixNano": True}, "endTimeUnixNano is not an integer"),
        ({"status": "failed"}, "status is not an object"),
        ({"attributes": {"key": "value"}}, "attributes is not a list of objects"),
        ({"attributes": [{"key": "n", "value": {"intValue": 2**63}}]}, "intValue does not fit in 64 bits"),
        ({"attributes": [{"key": "n", "value": {"intValue": 0.5}}]}, "intValue is not an integer"),
        ({"attributes": [{"key": "n", "value": {"boolValue": "yes"}}]}, "boolValue is neither true nor false"),
        ({"attributes": [{"key": "n", "value": {"bytesValue": "%"}}]}, "bytesValue is not base64"),
        ({"attributes": [{"key": "n", "value": "text"}]}, "value is not an object"),
    ],
)
def test_a_span_that_is_not_as_the_format_says_is_rejected_with_the_reason(
    fields: dict[str, Any], sentence: str
) -> None:
    assert rejection(**fields) == sentence


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is not JSON in UTF-8"),
        (b"garbage", "is not JSON in UTF-8"),
        (b'{"resourceSpans": []', "is not JSON in UTF-8"),
        (b'"\xff"', "is not JSON in UTF-8"),
        (b'"\xed\xa0\x80"', "is not JSON in UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "is not JSON in UTF-8"),
        (b"[]", "must be an object"),
        (b'{"resourceSpans": {}}', "resourceSpans is not a list of objects"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [1]}]}]}', "spans is not a list of objects"),
    ],
)
def test_what_is_no_request_is_refused_whole(body: bytes, said: str) -> None:
    with pytest.raises(MalformedOtlp, match=said):
        decode_traces_json(body)


@pytest.mark.parametrize("body", [b"{}", b'{"resourceSpans": null}', b'{"resourceSpans": [{"scopeSpans": [{}]}]}'])
def test_a_request_may_be_empty(body: bytes) -> None:
    decoded = decode_traces_json(body)
    assert (decoded.spans, decoded.rejected) == ([], [])


def test_both_formats_have_the_same_bounds() -> None:
    many = ASpan(attributes={f"a{number}": 1 for number in range(MAX_ATTRIBUTES + 1)})
    enough = ASpan(attributes={f"a{number}": 1 for number in range(MAX_ATTRIBUTES)})
    deep: object = "x"
    for _ in range(MAX_DEPTH + 1):
        deep = (deep,)
    body = request_of([many, enough, ASpan(attributes={"deep": deep})])
    for decoded in (decode_traces(body), decode_traces_json(as_json(body))):
        assert len(decoded.spans) == 2
        assert decoded.rejected[0].endswith("the span has 1025 attributes, at most 1024 are read")
        assert "x" not in repr(decoded.spans[1].attributes["deep"])
        assert repr(decoded.spans[1].attributes["deep"]).count("(") == MAX_DEPTH


def test_a_request_with_too_many_spans_is_refused_whole_in_both_formats() -> None:
    body = ExportTraceServiceRequest()
    scope_spans = body.resource_spans.add().scope_spans.add()
    for _ in range(MAX_SPANS):
        scope_spans.spans.add()
    decode_traces(body.SerializeToString())
    decode_traces_json(request(*({} for _ in range(MAX_SPANS))))
    scope_spans.spans.add()
    with pytest.raises(TooLarge, match=f"more than {MAX_SPANS} spans"):
        decode_traces(body.SerializeToString())
    with pytest.raises(TooLarge, match=f"more than {MAX_SPANS} spans"):
        decode_traces_json(request(*({} for _ in range(MAX_SPANS + 1))))


def test_names_of_events_are_read_from_logs() -> None:
    records = [{"eventName": "gen_ai.evaluation.result"}, {"body": {"stringValue": "a line"}}]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    assert [event.name for event in decode_events_json(body)] == ["gen_ai.evaluation.result", ""]
    with pytest.raises(MalformedOtlp, match="logRecords is not a list"):
        decode_events_json(b'{"resourceLogs": [{"scopeLogs": [{"logRecords": 1}]}]}')
