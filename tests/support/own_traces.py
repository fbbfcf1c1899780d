"""A backend that the collector's own traces are sent to, and the spans that came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from support.receiver import Receiver, receiver
from support.server import Server, serving
from support.wiretap import attributes

CALLER = f"00-{'4b' * 16}-{'00f0' * 4}-01"
"""A ``traceparent``."""


@dataclass(frozen=True)
class TracesBackend:
    """What came, as far as the collector has sent it; it sends the last of it when it stops."""

    seen: Receiver

    @property
    def url(self) -> str:
        return self.seen.url

    @property
    def resources(self) -> list[ResourceSpans]:
        return [
            it for one in self.seen.received for it in ExportTraceServiceRequest.FromString(one.body).resource_spans
        ]

    @property
    def spans(self) -> list[Span]:
        return [span for it in self.resources for scope in it.scope_spans for span in scope.spans]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def under(self, parent: Span) -> list[Span]:
        return [span for span in self.spans if span.parent_span_id == parent.span_id]


@contextmanager
def traces_backend() -> Iterator[TracesBackend]:
    """Take traces until the block ends."""
    with receiver() as seen:
        yield TracesBackend(seen)


def roots_of_work(spans: Sequence[Span]) -> dict[str, dict[str, Any]]:
    """The pieces of background work among spans, by name, with what the last of each did."""
    return {
        span.name: {key.removeprefix("p402.work."): value for key, value in attributes(span).items()}
        for span in spans
        if span.kind == Span.SPAN_KIND_INTERNAL and not span.parent_span_id
    }


@asynccontextmanager
async def traced(backend: TracesBackend, folder: Path, **settings: Any) -> AsyncIterator[Server]:
    """A collector that is traced; everything has been sent when the block is over."""
    async with serving(folder, own_traces_otlp_url=backend.url, **settings) as server:
        yield server
