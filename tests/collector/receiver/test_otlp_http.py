"""OTLP over HTTP, at a collector that listens."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from support.otlp import ATTRIBUTION, WORKED_EXAMPLE, ASpan, request_of
from support.server import Answer, Server, bearer, serving

LIMIT = 100_000
PROTOBUF = "application/x-protobuf"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, max_request_bytes=LIMIT) as running:
        yield running


async def charges(server: Server) -> int:
    return len((await server.get("/v1/charges?organisation=acme")).json["charges"])


def refusal(answer: Answer) -> Status:
    assert answer.headers["Content-Type"] == PROTOBUF
    return Status.FromString(answer.body)


async def test_spans_are_on_disk_when_they_are_acknowledged(server: Server) -> None:
    answer = await server.send(ASpan(), ASpan())
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, PROTOBUF, b"")
    assert await charges(server) == 2


async def test_an_empty_request_is_a_full_success(server: Server) -> None:
    answer = await server.export(b"")
    assert (answer.status, answer.body) == (200, b"")


async def test_rejected_spans_are_named_and_the_others_are_charged(server: Server) -> None:
    answer = await server.send(ASpan(), *(ASpan(span_id=b"short") for _ in range(12)))
    partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, partial.rejected_spans, await charges(server)) == (200, 12, 1)
    assert partial.error_message.startswith("span 1 ('chat claude-opus-4-5'): span_id has 5 bytes")
    assert partial.error_message.endswith("span_id has 5 bytes, it must have 8; and 2 more")


@pytest.mark.parametrize("encoding", ["", "gzip", "garbage that is gzip"])
async def test_garbage_is_refused_for_good(server: Server, encoding: str) -> None:
    body = gzip.compress(b"garbage") if encoding.startswith("garbage") else b"garbage"
    answer = await server.export(body, **({"Content-Encoding": "gzip"} if encoding else {}))
    assert (answer.status, refusal(answer).code) == (400, 3)
    assert refusal(answer).message
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
)
async def test_every_encoding_is_read_whole(server: Server, encoding: str, compress: type[bytes]) -> None:
    answer = await server.export(compress(request_of([ASpan()])), **{"Content-Encoding": encoding})
    assert (answer.status, await charges(server)) == (200, 1)


async def test_a_compressed_body_that_was_cut_is_refused(server: Server) -> None:
    answer = await server.export(gzip.compress(request_of([ASpan()]))[:-9], **{"Content-Encoding": "gzip"})
    assert (answer.status, refusal(answer).message) == (400, "The compressed body ends too early.")


@pytest.mark.parametrize("more", [b"garbage", gzip.compress(request_of([ASpan()]))])
async def test_what_follows_a_compressed_body_is_not_swallowed(server: Server, more: bytes) -> None:
    answer = await server.export(gzip.compress(request_of([ASpan()])) + more, **{"Content-Encoding": "gzip"})
    assert (answer.status, await charges(server)) == (400, 0)


async def test_a_body_too_large_as_it_arrives_is_refused(server: Server) -> None:
    answer = await server.export(bytes(LIMIT + 1))
    assert (answer.status, refusal(answer).code) == (413, 8)
    assert str(LIMIT) in refusal(answer).message


@pytest.mark.parametrize("size", [LIMIT + 1, 100 * LIMIT])
async def test_a_body_too_large_when_inflated_is_refused(server: Server, size: int) -> None:
    answer = await server.export(gzip.compress(bytes(size)), **{"Content-Encoding": "gzip"})
    assert (answer.status, refusal(answer).code) == (413, 8)
    assert "when decompressed" in refusal(answer).message


async def test_a_body_of_exactly_the_allowed_size_is_read(server: Server) -> None:
    fixed = len(request_of([ASpan.of({"pad": "x" * 50_000})])) - 50_000
    body = request_of([ASpan.of({"pad": "x" * (LIMIT - fixed)})])
    assert len(body) == LIMIT
    answer = await server.export(gzip.compress(body), **{"Content-Encoding": "gzip"})
    assert answer.status == 200


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"Content-Encoding": "br"}, "'br'"),
        ({"Content-Type": "application/json"}, "'application/json'"),
        ({"Content-Type": "text/plain"}, "'text/plain'"),
    ],
)
async def test_what_is_not_read_here_is_named(server: Server, headers: dict[str, str], named: str) -> None:
    answer = await server.export(request_of([ASpan()]), **headers)
    assert (answer.status, refusal(answer).code) == (415, 3)
    assert named in refusal(answer).message


async def test_the_sender_tries_again_when_storage_is_down(server: Server) -> None:
    await server.collector.database.close()
    answer = await server.send(ASpan())
    assert (answer.status, answer.headers["Retry-After"], refusal(answer).code) == (503, "1", 14)


@pytest.mark.parametrize("signal", ["metrics", "logs"])
async def test_other_signals_are_accepted_and_counted(server: Server, signal: str) -> None:
    answer = await server.ask("POST", f"/v1/{signal}", data=b"anything", headers={"Content-Type": PROTOBUF})
    assert (answer.status, answer.body) == (200, b"")
    metrics = (await server.get("/metrics")).body.decode()
    assert f'p402_otlp_requests_total{{signal="{signal}",status="200"}} 1.0' in metrics


async def test_who_sends_is_asked_before_anything_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path, require_key=True) as server:
        assert (await server.send(ASpan(), key=await server.key("ingest"))).status == 200
        for key, status, code in ((None, 401, 16), ("p402_wrong", 401, 16), (await server.key("spend:read"), 403, 7)):
            answer = await server.export(b"garbage", key, **{"Content-Type": "text/plain"})
            assert (answer.status, refusal(answer).code) == (status, code)
            assert await status_before_the_body(server, key) == status


async def status_before_the_body(server: Server, key: str | None) -> int:
    """Announce a body, send none of it, and see what is answered."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = ["POST /v1/traces HTTP/1.1", f"Host: {host}", f"Content-Type: {PROTOBUF}", "Content-Length: 1000000"]
    writer.write("\r\n".join([*lines, *(f"{name}: {value}" for name, value in bearer(key).items()), "\r\n"]).encode())
    line = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


@pytest.mark.parametrize("compression", list(Compression))
async def test_the_standard_exporter_is_served(server: Server, compression: Compression) -> None:
    finished = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(finished))
    with provider.get_tracer("p402.instrumentation").start_as_current_span("chat") as span:
        span.set_attributes({**WORKED_EXAMPLE, **ATTRIBUTION})
    exporter = OTLPSpanExporter(f"{server.url}/v1/traces", compression=compression)
    try:
        result = await asyncio.to_thread(exporter.export, finished.get_finished_spans())
    finally:
        exporter.shutdown()
        provider.shutdown()
    assert (result, await charges(server)) == (SpanExportResult.SUCCESS, 1)
