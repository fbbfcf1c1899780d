"""A call's span where nobody but the collector looks at it: less than OpenTelemetry's own, and the same to all others."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from p402.instrumentation.call_spans import CallSpans, OwnProvider
from p402.instrumentation.metered_span import MeteredSpan
from p402.instrumentation.otlp import encodable, encode
from p402.instrumentation.server_spans import is_believed

KNOWN: dict[str, str | int | bool] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "server.port": 443,
}
ABOVE = SpanContext(0xA, 0xB, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "1")]))


def _spans() -> tuple[CallSpans, OwnProvider, list[ReadableSpan]]:
    delivered: list[ReadableSpan] = []
    provider = OwnProvider(SpanProcessor())
    return CallSpans(provider, delivered.append), provider, delivered


def _below(parent: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def test_it_is_written_as_opentelemetry_writes_it() -> None:
    spans, _, delivered = _spans()
    for here, after in ((Context(), None), (_below(ABOVE), None), (Context(), ABOVE)):
        span, _ = spans.start("chat gpt-4o", here, KNOWN, after)
        span.set_attribute("p402.stream.end", "read")
        span.set_attributes({"gen_ai.usage.input_tokens": 100, "gen_ai.response.finish_reasons": ["stop"]})
        span.set_status(Status(StatusCode.ERROR))
        span.end()
    assert all(map(encodable, delivered))
    assert [[dict(link.attributes or {}) for link in span.links] for span in delivered] == [
        [],
        [],
        [{"p402.link": "retry_of"}],
    ]
    assert ExportTraceServiceRequest.FromString(encode(delivered)) == encode_spans(delivered)


def test_it_is_the_same_span_to_those_who_only_see_its_context() -> None:
    spans, provider, [*_] = _spans()
    ours, seen = spans.start("chat gpt-4o", _below(ABOVE), KNOWN)
    theirs: Any = provider.get_tracer("another").start_span("chat", _below(ABOVE), SpanKind.CLIENT)
    assert isinstance(ours, MeteredSpan)
    assert seen is ours
    assert ours.parent == theirs.parent == ABOVE
    mine, other = seen.get_span_context(), theirs.get_span_context()
    assert (mine.trace_id, mine.is_remote, mine.trace_flags, mine.trace_state) == (
        other.trace_id,
        other.is_remote,
        other.trace_flags,
        other.trace_state,
    )


@pytest.mark.parametrize(("sampler", "flags"), [("always_on", 1), ("always_off", 0)])
def test_its_trace_is_sampled_if_the_sampler_says_so(monkeypatch: pytest.MonkeyPatch, sampler: str, flags: int) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    spans, _, delivered = _spans()
    ours, seen = spans.start("chat", Context(), KNOWN)
    assert seen.get_span_context().trace_flags & TraceFlags.SAMPLED == flags
    ours.end()
    assert len(delivered) == 1


def test_once_somebody_looks_he_sees_all_that_begins() -> None:
    spans, provider, delivered = _spans()
    memory = InMemorySpanExporter()
    spans.start("before", Context(), KNOWN)[0].end()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    spans.start("after", Context(), KNOWN)[0].end()
    assert [span.name for span in delivered] == ["before"]
    assert [span.name for span in memory.get_finished_spans()] == ["after"]


def test_it_ends_once_and_then_stays_as_it_is() -> None:
    spans, _, delivered = _spans()
    span, _ = spans.start("chat", Context(), KNOWN)
    span.set_status(StatusCode.OK)
    span.set_status(StatusCode.ERROR)
    assert span.is_recording()
    span.end(7)
    span.end(8)
    span.set_attribute("a", 1)
    span.set_attributes({"b": 2})
    span.set_status(StatusCode.ERROR)
    span.update_name("another")
    assert not span.is_recording()
    [told] = delivered
    assert (told.name, told.end_time, told.status.status_code) == ("chat", 7, StatusCode.OK)
    assert dict(told.attributes or {}) == KNOWN


def test_what_may_quote_prompts_is_not_kept() -> None:
    spans, _, delivered = _spans()
    span, _ = spans.start("chat", Context(), KNOWN)
    span.add_event("the prompt", {"prompt": "the prompt"})
    span.record_exception(ValueError("the prompt"))
    span.add_link(ABOVE, {"prompt": "the prompt"})
    span.end()
    assert b"the prompt" not in encode(delivered)
    assert b"the prompt" not in encode_spans(delivered).SerializeToString()


def test_baggage_beside_it_is_believed_as_that_beside_its_parent() -> None:
    spans, _, [*_] = _spans()
    local = SpanContext(0xA, 0xB, is_remote=False)
    for parent, believed in ((ABOVE, True), (local, False)):
        here = baggage.set_baggage("p402.department", "legal", _below(parent))
        assert is_believed(spans.start("chat", here, KNOWN)[1]) is believed
