"""Span processors: attribution onto every span, and our spans to the collector."""

from __future__ import annotations

from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from p402.instrumentation.attribution import labels
from p402.instrumentation.delivery import Delivery
from p402.instrumentation.guard import guard
from p402.instrumentation.metered_span import SCOPE
from p402.instrumentation.peers import TrustedPeers
from p402.instrumentation.server_spans import judge

__all__ = ["AttributionProcessor", "CollectorProcessor", "Switch"]


class AttributionProcessor(SpanProcessor):
    """Writes the attribution of its context onto each span that starts: ours, and those of other instrumentations."""

    def __init__(self, trusted_peers: TrustedPeers) -> None:
        self._trusted_peers = trusted_peers

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add the levels that are known and that the span does not carry yet."""
        with guard("attributing a span"):
            ours = _is_ours(span)  # these have it from the start
            if ours and not baggage.get_all(parent_context):
                return  # nor is there anything below them to believe
            believed = judge(span, trace.get_current_span(parent_context), self._trusted_peers)
            if ours:
                return
            present = span.attributes or {}
            for name, value in labels(parent_context, with_baggage=believed).items():
                if name not in present:
                    span.set_attribute(name, value)


class CollectorProcessor(SpanProcessor):
    """Hands our own spans, and no others, to the delivery: others may carry prompts, and tell of the same calls.

    Those that are sampled it leaves out if ``sampled`` is false, because OpenTelemetry's own exporter sends them to the
    same collector.
    """

    def __init__(self, delivery: Delivery, *, sampled: bool = True) -> None:
        self._delivery = delivery
        self._sampled = sampled

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span if it is ours."""
        with guard("queueing a span"):
            if _is_ours(span) and (self._sampled or span.context is None or not span.context.trace_flags.sampled):
                self._delivery.put(span)

    def shutdown(self) -> None:
        """Send what is queued, but do not hold up the exit of the host for long if the collector is away."""
        self._delivery.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued; the exporter's own timeout bounds it."""
        del timeout_millis
        self._delivery.flush()
        return True


def _is_ours(span: ReadableSpan) -> bool:
    return span.instrumentation_scope is not None and span.instrumentation_scope.name == SCOPE


class Switch(SpanProcessor):
    """Stands for our processors in a TracerProvider, which can add processors but not remove them."""

    def __init__(self) -> None:
        self._processors: tuple[SpanProcessor, ...] = ()

    def turn_on(self, *processors: SpanProcessor) -> None:
        """Pass everything to these from now on."""
        self._processors = processors

    def turn_off(self) -> None:
        """Send what is queued, shut the processors down and forget them."""
        processors, self._processors = self._processors, ()
        for processor in processors:
            with guard("shutting down a span processor"):
                processor.shutdown()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass it on."""
        for processor in self._processors:
            processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Pass it on."""
        for processor in self._processors:
            processor.on_end(span)

    def shutdown(self) -> None:
        """End with the TracerProvider."""
        self.turn_off()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued."""
        flushed = [processor.force_flush(timeout_millis) for processor in self._processors]
        return all(flushed)
