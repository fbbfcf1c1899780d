"""Where spans of our own go: a provider of our own, never the process's global one, and a thread that sends."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing, suppress
from importlib.metadata import version
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from p402.collector.tracing.log_lines import SdkLog

__all__ = ["OWN_TRACES", "OwnTraces", "try_backend"]

OWN_TRACES = "P402-Own-Traces"
"""Header of what we send: no collector of ours traces the receiving of it, or two of them would never come to an end."""

_LONGEST_FLUSH_SECONDS = 2.0  # that a stop waits for a backend
_NAME = "p402-collector"


class OwnTraces:
    """The tracer, and what sends its spans.

    Headers, compression, certificate and timeout of the backend, sampler, limits and queue are the standard's (``OTEL_*``);
    its address is not, so that an environment that is set for something else does not switch this on.
    """

    def __init__(self, endpoint: str) -> None:
        self._exporter = OTLPSpanExporter(endpoint=endpoint, headers={OWN_TRACES: "1"})
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer(_NAME, version(_NAME))

    async def close(self) -> None:
        """Send what waits, as long as that takes no more than two seconds; after that it is lost."""
        flushed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def flush() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waited so long
                loop.call_soon_threadsafe(flushed.set)

        # Not a pool's thread: the interpreter waits for those at its end, however long a backend takes to answer.
        threading.Thread(target=flush, name="p402-own-traces", daemon=True).start()
        try:
            async with asyncio.timeout(_LONGEST_FLUSH_SECONDS):
                await flushed.wait()
        except TimeoutError:
            self._exporter.shutdown()  # type: ignore[no-untyped-call] # which ends its tries


def try_backend(endpoint: str, seconds: float) -> str | None:
    """Send an empty batch, as a full one would be sent; gives what is wrong, None if nothing is."""
    said: list[str] = []
    with closing(SdkLog(said.append)):
        exporter = OTLPSpanExporter(endpoint=endpoint, headers={OWN_TRACES: "1"}, timeout=seconds)
        taken = exporter.export([]) is SpanExportResult.SUCCESS
        exporter.shutdown()  # type: ignore[no-untyped-call]
    return None if taken else next(iter(said), "it gives no reason")


def _resource() -> Resource:
    """Say who we are; ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` know better."""
    ours = {"service.name": _NAME, "service.version": version(_NAME), "service.instance.id": str(uuid4())}
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})
