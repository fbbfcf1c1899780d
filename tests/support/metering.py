"""The instrumentation switched on for a test: its spans in memory, mock providers to call, real SDKs to call them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from anthropic import Anthropic, AsyncAnthropic
from google import genai
from openai import AsyncOpenAI, OpenAI
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from p402.collector.demo.providers import MockProviders
from p402.instrumentation.instrumentor import P402Instrumentor

MESSAGES: Any = [{"role": "user", "content": "Is this contract in order?"}]

_NO_EXPORT = {
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
}  # the standard exporter is said to serve the collector already, so ours is not started


@dataclass
class Spans:
    """Finished spans of one test."""

    provider: TracerProvider
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def __post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    @property
    def calls(self) -> list[ReadableSpan]:
        """Ours, in the order in which they ended."""
        return [span for span in self.all if scope(span) == "p402.instrumentation"]

    def only(self) -> dict[str, Any]:
        """The attributes of the one span of ours."""
        [span] = self.calls
        return dict(span.attributes or {})


def scope(span: ReadableSpan) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope else ""


@contextmanager
def metered(environment: Mapping[str, str] | None = None) -> Iterator[Spans]:
    """Switch the instrumentation on, with a TracerProvider of its own."""
    spans = Spans(TracerProvider())
    P402Instrumentor().instrument(tracer_provider=spans.provider, environment={**_NO_EXPORT, **(environment or {})})
    try:
        yield spans
    finally:
        P402Instrumentor().uninstrument()
        spans.provider.shutdown()


@dataclass
class Llm:
    """The mock providers and how to reach them with the real SDKs."""

    providers: MockProviders
    url: str

    def openai(self, **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="k", base_url=f"{self.url}/v1", **options)

    def openai_sync(self, **options: Any) -> OpenAI:
        return OpenAI(api_key="k", base_url=f"{self.url}/v1", **options)

    def anthropic(self, **options: Any) -> AsyncAnthropic:
        return AsyncAnthropic(api_key="k", base_url=self.url, **options)

    def anthropic_sync(self, **options: Any) -> Anthropic:
        return Anthropic(api_key="k", base_url=self.url, **options)

    def gemini(self, **options: Any) -> genai.Client:
        return genai.Client(api_key="k", http_options=genai.types.HttpOptions(base_url=self.url, **options))


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for a condition, and fail if it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def answered_by(handler: Any) -> AsyncIterator[str]:
    """Serve every POST by a handler of aiohttp's; gives the address."""
    application = web.Application()
    application.router.add_post("/{path:.*}", handler)
    async with served(application, shutdown_timeout=0.1, handler_cancellation=True) as url:
        yield url


@asynccontextmanager
async def served(application: web.Application, **options: Any) -> AsyncIterator[str]:
    """Serve an application of aiohttp's; gives the address."""
    runner = web.AppRunner(application, **options)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
