"""The log beside the traces: lines within a span name it, and what OpenTelemetry's SDK has to say is a line like others."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

__all__ = ["SdkLog", "name_span"]

log = structlog.get_logger(__name__)


def name_span(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add ``trace_id`` and ``span_id`` to a line that is written within a span; a structlog processor."""
    here = get_current_span().get_span_context()
    if here.is_valid:
        event["trace_id"], event["span_id"] = format_trace_id(here.trace_id), format_span_id(here.span_id)
    return event


def _in_our_log(problem: str) -> None:
    log.warning("own_traces_problem", problem=problem)


class SdkLog(logging.Handler):
    """Takes over what the SDK warns of, such as a backend that is away."""

    def __init__(self, tell: Callable[[str], object] = _in_our_log) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._sdk = logging.getLogger("opentelemetry")
        self._sdk.propagate = False
        self._sdk.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of it; where it went wrong is the SDK's own code."""
        self._tell(record.getMessage())

    def close(self) -> None:
        """Give it back."""
        self._sdk.removeHandler(self)
        self._sdk.propagate = True
        super().close()
