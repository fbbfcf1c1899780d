"""A request as it is sent on: without content, without spans that were rejected, and not in circles (pure)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from p402.collector.pipeline.records import Forwarded
from p402.collector.receiver.decoded import SPAN_ID_BYTES, TRACE_ID_BYTES, MalformedOtlp
from p402.exporters.otlp import strip

__all__ = ["HOPS", "Forwarding", "message_of_json"]

HOPS = "p402.forwarded.hops"
"""Attribute of a resource: how many collectors have sent its spans on."""

_MOST_HOPS = 4
_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What is sent on."""

    content: bool
    """Whether prompts, answers and texts of exceptions may leave."""

    def of(self, request: ExportTraceServiceRequest) -> Forwarded | None:
        """Make what is kept for forwarding; changes the request. None if nothing of it is to be sent on."""
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for place in reversed(range(len(scope_spans.spans))):
                    span = scope_spans.spans[place]
                    if len(span.trace_id) != TRACE_ID_BYTES or len(span.span_id) != SPAN_ID_BYTES:
                        del scope_spans.spans[place]
        for place in reversed(range(len(request.resource_spans))):
            if _count_hop(request.resource_spans[place].resource) > _MOST_HOPS:
                del request.resource_spans[place]
        spans = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
        if not spans:
            return None
        if not self.content:
            strip(request)
        return Forwarded(request.SerializeToString(), spans)


def message_of_json(body: bytes) -> ExportTraceServiceRequest:
    """Read a request in OTLP's JSON, whose ids are in hexadecimal, where protobuf's own JSON has base64.

    Raises:
        MalformedOtlp: if a part that charging does not look at is not as it must be.
    """
    try:
        return ParseDict(_with_base64(json.loads(body)), ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, RecursionError) as error:
        raise MalformedOtlp(f"The JSON is not an ExportTraceServiceRequest: {str(error)[:200]}.") from error


def _with_base64(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in _IDS and isinstance(item, str)
            else _with_base64(item)
            for key, item in value.items()
        }
    return [_with_base64(item) for item in value] if isinstance(value, list) else value


def _count_hop(resource: Resource) -> int:
    """Count that these spans were sent on once more."""
    for pair in resource.attributes:
        if pair.key == HOPS:
            pair.value.int_value += 1
            return pair.value.int_value
    resource.attributes.add(key=HOPS).value.int_value = 1
    return 1
