"""What we write by hand is what OpenTelemetry's exporter would have sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from p402.instrumentation.exporter import CallExporter
from p402.instrumentation.otlp import encodable, encode
from support.misbehaving_collector import Behaviour, misbehaving_collector

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
ONE = st.one_of(TEXTS, st.booleans(), INTEGERS, st.floats(allow_nan=False))
VALUES = st.one_of(ONE, st.lists(TEXTS, max_size=3), st.lists(INTEGERS, max_size=3), st.binary(max_size=9))
ATTRIBUTES = st.dictionaries(TEXTS.filter(bool), VALUES, max_size=30)
PARENTS = st.builds(
    SpanContext,
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.just(TraceFlags(TraceFlags.SAMPLED)),
    trace_state=st.sampled_from([TraceState(), TraceState([("a", "1"), ("b", "2")])]),
)


RESOURCES = st.builds(Resource, ATTRIBUTES, st.sampled_from(["", "https://schema/1"]))


class Told(NamedTuple):
    """What a span is made from."""

    resource: int
    scope: tuple[str, str | None]
    parent: SpanContext | None
    name: str
    kind: SpanKind
    attributes: dict[str, Any]
    times: tuple[int, int]
    error: str | None
    links: list[Link]


SPANS = st.builds(
    Told,
    resource=st.integers(0, 1),
    scope=st.sampled_from([("p402.instrumentation", None), ("p402.instrumentation", "1.2"), ("another", None)]),
    parent=st.none() | PARENTS,
    name=TEXTS,
    kind=st.sampled_from(SpanKind),
    attributes=ATTRIBUTES,
    times=st.tuples(st.integers(0, 2**63), st.integers(0, 2**63)),
    error=st.none() | TEXTS,
    links=st.lists(st.builds(Link, PARENTS, ATTRIBUTES), max_size=2),
)


@given(st.tuples(RESOURCES, RESOURCES), st.lists(SPANS, min_size=1, max_size=5))
def test_a_batch_is_written_as_opentelemetry_writes_it(resources: tuple[Resource, ...], told: list[Told]) -> None:
    tracers = [TracerProvider(resource=resource, id_generator=Counting()) for resource in resources]
    memory = InMemorySpanExporter()
    for provider in tracers:
        provider.add_span_processor(SimpleSpanProcessor(memory))
    for one in told:
        here = set_span_in_context(NonRecordingSpan(one.parent)) if one.parent else None
        tracer = tracers[one.resource].get_tracer(*one.scope)
        span = tracer.start_span(one.name, here, one.kind, one.attributes, one.links, start_time=one.times[0])
        if one.error is not None:
            span.set_status(Status(StatusCode.ERROR, one.error))
        span.end(one.times[1])
    spans = memory.get_finished_spans()
    assert ExportTraceServiceRequest.FromString(encode(spans)) == _regrouped(spans)


class Counting(IdGenerator):
    """Ids without chance."""

    def __init__(self) -> None:
        self._next = 0

    def generate_span_id(self) -> int:
        self._next += 1
        return self._next

    generate_trace_id = generate_span_id


def _regrouped(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    """Encode as OpenTelemetry does; resources that are equal but not the same are two here."""
    request = ExportTraceServiceRequest()
    places = dict.fromkeys((id(span.resource), id(span.instrumentation_scope)) for span in spans)
    for place in places:
        alike = [span for span in spans if (id(span.resource), id(span.instrumentation_scope)) == place]
        request.resource_spans.extend(encode_spans(alike).resource_spans)
    return request


def test_span_with_events_or_links_that_were_dropped_is_left_to_opentelemetry() -> None:
    tracer = TracerProvider(span_limits=SpanLimits(max_links=1)).get_tracer("p402.instrumentation")
    plain: Any = tracer.start_span("chat")
    eventful: Any = tracer.start_span("chat")
    eventful.add_event("something")
    link = Link(plain.get_span_context())
    linked: Any = tracer.start_span("chat", links=[link])
    with_too_many: Any = tracer.start_span("chat", links=[link, link])
    assert [encodable(span) for span in (plain, linked, eventful, with_too_many)] == [True, True, False, False]


def test_text_that_is_no_unicode_costs_only_its_letters() -> None:
    [resource] = ExportTraceServiceRequest.FromString(encode(_one_call())).resource_spans
    told = {one.key: one.value.string_value for one in resource.scope_spans[0].spans[0].attributes}
    assert told == {"a": "x?", "b": "y"}


def test_the_exporter_sends_what_we_write() -> None:
    """The name that is exchanged is still there in the installed version."""
    spans = _one_call()
    with misbehaving_collector(Behaviour.GOOD) as collector:
        assert CallExporter(f"{collector.url}/v1/traces").export(spans) is SpanExportResult.SUCCESS
    assert collector.bodies == [encode(spans)]


def _one_call() -> Sequence[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("p402.instrumentation").start_span("chat", attributes={"a": "x\ud800", "b": "y"}).end()
    return memory.get_finished_spans()
