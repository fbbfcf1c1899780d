"""Span processors: attribution onto every span, and the spans of model calls to the collector."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from p402.instrumentation.attribution import labels
from p402.instrumentation.guard import guard

__all__ = ["AttributionProcessor", "GenAiSpanProcessor", "Switch"]


_EXIT_MILLISECONDS = 3_000


class AttributionProcessor(SpanProcessor):
    """Writes the attribution of its context onto each span that starts: ours, and those of other instrumentations."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add the levels that are known and that the span does not carry yet."""
        with guard("attributing a span"):
            present = span.attributes or {}
            for name, value in labels(parent_context).items():
                if name not in present:
                    span.set_attribute(name, value)


class GenAiSpanProcessor(BatchSpanProcessor):
    """Exports, in batches and in the background, the spans that have ``gen_ai.*`` attributes, and no others."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span if it tells of a model."""
        with guard("queueing a span"):
            if any(name.startswith("gen_ai.") for name in span.attributes or ()):
                super().on_end(span)

    def shutdown(self) -> None:
        """Send what is queued, but do not hold up the exit of the host for long if the collector is away."""
        batches = getattr(self, "_batch_processor", None)  # its own shutdown waits 30 s and takes no other limit
        if batches is None:
            super().shutdown()  # type: ignore[no-untyped-call] # it has no types
        else:
            batches.shutdown(timeout_millis=_EXIT_MILLISECONDS)


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
