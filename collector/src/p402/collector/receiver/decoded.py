"""What every decoder of OTLP gives, whatever format it reads, and the bounds that hold for all of them.

A span that cannot be used is set aside by itself, with a sentence that the sender gets back; only a body that cannot
be read at all, or that holds more than the collector takes, is refused whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from p402.collector.pipeline.records import SpanRecord
from p402.vocabulary import Permanent

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_DEPTH",
    "MAX_SPANS",
    "SPAN_ID_BYTES",
    "TRACE_ID_BYTES",
    "Decoded",
    "MalformedOtlp",
    "TooLarge",
    "parent_or_none",
]

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
MAX_SPANS = 65_536
"""Spans in one request. SDKs send 512 at a time, the OpenTelemetry Collector 8,192."""
MAX_ATTRIBUTES = 1_024
"""Attributes of one span or resource; SDKs stop at 128 unless told otherwise."""
MAX_DEPTH = 16
"""Lists inside lists of an attribute; what is deeper is not followed."""


class MalformedOtlp(Permanent):
    """The body is not an OTLP request."""


class TooLarge(Permanent):
    """The request is larger than the collector takes."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The spans of one request, and a sentence for each that was rejected."""

    message: Callable[[], ExportTraceServiceRequest]
    """Gives the whole request in protobuf, less the spans that have no form there."""
    spans: list[SpanRecord] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)

    def take(self, span: SpanRecord) -> None:
        """Add the next span of the request, or reject it.

        Raises:
            TooLarge: if the request has too many.
        """
        problem = _problem(span)
        if problem is not None:
            self.reject(span.name, problem)
        elif len(self.spans) + len(self.rejected) < MAX_SPANS:
            self.spans.append(span)
        else:
            raise _too_many()

    def reject(self, name: str, problem: str) -> None:
        """Set the next span of the request aside.

        Raises:
            TooLarge: if the request has too many.
        """
        position = len(self.spans) + len(self.rejected)
        if position >= MAX_SPANS:
            raise _too_many()
        self.rejected.append(f"span {position} ({name[:64]!r}): {problem}")


def parent_or_none(span_id: bytes) -> bytes | None:
    """Give a parent's id, or None if it cannot be one; a span without a parent is a good span."""
    return span_id if len(span_id) == SPAN_ID_BYTES and any(span_id) else None


def _problem(span: SpanRecord) -> str | None:
    for name, value, size in (("trace_id", span.trace_id, TRACE_ID_BYTES), ("span_id", span.span_id, SPAN_ID_BYTES)):
        if len(value) != size:
            return f"{name} has {len(value)} bytes, it must have {size}"
        if not any(value):
            return f"{name} is all zeros, which W3C Trace Context forbids"
    for name, found in (("span", span.attributes), ("resource", span.resource)):
        if len(found) > MAX_ATTRIBUTES:
            return f"the {name} has {len(found)} attributes, at most {MAX_ATTRIBUTES} are read"
    return None


def _too_many() -> TooLarge:
    return TooLarge(f"The request has more than {MAX_SPANS} spans; send smaller batches.")
