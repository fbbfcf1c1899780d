"""A collector that behaves as it is told: well, down, slow, failing, or talking nonsense. A real server on a socket."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Behaviour(StrEnum):
    GOOD = "good"
    ERROR = "answers 500"
    GARBAGE = "does not speak HTTP"
    SLOW = "does not answer"
    HANGS_UP = "closes the connection"


@dataclass
class Collector:
    behaviour: Behaviour
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    """Ends the silence of one that does not answer."""

    @property
    def spans(self) -> list[Span]:
        exports = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [span for e in exports for r in e.resource_spans for scope in r.scope_spans for span in scope.spans]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have gone."""


@contextmanager
def misbehaving_collector(behaviour: Behaviour) -> Iterator[Collector]:
    collector = Collector(behaviour)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            spans = self.path == "/v1/traces"  # of budgets it knows nothing, and fails in the same ways
            if spans:
                collector.bodies.append(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
            match collector.behaviour:
                case Behaviour.GOOD:
                    self._answer(200 if spans else 404)
                case Behaviour.ERROR:
                    self._answer(500)
                case Behaviour.GARBAGE:
                    self.wfile.write(b"\x00\xff nonsense\r\n\r\n")
                case Behaviour.SLOW:
                    collector.released.wait(30)
                case Behaviour.HANGS_UP:
                    pass
            self.close_connection = True

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        collector.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
