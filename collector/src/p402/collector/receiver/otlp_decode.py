"""OTLP in protobuf → spans (pure). Source: opentelemetry-proto v1, ``ExportTraceServiceRequest``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from p402.collector.pipeline.records import EventRecord, SpanRecord
from p402.collector.receiver.decoded import MAX_DEPTH, Decoded, MalformedOtlp, parent_or_none

__all__ = ["decode_events", "decode_traces"]


def decode_traces(body: bytes) -> Decoded:
    """Read an ``ExportTraceServiceRequest`` in protobuf.

    Raises:
        MalformedOtlp: if the bytes are something else.
        TooLarge: if it has too many spans.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise _malformed(body, "ExportTraceServiceRequest") from error
    decoded = Decoded(lambda: request)
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                decoded.take(_record(span, scope_spans.scope.name, resource))
    return decoded


def decode_events(body: bytes) -> list[EventRecord]:
    """Read the log records of an ``ExportLogsServiceRequest`` in protobuf.

    Raises:
        MalformedOtlp: if the bytes are something else.
    """
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise _malformed(body, "ExportLogsServiceRequest") from error
    return [
        EventRecord(
            name=record.event_name,
            at_ns=record.time_unix_nano or record.observed_time_unix_nano,
            trace_id=record.trace_id,
            span_id=record.span_id,
            scope=scope_logs.scope.name,
            attributes=_attributes(record.attributes),
            resource=_attributes(resource_logs.resource.attributes),
        )
        for resource_logs in request.resource_logs
        for scope_logs in resource_logs.scope_logs
        for record in scope_logs.log_records
    ]


def _malformed(body: bytes, message: str) -> MalformedOtlp:
    return MalformedOtlp(
        f"The body ({len(body)} bytes) is not an {message} in protobuf. "
        "Send OTLP with Content-Type application/x-protobuf, compressed only if Content-Encoding says so."
    )


def _record(span: Span, scope: str, resource: dict[str, Any]) -> SpanRecord:
    return SpanRecord(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=parent_or_none(span.parent_span_id),
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


def _value(value: AnyValue, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        within = value.array_value.values
        return tuple(_value(item, depth + 1) for item in within) if depth < MAX_DEPTH else None
    if kind == "kvlist_value" or kind is None:  # nothing we read is a map
        return None
    return getattr(value, kind)
