"""Whoever runs the collector sees how long it takes, and nothing of whom it was for."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pydantic import SecretStr

from p402.collector.address import Address
from p402.collector.channel_settings import EventType, WebhookSettings
from p402.collector.forward_settings import ForwardSettings
from support.budgets import put_budget
from support.collector import eventually
from support.exporting import exported
from support.otlp import ASpan, request_of
from support.own_traces import CALLER, TracesBackend, roots_of_work, traced
from support.receiver import receiver
from support.wiretap import attributes

FREE = Address("127.0.0.1", 0)


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


async def test_exports_alerts_and_deliveries_are_traces_too(backend: TracesBackend, tmp_path: Path) -> None:
    with receiver() as told:
        secret = SecretStr("whsec_" + base64.b64encode(b"s" * 32).decode())
        hook = WebhookSettings(
            name="ops", url=told.url, secrets=(secret,), allow_private=True, events=(EventType.BUDGET_THRESHOLD,)
        )
        async with traced(backend, tmp_path, webhooks=(hook,)) as server:
            cap = {"level": "department", "node": "legal", "cap": "0.3", "period": "month"}
            await put_budget(server, "legal", cap)
            await server.send(ASpan())
            await server.collector.budget_watch.look()
            await server.collector.courier.catch_up()
            await exported(server, await server.key("exports"), format="csv")
    work = roots_of_work(backend.spans)
    assert work["look at budgets"] == {"accounts": 1, "crossings": 2}  # what was spent, and where that leads
    assert work["deliver events"] == {"channel": "ops", "tries": 1}
    assert work["make export"] == {"format": "csv"}


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
