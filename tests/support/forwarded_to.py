"""A backend that spans are forwarded to, over HTTP or gRPC: a real server that keeps what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from aiohttp import web
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.forward_settings import ForwardSettings
from support.server import Server


@dataclass
class Viewer:
    """A backend that keeps what it is sent, and answers as it is told."""

    url: str = ""
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    """For the next requests, in this order; then all is well."""

    @property
    def spans(self) -> dict[bytes, Span]:
        return {
            span.trace_id + span.span_id: span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    def take(self, request: ExportTraceServiceRequest) -> Any:
        answer = self.answers.pop(0) if self.answers else None
        if not (isinstance(answer, int) and answer >= 400):
            self.requests.append(request)
        return answer


@asynccontextmanager
async def http_viewer(largest: int = 64 << 20) -> AsyncIterator[Viewer]:
    """One that takes OTLP over HTTP, in requests of so many bytes."""
    viewer = Viewer()

    async def traces(request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp has inflated it
        viewer.headers.append(dict(request.headers))
        match viewer.take(ExportTraceServiceRequest.FromString(body)):
            case int(status):
                return web.Response(status=status, headers={"Retry-After": "0"} if status == 429 else {})
            case ExportTraceServiceResponse() as partial:
                return web.Response(body=partial.SerializeToString(), content_type="application/x-protobuf")
            case _:
                return web.Response(content_type="application/x-protobuf")

    app = web.Application(client_max_size=largest)
    app.router.add_post("/v1/traces", traces)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    viewer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield viewer
    finally:
        await runner.cleanup()


@asynccontextmanager
async def grpc_viewer() -> AsyncIterator[Viewer]:
    """One that takes OTLP over gRPC."""
    viewer = Viewer()

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        async def Export(  # noqa: N802 - its name in the protocol
            self, request: ExportTraceServiceRequest, context: Any
        ) -> ExportTraceServiceResponse:
            viewer.headers.append({key: str(value) for key, value in context.invocation_metadata()})
            match viewer.take(request):
                case 429:
                    details = AnyMessage()
                    details.Pack(RetryInfo(retry_delay=Duration(nanos=1)))
                    status = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], details=[details])
                    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
                    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")
                case 503:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
                case 400:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
            return ExportTraceServiceResponse()

    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)  # type: ignore[no-untyped-call] # generated
    viewer.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield viewer
    finally:
        await server.stop(None)


def way_to(backend: Viewer, viewer: Callable[[], Any], **more: Any) -> ForwardSettings:
    """The settings of the collector for it."""
    protocol = "grpc" if viewer is grpc_viewer else "http/protobuf"
    return ForwardSettings.model_validate({"url": backend.url, "protocol": protocol, **more})


def of(span: Span) -> dict[str, Any]:
    """The attributes of a span."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in span.attributes}


async def arrived(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(45):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


async def metric(server: Server, line: str) -> bool:
    """Whether the collector shows this metric."""
    return line in (await server.get("/metrics")).body.decode()
