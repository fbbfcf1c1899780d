"""The instrumentation switched on beside a feedback API in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.feedback_server import Feedback, feedback_server
from support.metering import Spans, metered

PATIENT = {"P402_DECISION_TIMEOUT_MS": "20000", "P402_ORGANISATION": "acme", "P402_DEPARTMENT": "legal"}
"""A test machine may be slow; where time matters, a test says so."""


@contextmanager
def guarded(environment: dict[str, str] | None = None, **values: Any) -> Iterator[tuple[Feedback, Spans]]:
    """Serve the feedback API and meter; takes what `Feedback` takes."""
    with feedback_server(**values) as feedback:
        settings = {
            **PATIENT,
            "P402_COLLECTOR_URL": feedback.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": "",  # so that ours is the exporter
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with metered({**settings, **(environment or {})}) as spans:
            yield feedback, spans
