"""Stand between a collector and a real viewer, and turn requests away as they are told: over HTTP, and over gRPC."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import httpx
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
WAIT_SECONDS = 1
"""How long a viewer that is overloaded wants to be left alone."""


@dataclass
class Gateway:
    """The address to send to, and what becomes of requests there."""

    url: str = ""
    refusals: list[int] = field(default_factory=list)
    """For the next requests: 429 (asking for patience) or 503; over gRPC RESOURCE_EXHAUSTED with RetryInfo, UNAVAILABLE."""
    refused: list[int] = field(default_factory=list)
    passed: int = 0
    away: int = 0
    """Requests that could not be passed on, since the viewer was not there."""

    def refusal(self) -> int | None:
        if not self.refusals:
            return None
        self.refused.append(self.refusals.pop(0))
        return self.refused[-1]


@contextmanager
def http_gateway(target: str) -> Iterator[Gateway]:
    """Pass OTLP over HTTP on until the block ends."""
    gateway = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            refusal = gateway.refusal()
            if refusal is not None:
                self._answer(refusal, b"", {"Retry-After": str(WAIT_SECONDS)} if refusal == 429 else {})
                return
            kept = {name: self.headers[name] for name in ("Content-Type", "Content-Encoding") if name in self.headers}
            try:
                answer = httpx.post(target + self.path, content=body, headers=kept, timeout=20)
            except httpx.TransportError:
                gateway.away += 1
                self.close_connection = True  # as when nobody listens
                return
            gateway.passed += answer.is_success
            self._answer(answer.status_code, answer.content, {"Content-Type": answer.headers["Content-Type"]})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    gateway.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def grpc_gateway(target: str) -> Iterator[Gateway]:
    """Pass OTLP over gRPC on, to ``host:port``, until the block ends."""
    gateway = Gateway()
    with grpc.insecure_channel(target, options=[("grpc.max_reconnect_backoff_ms", 500)]) as channel:
        forward: Any = channel.unary_unary(EXPORT)

        def export(body: bytes, context: Any) -> bytes:
            refusal = gateway.refusal()
            if refusal == 429:
                details = AnyMessage()
                details.Pack(RetryInfo(retry_delay=Duration(seconds=WAIT_SECONDS)))
                status = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], details=[details])
                context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")
            if refusal == 503:
                context.abort(grpc.StatusCode.UNAVAILABLE, "overloaded")
            try:
                answer: bytes = forward(body, timeout=20)
            except grpc.RpcError as error:
                gateway.away += 1
                context.abort(error.code(), error.details())
                raise
            gateway.passed += 1
            return answer

        handlers: dict[str, Any] = {"Export": grpc.unary_unary_rpc_method_handler(export)}
        server = grpc.server(ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(EXPORT.split("/")[1], handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        gateway.url = f"http://127.0.0.1:{port}"
        try:
            yield gateway
        finally:
            server.stop(None).wait()
