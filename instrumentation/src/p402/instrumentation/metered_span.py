"""A span that only the collector sees: a call, without what tracing needs beside (samplers, limits, processors, events).

It is current while the call is made, as any span would be, so that what the application or another instrumentation starts
within is its child. Its attributes are ours, and what others set on it, and its links those that it starts with; events, later
links and exceptions are not kept, since metering has no use for them and they may quote prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode

from p402.instrumentation.guard import guard

__all__ = ["SCOPE", "MeteredSpan"]

SCOPE = "p402.instrumentation"
"""The instrumentation scope of our spans."""

_SCOPE = InstrumentationScope(SCOPE, "")
_UNSET = Status()


class MeteredSpan(Span, ReadableSpan):
    """A span of kind CLIENT, from its making until `end` hands it to the delivery, once."""

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        resource: Resource,
        attributes: Mapping[str, Any],
        deliver: Callable[[ReadableSpan], None],
        links: Sequence[Link] = (),
    ) -> None:
        self._name = name
        self._context: SpanContext = context
        self._kind = SpanKind.CLIENT
        self._parent = parent
        self._resource = resource
        self._attributes: dict[str, Any] = dict(attributes)
        self._deliver = deliver
        self._links = links
        self._start_time = time_ns()
        self._end_time: int | None = None

    _instrumentation_info = None
    _instrumentation_scope = _SCOPE
    _events = ()
    _status = _UNSET

    def get_span_context(self) -> SpanContext:
        """Name it."""
        return self._context

    def is_recording(self) -> bool:
        """Tell whether it can still be changed."""
        return self._end_time is None

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set some; they stay as they are after the end."""
        if self._end_time is None:
            self._attributes.update(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one."""
        if self._end_time is None:
            self._attributes[key] = value

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went; what went well is not overruled."""
        told = status if isinstance(status, Status) else Status(status, description)
        if self._end_time is None and self._status.status_code is not StatusCode.OK and not told.is_unset:
            self._status = told

    def update_name(self, name: str) -> None:
        """Give it another name."""
        if self._end_time is None:
            self._name = name

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Ignore it."""

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Ignore it."""

    def record_exception(self, exception: BaseException, *_: Any, **__: Any) -> None:
        """Ignore it."""

    def end(self, end_time: int | None = None) -> None:
        """End it, and have it delivered."""
        if self._end_time is None:
            self._end_time = time_ns() if end_time is None else end_time
            with guard("queueing a span"):
                self._deliver(self)
