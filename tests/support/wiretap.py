"""Stands between a service and the collector, passes everything on, and keeps the spans that went by."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Wiretap:
    """The address to send to, and what was sent there."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    scopes: dict[bytes, str] = field(default_factory=dict)
    """Which instrumentation made a span, by its id."""


def attributes(span: Span) -> dict[str, Any]:
    """A span's attributes; lists stay protobuf messages."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in span.attributes}


@contextmanager
def wiretap(target: str) -> Iterator[Wiretap]:
    """Listen before a collector until the block ends."""
    tap = Wiretap()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        tap.spans.extend(scope.spans)
                        tap.scopes.update((span.span_id, scope.scope.name) for span in scope.spans)
            headers = {"Content-Type": self.headers["Content-Type"]}
            answer = httpx.post(target + self.path, content=body, headers=headers, verify=False)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    tap.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield tap
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
