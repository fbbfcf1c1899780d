"""A request as it is sent on: without content, without what a backend would refuse it for, and not in circles (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.pipeline.records import Forwarded
from p402.collector.receiver.decoded import TRACE_ID_BYTES, parent_or_none
from p402.exporters.otlp import strip

__all__ = ["HOPS", "Forwarding"]

HOPS = "p402.forwarded.hops"
"""Attribute of a resource: how many collectors have sent its spans on."""

_MOST_HOPS = 4


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What is sent on, and where to."""

    content: bool
    """Whether prompts, answers and texts of exceptions may leave."""
    backends: tuple[str, ...]
    """Names of those that it is for."""

    def of(self, request: ExportTraceServiceRequest) -> Forwarded | None:
        """Make what is kept for forwarding; changes the request. None if nothing of it is to be sent on."""
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for place in reversed(range(len(scope_spans.spans))):
                    span = scope_spans.spans[place]
                    if _has_ids(span):
                        _drop_wrong_references(span)
                    else:
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


def _has_ids(named: Span | Span.Link) -> bool:
    trace_id = named.trace_id
    return len(trace_id) == TRACE_ID_BYTES and any(trace_id) and parent_or_none(named.span_id) is not None


def _drop_wrong_references(span: Span) -> None:
    """Drop the ids of other spans that cannot be any: a backend would refuse the whole batch for one."""
    if span.parent_span_id and parent_or_none(span.parent_span_id) is None:
        span.ClearField("parent_span_id")
    for place in reversed(range(len(span.links))):
        if not _has_ids(span.links[place]):
            del span.links[place]


def _count_hop(resource: Resource) -> int:
    """Count that these spans were sent on once more."""
    for pair in resource.attributes:
        if pair.key == HOPS:
            pair.value.int_value += 1
            return pair.value.int_value
    resource.attributes.add(key=HOPS).value.int_value = 1
    return 1
