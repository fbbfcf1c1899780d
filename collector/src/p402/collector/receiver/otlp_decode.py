"""OTLP bytes → spans (pure).

Source: opentelemetry-proto v1, ``ExportTraceServiceRequest``. A span with an unusable id is set aside by itself; only
a body that cannot be read at all is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from p402.collector.pipeline.records import SpanRecord
from p402.vocabulary import Permanent

__all__ = ["Decoded", "MalformedOtlp", "decode_traces"]

_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8


class MalformedOtlp(Permanent):
    """The body is not an OTLP request."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The spans of one request, and a sentence for each that was rejected."""

    spans: list[SpanRecord]
    rejected: list[str]


def decode_traces(body: bytes) -> Decoded:
    """Read an ``ExportTraceServiceRequest`` in protobuf.

    Raises:
        MalformedOtlp: if the bytes are something else.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise MalformedOtlp(
            f"The body ({len(body)} bytes) is not an ExportTraceServiceRequest in protobuf. "
            "Send OTLP with Content-Type application/x-protobuf, compressed only if Content-Encoding says so."
        ) from error
    spans: list[SpanRecord] = []
    rejected: list[str] = []
    position = 0
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                problem = _id_problem(span)
                if problem is None:
                    spans.append(_record(span, scope_spans.scope.name, resource))
                else:
                    rejected.append(f"span {position} ({span.name[:64]!r}): {problem}")
                position += 1
    return Decoded(spans, rejected)


def _id_problem(span: Span) -> str | None:
    for name, value, size in (
        ("trace_id", span.trace_id, _TRACE_ID_BYTES),
        ("span_id", span.span_id, _SPAN_ID_BYTES),
    ):
        if len(value) != size:
            return f"{name} has {len(value)} bytes, it must have {size}"
        if not any(value):
            return f"{name} is all zeros, which W3C Trace Context forbids"
    return None


def _record(span: Span, scope: str, resource: dict[str, Any]) -> SpanRecord:
    parent = span.parent_span_id
    return SpanRecord(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=parent if len(parent) == _SPAN_ID_BYTES and any(parent) else None,
        name=span.name,
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        scope=scope,
        attributes=_attributes(span.attributes),
        resource=resource,
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    if kind == "kvlist_value" or kind is None:  # nothing we read is a map
        return None
    return getattr(value, kind)
