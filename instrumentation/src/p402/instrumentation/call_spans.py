"""Starts the span of each call of a model: in the host's own trace where somebody sees it there, else apart from it.

Metering must not depend on sampling. A call is one span: where the host's tracing records it, that very span goes to the
collector too. Where it does not (sampler, caller's decision, OTEL_SDK_DISABLED), or nobody but us looks at what it records,
the span is one of ours (`MeteredSpan`), which goes to the collector only; the host's own context stays what it would have been.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256

from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    get_current_span,
)
from opentelemetry.trace import TracerProvider as AnyTracerProvider

from p402.instrumentation.metered_span import SCOPE, MeteredSpan
from p402.instrumentation.server_spans import believe_as
from p402.vocabulary.attributes import P402_LINK

__all__ = ["SCOPE", "CallSpans", "OwnProvider"]

_RANDOM: int = getattr(TraceFlags, "RANDOM_TRACE_ID", 0)  # newer versions say that ids are random
_Attributes = Mapping[str, str | int | bool]


class OwnProvider(TracerProvider):
    """The TracerProvider that is made where the application has none."""

    def __init__(self, ours: SpanProcessor) -> None:
        """Make it with the processor that does our work; its resource comes from OTEL_SERVICE_NAME and the like."""
        super().__init__()
        super().add_span_processor(ours)
        self.is_watched = False
        """Whether anybody else sees the spans that end."""

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Take another processor, of the application."""
        self.is_watched = True
        super().add_span_processor(span_processor)


class CallSpans:
    """Makes spans for calls, whatever the host's TracerProvider makes of them."""

    def __init__(self, provider: AnyTracerProvider, deliver: Callable[[ReadableSpan], None]) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(SCOPE)
        disabled = isinstance(self._tracer, NoOpTracer)
        self._own = provider if isinstance(provider, OwnProvider) and not disabled else None
        self._deliver = deliver
        self._ids = RandomIdGenerator()

    def start(
        self, name: str, here: Context, attributes: _Attributes, after: SpanContext | None = None
    ) -> tuple[Span, Span]:
        """Start a span of kind CLIENT; give the one to meter with, and the one that the host's tracing shall see.

        Args:
            name: of the span.
            here: the context of the call.
            attributes: that are known from the start.
            after: the span of the attempt before this one at the same call, which is linked to.
        """
        links = () if after is None else (Link(after, {P402_LINK: "retry_of"}),)
        if self._own is not None and not self._own.is_watched:
            span = self._start_unwatched(self._own, name, here, attributes, links)
            return span, span
        theirs = self._tracer.start_span(name, context=here, kind=SpanKind.CLIENT, attributes=attributes, links=links)
        if theirs.is_recording():
            if len(getattr(theirs, "attributes", attributes)) < len(attributes):  # their sampler left some out
                theirs.set_attributes(attributes)
            return theirs, theirs
        parent = get_current_span(here).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else self._ids.generate_trace_id()
        return self._metered(name, trace_id, parent, attributes, links=links), theirs

    def start_again(self, answer: str, name: str, attributes: _Attributes) -> Span:
        """Start a span of kind CLIENT that goes to the collector only, and is the same span for the same answer.

        The collector charges a span once, however often and whenever it is sent.
        """
        digest = sha256(answer.encode()).digest()
        trace_id, span_id = int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])
        return self._metered(name, trace_id, INVALID_SPAN_CONTEXT, attributes, span_id=span_id)

    def _start_unwatched(
        self, own: OwnProvider, name: str, here: Context, attributes: _Attributes, links: Sequence[Link]
    ) -> Span:
        """Start the one span that is both; whether others shall count its trace as sampled is for the sampler to say."""
        current = get_current_span(here)
        parent = current.get_span_context()
        if parent.is_valid:
            trace_id, random = parent.trace_id, parent.trace_flags & _RANDOM
        else:
            trace_id, random = self._ids.generate_trace_id(), _RANDOM
        sampling = own.sampler.should_sample(here, trace_id, name, SpanKind.CLIENT, attributes, ())
        flags = random | (TraceFlags.SAMPLED if sampling.decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT)
        state = sampling.trace_state
        span = self._metered(name, trace_id, parent, attributes, links=links, flags=flags, state=state)
        if baggage.get_all(here):
            believe_as(span, current)
        return span

    def _metered(
        self,
        name: str,
        trace_id: int,
        parent: SpanContext,
        attributes: _Attributes,
        *,
        links: Sequence[Link] = (),
        span_id: int = 0,
        flags: int = TraceFlags.DEFAULT,
        state: TraceState | None = None,
    ) -> MeteredSpan:
        context = SpanContext(trace_id, span_id or self._ids.generate_span_id(), False, TraceFlags(flags), state)  # noqa: FBT003 - its API
        above = parent if parent.is_valid else None
        return MeteredSpan(name, context, above, self._resource(), attributes, self._deliver, links)

    def _resource(self) -> Resource:
        """Give the provider's own, which changes in the child of a fork, or what the environment says."""
        return self._provider.resource if isinstance(self._provider, TracerProvider) else self._said_resource

    @cached_property
    def _said_resource(self) -> Resource:
        return Resource.create()
