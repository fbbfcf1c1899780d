"""OTLP over HTTP, at a collector that listens."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from support.otlp import ATTRIBUTION, MAY_2026, OWN_SCOPE, WORKED_EXAMPLE, ASpan, request_of
from support.server import Answer, Server, bearer, serving

LIMIT = 100_000
PROTOBUF, JSON = "application/x-protobuf", "application/json"


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
        ({"Content-Type": "application/grpc"}, "'application/grpc'"),
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


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_json_is_taken_and_answered_in_json(server: Server, media_type: str, encoding: str) -> None:
    body = a_request_in_json({"traceId": "0AF7651916CD43DD8448EB211C80319C", "spanId": "b7ad6b7169203331"})
    sent = gzip.compress(body) if encoding == "gzip" else body
    answer = await server.export(sent, **{"Content-Type": media_type, "Content-Encoding": encoding})
    assert (answer.status, answer.media_type, answer.json) == (200, JSON, {})
    [charge] = (await server.get("/v1/charges?organisation=acme")).json["charges"]
    assert (charge["cost_usd"], charge["span_id"]) == ("0.264235", "b7ad6b7169203331")


async def test_spans_rejected_in_json_are_named_in_json(server: Server) -> None:
    answer = await server.export(a_request_in_json({"spanId": "b7ad6b7169203331"}), **{"Content-Type": JSON})
    said = "span 0 ('chat'): trace_id has 0 bytes, it must have 16"
    assert (answer.status, answer.json) == (200, {"partialSuccess": {"rejectedSpans": "1", "errorMessage": said}})


async def test_refusals_of_json_are_in_json(server: Server) -> None:
    answer = await server.export(b"garbage", **{"Content-Type": JSON})
    assert (answer.status, answer.media_type, answer.json["code"]) == (400, JSON, 3)
    assert "is not JSON" in answer.json["message"]
    await server.collector.database.close()
    ids = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"}
    answer = await server.export(a_request_in_json(ids), **{"Content-Type": JSON})
    assert (answer.status, answer.headers["Retry-After"], answer.json["code"]) == (503, "1", 14)


def a_request_in_json(ids: dict[str, str]) -> bytes:
    """The worked example as OTLP's JSON, with these ids."""
    attributes = [
        {"key": name, "value": {"intValue": value} if isinstance(value, int) else {"stringValue": value}}
        for name, value in (WORKED_EXAMPLE | ATTRIBUTION).items()
    ]
    span = {"name": "chat", "startTimeUnixNano": str(MAY_2026), "attributes": attributes, **ids}
    scope_spans = {"scope": {"name": OWN_SCOPE}, "spans": [span]}
    return json.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [scope_spans]}]}).encode()


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
async def test_evaluations_among_logs_are_counted(server: Server, media_type: str) -> None:
    request = ExportLogsServiceRequest()
    for name in ("gen_ai.evaluation.result", "", "gen_ai.evaluation.result"):
        request.resource_logs.add().scope_logs.add().log_records.add(event_name=name)
    body = request.SerializeToString() if media_type == PROTOBUF else MessageToJson(request).encode()
    answer = await server.ask("POST", "/v1/logs", data=body, headers={"Content-Type": media_type})
    assert (answer.status, answer.body) == (200, b"" if media_type == PROTOBUF else b"{}")
    assert "p402_evaluations_total 2.0" in (await server.get("/metrics")).body.decode()


async def test_logs_that_seem_to_hold_an_evaluation_but_cannot_be_read_are_refused(server: Server) -> None:
    headers = {"Content-Type": PROTOBUF}
    answer = await server.ask("POST", "/v1/logs", data=b"gen_ai.evaluation.result", headers=headers)
    assert (answer.status, refusal(answer).code) == (400, 3)


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
    line = await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


@pytest.mark.parametrize("compression", list(Compression))
async def test_the_standard_exporter_is_served(server: Server, compression: Compression) -> None:
    finished = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(finished))
    with provider.get_tracer("p402.instrumentation").start_as_current_span("chat") as span:
        for name, value in [*WORKED_EXAMPLE.items(), *ATTRIBUTION.items()]:
            span.set_attribute(name, str(value))  # counts as text are read too
    exporter = OTLPSpanExporter(f"{server.url}/v1/traces", compression=compression)
    try:
        result = await asyncio.to_thread(exporter.export, finished.get_finished_spans())
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call] # the exporter types it not
        provider.shutdown()
    assert (result, await charges(server)) == (SpanExportResult.SUCCESS, 1)
