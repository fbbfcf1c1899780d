"""Whoever runs the collector sees how long it takes, and nothing of whom it was for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider

from p402.collector.forward_settings import ForwardSettings
from p402.collector.settings import Address, Settings, SettingsInvalid, load_settings
from p402.collector.storage.database import Database
from p402.collector.tracing.log_lines import SdkLog, name_span
from p402.collector.tracing.spans import observer
from p402.collector.wiring import build
from p402.collector.wiring.tracing import Tracing, build_tracing
from support.collector import eventually
from support.otlp import ASpan, request_of
from support.own_traces import CALLER, TracesBackend, roots_of_work, traces_backend
from support.ports import steady_port
from support.receiver import receiver
from support.server import Server, serving
from support.wiretap import attributes

FREE = Address("127.0.0.1", 0)


@pytest.fixture
def backend() -> Iterator[TracesBackend]:
    with traces_backend() as running:
        yield running


@asynccontextmanager
async def traced(backend: TracesBackend, folder: Path, **settings: Any) -> AsyncIterator[Server]:
    """A collector that is traced; everything has been sent when the block is over."""
    async with serving(folder, own_traces_otlp_url=backend.url, **settings) as server:
        yield server


async def test_a_request_is_a_span_by_the_conventions_with_its_commit_inside(
    backend: TracesBackend, tmp_path: Path
) -> None:
    async with traced(backend, tmp_path) as server:
        assert (await server.send(ASpan())).status == 200
        port = int(server.url.rpartition(":")[2])
    [request] = backend.named("POST /v1/traces")
    assert (request.kind, request.parent_span_id, request.status.code) == (Span.SPAN_KIND_SERVER, b"", 0)
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/traces",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": port,
        "network.protocol.version": "1.1",
    }
    [commit] = [span for span in backend.under(request) if span.name == "commit"]
    said = attributes(commit)
    assert said["p402.commit.changes"] >= 1
    assert 0 <= said["p402.commit.wait_seconds"] <= (commit.end_time_unix_nano - commit.start_time_unix_nano) / 1e9
    assert said["code.function.name"].startswith("p402.collector.storage.ledger.SqlLedger.")
    assert request.start_time_unix_nano <= commit.start_time_unix_nano
    assert commit.end_time_unix_nano <= request.end_time_unix_nano


async def test_a_request_continues_the_trace_of_its_caller_and_takes_nothing_else_from_it(
    backend: TracesBackend, tmp_path: Path
) -> None:
    async with traced(backend, tmp_path) as server:
        headers = {"traceparent": CALLER, "tracestate": "vendor=e-1042", "baggage": "p402.employee=e-1042"}
        assert (await server.get("/v1/charges", **headers)).status == 200
    [request] = backend.named("GET /v1/charges")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == tuple(CALLER.split("-")[1:3])
    assert request.trace_state == ""
    assert [span.trace_id for span in backend.under(request) if span.name == "read"] == [request.trace_id]


async def test_errors_are_named_by_their_status_and_refusals_are_none(backend: TracesBackend, tmp_path: Path) -> None:
    async with traced(backend, tmp_path) as server:
        assert (await server.get("/v1/charges?limit=0")).status == 400
        assert (await server.session.get(f"{server.url}/no/ada.lovelace")).status == 404
        await server.collector.database.close()
        assert (await server.get("/v1/sessions")).status == 503
    [refused], [failed] = backend.named("GET /v1/charges"), backend.named("GET /v1/sessions")
    assert (refused.status.code, attributes(refused)["http.response.status_code"]) == (Status.STATUS_CODE_UNSET, 400)
    assert (failed.status.code, failed.status.message) == (Status.STATUS_CODE_ERROR, "")
    assert attributes(failed)["error.type"] == "503"
    assert "StorageUnavailable" in {attributes(span).get("error.type") for span in backend.under(failed)}
    [nowhere] = backend.named("GET")
    assert "http.route" not in attributes(nowhere)


async def test_probes_streams_and_traces_of_collectors_are_not_traced(backend: TracesBackend, tmp_path: Path) -> None:
    async with traced(backend, tmp_path) as server:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await server.get(path)).status == 200
        async with server.session.get(f"{server.url}/v1/feedback/stream") as stream:
            assert (await stream.content.readline()).startswith(b"event: rules")
        sent_by_one_of_us = {"P402-Own-Traces": "1"}
        assert (await server.export(request_of([ASpan()]), None, **sent_by_one_of_us)).status == 200
        await server.collector.usage.catch_up()
    assert backend.named("roll up usage")
    assert [span.name for span in backend.spans if span.kind == Span.SPAN_KIND_SERVER] == []
    assert {request.headers["p402-own-traces"] for request in backend.seen.received} == {"1"}


async def test_calls_over_grpc_are_spans_by_the_conventions(backend: TracesBackend, tmp_path: Path) -> None:
    method = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
    async with (
        traced(backend, tmp_path, grpc_listen=FREE) as server,
        grpc.aio.insecure_channel(server.grpc) as channel,
    ):
        export: Any = channel.unary_unary(f"/{method}")
        await export(request_of([ASpan()]), metadata=[("traceparent", CALLER)])
        with pytest.raises(grpc.aio.AioRpcError):
            await export(b"garbage")
        await server.collector.database.close()
        with pytest.raises(grpc.aio.AioRpcError):
            await export(request_of([ASpan()]))
    taken, garbage, unavailable = backend.named(method)
    said = {"rpc.system.name": "grpc", "rpc.method": method, "rpc.response.status_code": "OK"}
    assert (taken.kind, attributes(taken)) == (Span.SPAN_KIND_SERVER, said)
    assert (taken.trace_id.hex(), taken.parent_span_id.hex()) == tuple(CALLER.split("-")[1:3])
    assert "commit" in {span.name for span in backend.under(taken)}
    assert attributes(garbage)["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert garbage.status.code == Status.STATUS_CODE_UNSET
    assert attributes(unavailable)["error.type"] == attributes(unavailable)["rpc.response.status_code"] == "UNAVAILABLE"
    assert unavailable.status.code == Status.STATUS_CODE_ERROR


async def test_work_that_did_something_is_a_trace_and_looks_that_found_nothing_are_none(
    backend: TracesBackend, tmp_path: Path
) -> None:
    with receiver() as viewer:
        async with traced(
            backend, tmp_path, forward=(ForwardSettings(name="viewer", url=viewer.url),), checkpoint_seconds=60
        ) as server:
            await server.send(ASpan(), ASpan())
            await server.collector.usage.catch_up()
            await server.collector.watch.catch_up()
            await server.seal()
            server.clock.advance(seconds=61)
            await server.collector.log_keeper.catch_up()
            await asyncio.to_thread(eventually, lambda: viewer.received)
            for _ in range(3):
                await server.collector.usage.catch_up()
                assert await server.collector.sealer.catch_up() == []
    work = roots_of_work(backend.spans)
    assert work["roll up usage"] == {"charges": 2}
    assert work["look for anomalies"] == {"charges": 2, "flagged": 0}
    assert work["seal receipts"] == {"receipts": 1}
    assert work["sign checkpoints"] == {"checkpoints": 1}
    assert work["forward spans"] == {"backend": "viewer", "spans": 2, "verdict": "taken"}
    assert len(backend.named("roll up usage")) == len(backend.named("seal receipts")) == 1
    assert "commit" in {span.name for span in backend.under(backend.named("seal receipts")[0])}
    known = {span.span_id for span in backend.spans}
    assert {span.parent_span_id for span in backend.spans} - {b""} <= known
    for request in (*viewer.received, *backend.seen.received):
        assert {"traceparent", "tracestate", "baggage"} & set(request.headers) == set()


async def test_no_span_says_for_whom_something_was_done(backend: TracesBackend, tmp_path: Path) -> None:
    told = {"traceparent": CALLER, "baggage": "p402.employee=e-1042,p402.session=review-7"}
    async with traced(backend, tmp_path, grpc_listen=FREE) as server:
        key = await server.key("admin", "ingest", "spend:read", "receipts:read", "receipts:personal")
        await server.export(request_of([ASpan()]), key, **told)
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            export: Any = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            await export(request_of([ASpan()]), metadata=list(told.items()))
        await server.get("/v1/sessions/review-7?organisation=acme", key, **told)
        await server.ask("POST", "/v1/sessions/review-7/close?organisation=acme")
        await server.get("/v1/receipts?organisation=acme&employee=e-1042", key)
        await server.get("/v1/sessions/review-7?organisation=e-1042%00", key)
        await server.seal()
        for catch_up in (server.collector.usage.catch_up, server.collector.watch.catch_up):
            await catch_up()
    assert {"GET /v1/sessions/{session}", "POST /v1/sessions/{session}/close", "seal receipts"} <= {
        span.name for span in backend.spans
    }
    for request in backend.seen.received:
        for private in ("review-7", "e-1042", "acme", "globex", "contracts", "legal", key):
            assert private.encode() not in request.body


async def test_the_standard_says_who_we_are_what_is_sampled_and_what_is_shown_to_the_backend(
    backend: TracesBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=meter-eu,deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20of-the-backend")
    async with traced(backend, tmp_path) as server:
        await server.get("/v1/charges")
    [request, *_], [resource, *_] = backend.seen.received, backend.resources
    assert (request.path, request.headers["authorization"]) == ("/v1/traces", "Bearer of-the-backend")
    said = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert (said["service.name"], said["deployment.environment.name"]) == ("meter-eu", "test")
    assert said["service.version"] == "0.1.0"
    assert said["service.instance.id"]
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    backend.seen.received.clear()
    async with traced(backend, tmp_path) as server:
        await server.get("/v1/charges")
    assert backend.seen.received == []


async def test_an_environment_that_is_set_for_something_else_switches_nothing_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    settings = load_settings(data_dir=tmp_path)
    assert build_tracing(settings) == Tracing()
    collector = build(settings)
    assert type(collector.database) is Database
    assert [it for it in collector.app.middlewares if it.__module__.startswith("p402.collector.tracing")] == []
    await collector.database.close()


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("127.0.0.1:4318", "http://localhost:4318/v1/traces"),
        ("localhost:4318", "http://[::1]:4318"),
        ("0.0.0.0:4318", "http://localhost:4318"),
        ("[::]:4318", "http://127.0.0.1:4318"),
        ("10.0.0.5:80", "http://10.0.0.5/v1/traces"),
        ("meter.internal:4318", "http://METER.internal:4318"),
    ],
)
def test_an_address_that_is_its_own_is_refused_with_the_reason(listen: str, url: str) -> None:
    with pytest.raises(
        SettingsInvalid, match=r"own_traces_otlp_url leads to this collector itself .*never come to an end"
    ):
        load_settings(listen=listen, own_traces_otlp_url=url)


def test_the_address_at_which_people_open_the_page_is_its_own_too() -> None:
    with pytest.raises(SettingsInvalid, match="leads to this collector itself"):
        load_settings(public_url="https://p402.example.com", own_traces_otlp_url="https://p402.example.com/v1/traces")


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:4318", "http://localhost:14318"),
        ("127.0.0.1:4318", "https://tempo.example.com:4318"),
        ("10.0.0.5:4318", "http://127.0.0.1:4318"),
    ],
)
def test_another_address_is_none_of_its_own(listen: str, url: str) -> None:
    assert load_settings(listen=listen, own_traces_otlp_url=url).own_traces_endpoint == f"{url}/v1/traces"


@pytest.mark.parametrize("does", ["not listen", "not answer"])
async def test_a_backend_that_is_away_delays_neither_requests_nor_the_stop(tmp_path: Path, does: str) -> None:
    said: list[str] = []
    log = SdkLog(said.append)
    with traces_backend() as backend:
        backend.seen.answering.clear()
        url = backend.url if does == "not answer" else f"http://127.0.0.1:{steady_port()}"
        async with serving(tmp_path, own_traces_otlp_url=url) as server:
            began = time.monotonic()
            assert (await server.send(ASpan())).status == 200
            assert time.monotonic() - began < 2
            began = time.monotonic()
        assert time.monotonic() - began < 5
        backend.seen.answering.set()
    log.close()


def test_a_line_within_a_span_names_it() -> None:
    observe = observer(TracerProvider(shutdown_on_exit=False).get_tracer("test"))
    assert name_span(None, "info", {"event": "started"}) == {"event": "started"}
    with structlog.testing.capture_logs(processors=[name_span]) as lines, observe("seal receipts"):
        structlog.get_logger().info("receipt_sealed")
    [line] = lines
    assert (len(line["trace_id"]), len(line["span_id"])) == (32, 16)


def test_a_backends_address_is_checked() -> None:
    with pytest.raises(SettingsInvalid, match="looks like http://jaeger:4318/v1/traces"):
        load_settings(own_traces_otlp_url="jaeger:4318")
    assert Settings().own_traces_endpoint is None
