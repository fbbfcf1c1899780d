"""Spans as a client sends them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

OWN_SCOPE = "p402.instrumentation"
MAY_2026 = 1_778_835_600_000_000_000  # 2026-05-15T09:00:00Z
_numbers = itertools.count(1)

ATTRIBUTION = {
    "p402.organisation": "acme",
    "p402.department": "legal",
    "p402.project": "contracts",
    "p402.client": "globex",
    "p402.employee": "e-1042",
    "p402.session": "review-7",
}
WORKED_EXAMPLE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-opus-4-5",
    "gen_ai.response.model": "claude-opus-4-5",
    "gen_ai.usage.input_tokens": 2847,
    "gen_ai.usage.output_tokens": 10_000,
}
"""2,847 × $5 and 10,000 × $25 a million tokens: $0.264235 at the list price of May 2026."""


@dataclass(frozen=True, kw_only=True)
class ASpan:
    """A span with ids of its own; by default the worked example, fully attributed."""

    attributes: Mapping[str, Any] = field(default_factory=lambda: {**WORKED_EXAMPLE, **ATTRIBUTION})
    trace_id: bytes = field(default_factory=lambda: next(_numbers).to_bytes(16, "big"))
    span_id: bytes = field(default_factory=lambda: next(_numbers).to_bytes(8, "big"))
    parent_span_id: bytes = b""
    scope: str = OWN_SCOPE
    started_ns: int = MAY_2026
    seconds: float = 1.5
    failed: bool = False

    @classmethod
    def of(cls, extra: Mapping[str, Any] | None = None, **fields: Any) -> ASpan:
        """The worked example with other or more attributes; None takes one away."""
        attributes = {**WORKED_EXAMPLE, **ATTRIBUTION, **(extra or {})}
        return cls(attributes={key: value for key, value in attributes.items() if value is not None}, **fields)


def request_of(spans: Sequence[ASpan], resource: Mapping[str, Any] | None = None) -> bytes:
    """The body of an export request."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.extend(_pairs(resource or {"service.name": "tests"}))
    for span in spans:
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = span.scope
        scope_spans.spans.add(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_span_id,
            name="chat claude-opus-4-5",
            start_time_unix_nano=span.started_ns,
            end_time_unix_nano=span.started_ns + int(span.seconds * 1e9) if span.started_ns else 0,
            attributes=_pairs(span.attributes),
            status=Status(code=Status.STATUS_CODE_ERROR) if span.failed else None,
        )
    return request.SerializeToString()


def _pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value: object) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case tuple():
            return AnyValue(array_value=ArrayValue(values=map(_value, value)))
        case _:
            return AnyValue(string_value=str(value))
