"""OTLP bytes to spans."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from p402.collector.receiver.decoded import MalformedOtlp
from p402.collector.receiver.otlp_decode import decode_traces
from support.otlp import MAY_2026, ASpan, request_of

TRACE_ID, SPAN_ID = b"\x01" * 16, b"\x02" * 8
VALID = request_of([ASpan(trace_id=TRACE_ID, span_id=SPAN_ID), ASpan(trace_id=TRACE_ID, span_id=b"\x03" * 8)])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_as_malformed(body: bytes) -> None:
    with suppress(MalformedOtlp):
        decode_traces(body)


@given(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_request_is_read_or_refused_as_malformed(at: int, damage: bytes) -> None:
    with suppress(MalformedOtlp):
        decode_traces(VALID[:at] + damage + VALID[at + len(damage) :])


@pytest.mark.parametrize("body", [b"{}", b"garbage", VALID[:-1], b"\x0a\xff\xff\xff\xff\x0f"])
def test_what_is_no_request_is_refused_with_what_to_send(body: bytes) -> None:
    with pytest.raises(MalformedOtlp, match=r"Send OTLP with Content-Type application/x-protobuf"):
        decode_traces(body)


def test_an_empty_body_is_a_request_without_spans() -> None:
    decoded = decode_traces(b"")
    assert (decoded.spans, decoded.rejected) == ([], [])


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ({"trace_id": b""}, "trace_id has 0 bytes, it must have 16"),
        ({"trace_id": b"\x01" * 15}, "trace_id has 15 bytes, it must have 16"),
        ({"trace_id": b"\x01" * 17}, "trace_id has 17 bytes, it must have 16"),
        ({"trace_id": bytes(16)}, "trace_id is all zeros, which W3C Trace Context forbids"),
        ({"span_id": b""}, "span_id has 0 bytes, it must have 8"),
        ({"span_id": b"\x01" * 7}, "span_id has 7 bytes, it must have 8"),
        ({"span_id": bytes(8)}, "span_id is all zeros, which W3C Trace Context forbids"),
    ],
)
def test_a_span_without_a_usable_id_is_rejected_by_itself(ids: dict[str, Any], sentence: str) -> None:
    good = ASpan()
    decoded = decode_traces(request_of([good, ASpan(**ids), ASpan()]))
    assert len(decoded.spans) == 2
    assert decoded.spans[0].key == good.trace_id + good.span_id
    assert decoded.rejected == [f"span 1 ('chat claude-opus-4-5'): {sentence}"]


def test_a_span_arrives_as_it_was_sent() -> None:
    sent = ASpan(
        attributes={"p402.department": "legal"}, trace_id=TRACE_ID, span_id=SPAN_ID, parent_span_id=b"\x09" * 8,
        scope="vendor.sdk", failed=True,
    )  # fmt: skip
    [span] = decode_traces(request_of([sent], {"service.name": "shop"})).spans
    assert (span.trace_id, span.span_id, span.parent_span_id) == (TRACE_ID, SPAN_ID, b"\x09" * 8)
    assert (span.scope, span.failed, span.name) == ("vendor.sdk", True, "chat claude-opus-4-5")
    assert (span.started_ns, span.ended_ns) == (MAY_2026, MAY_2026 + 1_500_000_000)
    assert (dict(span.attributes), dict(span.resource)) == ({"p402.department": "legal"}, {"service.name": "shop"})


@pytest.mark.parametrize("parent", [b"", bytes(8), b"\x01" * 5])
def test_a_parent_that_cannot_be_one_is_none(parent: bytes) -> None:
    [span] = decode_traces(request_of([ASpan(parent_span_id=parent)])).spans
    assert span.parent_span_id is None


@pytest.mark.parametrize("value", ["text", True, False, 7, -7, 2**63 - 1, 0.5, b"\x00\xff", ("a", 1, (2.5, b"b")), ()])
def test_an_attribute_keeps_its_kind(value: object) -> None:
    [span] = decode_traces(request_of([ASpan(attributes={"key": value})])).spans
    assert span.attributes["key"] == value
    assert type(span.attributes["key"]) is type(value)


def test_an_attribute_that_is_a_map_or_nothing_is_none() -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=TRACE_ID, span_id=SPAN_ID)
    span.attributes.add(key="map").value.kvlist_value.values.add(key="inner").value.int_value = 1
    span.attributes.add(key="nothing")
    [decoded] = decode_traces(request.SerializeToString()).spans
    assert dict(decoded.attributes) == {"map": None, "nothing": None}


def test_lists_nested_without_end_are_refused_and_not_followed() -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=TRACE_ID, span_id=SPAN_ID)
    value = span.attributes.add(key="deep").value
    for _ in range(40):
        value = value.array_value.values.add()
    assert len(decode_traces(request.SerializeToString()).spans) == 1
    for _ in range(400):
        value = value.array_value.values.add()
    with pytest.raises(MalformedOtlp):
        decode_traces(request.SerializeToString())
