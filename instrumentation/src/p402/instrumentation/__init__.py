"""Metering of LLM calls from inside a service: all that its engineer needs.

Without code: ``opentelemetry-instrument python app.py``. With code::

    from p402.instrumentation import attribution, instrument, session

    instrument()
    with attribution(department="legal", employee="e-117"), session() as session_id:
        ...  # every call of a model in here is metered and attributed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from p402.instrumentation.attribution import attribution, current_attribution, session
from p402.instrumentation.threads import in_context

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["attribution", "current_attribution", "in_context", "instrument", "session", "uninstrument"]


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Hook the installed HTTP clients and send the spans of model calls to the collector. Twice is as good as once.

    Uses the global TracerProvider unless one is given; makes it if there is none.
    """
    # Imported here: those who only mark attribution need no SDK and no exporter.
    from p402.instrumentation.instrumentor import P402Instrumentor  # noqa: PLC0415

    instrumentor = P402Instrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(tracer_provider=tracer_provider)


def uninstrument() -> None:
    """Undo `instrument`: send what is queued, take out the hooks."""
    from p402.instrumentation.instrumentor import P402Instrumentor  # noqa: PLC0415 - as above

    instrumentor = P402Instrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
