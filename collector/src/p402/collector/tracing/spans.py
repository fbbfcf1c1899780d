"""What every span of ours has in common: where its trace begins, what is an error, and how background work is held back.

A look for work that finds nothing must leave no trace, but what it reads on the way is timed before that is known. So
spans under a piece of work end for good only once it has done something; a span that never ends is never sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import Context, attach, create_key, detach, get_value, set_value
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from p402.collector.observed_work import Observe

__all__ = ["child", "failed", "observer", "remote_parent"]

_WORK = create_key("p402-work")
_PROPAGATOR = TraceContextTextMapPropagator()


def remote_parent(traceparent: str | None) -> Context:
    """Read the caller's place in its trace. Its baggage and its ``tracestate`` are not taken in: they may tell of people."""
    return Context() if traceparent is None else _PROPAGATOR.extract({"traceparent": traceparent}, Context())


def failed(span: Span, kind: str) -> None:
    """Mark a span as failed: by the kind of error, never by its text."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


@contextmanager
def child(tracer: Tracer, name: str) -> Iterator[Span]:
    """Time a part of what the present span is about, from the beginning of the block to its end."""
    span = tracer.start_span(name)
    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield span
    except Exception as error:
        failed(span, type(error).__name__)
        raise
    finally:
        work = get_value(_WORK)
        if isinstance(work, _WorkSpan):
            work.end(span)
        else:
            span.end()


class _WorkSpan:
    """A piece of background work; the spans under it wait until it has done something."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._waiting: list[tuple[Span, int]] = []
        self._has_done = False

    def did(self, **figures: int | str) -> None:
        """Say that there was something to do."""
        self._has_done = True
        self._span.set_attributes({f"p402.work.{name}": value for name, value in figures.items()})

    def fail(self, error: Exception) -> None:
        """Say that it could not be done."""
        self.did()
        failed(self._span, type(error).__name__)

    def end(self, span: Span) -> None:
        """End a span under it now, as soon as it is known whether that is to be seen."""
        self._waiting.append((span, time.time_ns()))

    def close(self) -> None:
        """End everything, or forget it."""
        if self._has_done:
            for span, ended_ns in self._waiting:
                span.end(ended_ns)
            self._span.end()
        self._waiting.clear()


def observer(tracer: Tracer) -> Observe:
    """Give what makes a trace of each piece of background work that did something, or failed."""

    @contextmanager
    def observe(name: str, /) -> Iterator[_WorkSpan]:
        span = tracer.start_span(name, Context(), SpanKind.INTERNAL)
        work = _WorkSpan(span)
        token = attach(set_value(_WORK, work, set_span_in_context(span, Context())))
        try:
            yield work
        except Exception as error:
            work.fail(error)
            raise
        finally:
            detach(token)
            work.close()

    return observe
