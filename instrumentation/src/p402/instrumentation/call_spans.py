"""Starts the span of each call of a model: in the host's own trace where that is recorded, else apart from it.

Metering must not depend on sampling. A call is one span: where the host's tracing records it, that very span goes to the
collector too. Where it does not (sampler, caller's decision, OTEL_SDK_DISABLED), the span is made by a TracerProvider of
ours, which records everything and sends to the collector only; the host's own context stays what it would have been.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.trace import TracerProvider as AnyTracerProvider

__all__ = ["SCOPE", "CallSpans"]

SCOPE = "p402.instrumentation"
"""The instrumentation scope of our spans."""


class CallSpans:
    """Makes spans for calls, whatever the host's TracerProvider makes of them."""

    def __init__(self, provider: AnyTracerProvider, to_collector: SpanProcessor) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(SCOPE)
        self._to_collector = to_collector
        self._answer_ids = _AnswerIds()

    def start(self, name: str, here: Context, attributes: Mapping[str, str | int | bool]) -> tuple[Span, Span]:
        """Start a span of kind CLIENT; give the one to meter with, and the one that the host's tracing shall see."""
        theirs = self._tracer.start_span(name, context=here, kind=SpanKind.CLIENT, attributes=attributes)
        if theirs.is_recording():
            if len(getattr(theirs, "attributes", attributes)) < len(attributes):  # their sampler left some out
                theirs.set_attributes(attributes)
            return theirs, theirs
        return self._own_tracer.start_span(name, context=here, kind=SpanKind.CLIENT, attributes=attributes), theirs

    def start_again(self, answer: str, name: str, attributes: Mapping[str, str | int | bool]) -> Span:
        """Start a span of kind CLIENT that goes to the collector only, and is the same span for the same answer.

        The collector charges a span once, however often and whenever it is sent. For one thread at a time.
        """
        self._answer_ids.answer = answer
        return self._answer_tracer.start_span(name, context=Context(), kind=SpanKind.CLIENT, attributes=attributes)

    @cached_property
    def _own_tracer(self) -> Tracer:
        return self._metering_tracer(None)

    @cached_property
    def _answer_tracer(self) -> Tracer:
        return self._metering_tracer(self._answer_ids)

    def _metering_tracer(self, ids: IdGenerator | None) -> Tracer:
        resource = self._provider.resource if isinstance(self._provider, TracerProvider) else Resource.create()
        own = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False, id_generator=ids)
        own._disabled = False  # noqa: SLF001 - OTEL_SDK_DISABLED is not for metering, and there is no other way to say so
        own.add_span_processor(self._to_collector)
        return own.get_tracer(SCOPE)


class _AnswerIds(IdGenerator):
    """Makes the ids of a span from what it is about."""

    answer = ""

    def generate_trace_id(self) -> int:
        return int.from_bytes(self._digest()[:16])

    def generate_span_id(self) -> int:
        return int.from_bytes(self._digest()[16:24])

    def _digest(self) -> bytes:
        return sha256(self.answer.encode()).digest()
