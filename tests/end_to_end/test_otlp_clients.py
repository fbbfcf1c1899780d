"""Other people's OTLP clients: what each of them carries over a restart of the collector in the middle of its work."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from p402.vocabulary import Money
from support.books import charge_count, read_books
from support.collector import eventually, running_collector
from support.otlp import ATTRIBUTION, MAY_2026, OWN_SCOPE, WORKED_EXAMPLE
from support.ports import steady_port

_CLIENT = Path(__file__).parents[1] / "support" / "otlp_client.mjs"
_PATIENCE = (
    60  # seconds that an exporter may take over a batch; its default of 10 is short on a machine busy with tests
)


@dataclass(frozen=True)
class Addresses:
    """Where the collector listens, before and after the restart."""

    http: str
    grpc: str


class Service(Protocol):
    """A service that makes the worked example's call again and again."""

    def call(self, requests: Sequence[str]) -> None:
        """Make one call for each request."""

    def was_refused(self) -> bool:
        """Whether its exporter has noticed that the collector is away."""

    def finish(self) -> Sequence[str] | None:
        """End as services do, sending first what is queued; the requests that the exporter gave up, if it tells."""


Start = Callable[[Addresses, Path, pytest.LogCaptureFixture], AbstractContextManager[Service]]


@dataclass(frozen=True)
class PythonService:
    """In this process."""

    provider: TracerProvider
    log: pytest.LogCaptureFixture

    def call(self, requests: Sequence[str]) -> None:
        tracer = self.provider.get_tracer(OWN_SCOPE)
        for request in requests:
            attributes: dict[str, Any] = {**WORKED_EXAMPLE, **ATTRIBUTION, "p402.request": request}
            span = tracer.start_span("chat claude-opus-4-5", start_time=MAY_2026, attributes=attributes)
            span.end(MAY_2026 + 1_500_000_000)

    def was_refused(self) -> bool:
        return "retrying in" in self.log.text

    def finish(self) -> None:
        self.provider.shutdown()
        assert "Failed to export" not in self.log.text


@contextmanager
def python(
    make: Callable[[Addresses], SpanExporter], at: Addresses, _: Path, log: pytest.LogCaptureFixture
) -> Iterator[Service]:
    log.set_level(logging.WARNING, "opentelemetry")
    service = PythonService(TracerProvider(), log)
    service.provider.add_span_processor(BatchSpanProcessor(make(at), schedule_delay_millis=50))
    try:
        yield service
    finally:
        service.provider.shutdown()


def python_http(compression: Compression) -> Start:
    return partial(python, lambda at: HttpExporter(f"{at.http}/v1/traces", compression=compression, timeout=_PATIENCE))


def python_grpc(compression: grpc.Compression) -> Start:
    return partial(python, lambda at: GrpcExporter(at.grpc, insecure=True, compression=compression, timeout=_PATIENCE))


@dataclass(frozen=True)
class NodeService:
    """A Node process."""

    process: subprocess.Popen[str]
    output: Path

    def call(self, requests: Sequence[str]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(requests) + "\n")
        self.process.stdin.flush()

    def was_refused(self) -> bool:
        return any("retries" in line or "givesUp" in line for line in self._lines())

    def finish(self) -> Sequence[str]:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(timeout=90) == 0, self.output.read_text()
        given_up: list[str] = self._lines()[-1]["givenUp"]
        return given_up

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines(keepends=True) if line.endswith("\n")]


@contextmanager
def node(kind: str, at: Addresses, folder: Path, _: pytest.LogCaptureFixture) -> Iterator[Service]:
    program = shutil.which("node")
    assert program, "Node.js is needed, as for the local Tempo node"
    url = at.grpc if kind == "grpc" else f"{at.http}/v1/traces"
    attributes = json.dumps({**WORKED_EXAMPLE, **ATTRIBUTION})
    output = folder / "client.log"
    with output.open("w") as file:
        command = [program, str(_CLIENT), kind, f"http://{url}" if kind == "grpc" else url, attributes]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, text=True)
    try:
        yield NodeService(process, output)
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        print(output.read_text()[-2000:])  # noqa: T201 - shown when the test fails


@pytest.mark.parametrize(
    ("start", "tries_again"),
    [
        pytest.param(python_http(Compression.NoCompression), True, id="python-http"),
        pytest.param(python_http(Compression.Gzip), True, id="python-http-gzip"),
        pytest.param(python_http(Compression.Deflate), True, id="python-http-deflate"),
        pytest.param(python_grpc(grpc.Compression.NoCompression), True, id="python-grpc"),
        pytest.param(python_grpc(grpc.Compression.Gzip), True, id="python-grpc-gzip"),
        pytest.param(partial(node, "http"), True, id="javascript-http-json"),
        pytest.param(partial(node, "proto"), True, id="javascript-http-protobuf"),
        # JavaScript's gRPC exporter never sends a batch twice: what it tries while the collector is away, it drops.
        pytest.param(partial(node, "grpc"), False, id="javascript-grpc"),
    ],
)
def test_a_client_loses_nothing_over_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, start: Start, *, tries_again: bool
) -> None:
    http, grpc_ = (f"127.0.0.1:{steady_port()}" for _ in range(2))
    settings = {"P402_LISTEN": http, "P402_GRPC_LISTEN": grpc_}
    requests = [f"request-{number}" for number in range(400)]
    with start(Addresses(f"http://{http}", grpc_), tmp_path, caplog) as service:
        with running_collector(tmp_path, settings) as collector:
            service.call(requests[:100])
            eventually(lambda: charge_count(tmp_path))
            service.call(requests[100:200])  # some of these are on their way when it stops
            collector.process.terminate()
            assert collector.process.wait(timeout=20) == 0
        service.call(requests[200:300])
        eventually(service.was_refused)

        with running_collector(tmp_path, settings) as collector:
            service.call(requests[300:])
            given_up = service.finish() or ()
            books = read_books(collector)
    charged = sorted(charge["request"] for charge in books.charges)
    print(f"{len(requests)} calls, {len(charged)} charged, {len(given_up)} given up by the client")  # noqa: T201
    assert books.cost == Money(len(charged) * 264_235_000)  # $0.264235 each
    if tries_again:
        assert charged == sorted(requests)
    else:
        assert given_up
        assert charged == sorted(set(requests) - set(given_up))
