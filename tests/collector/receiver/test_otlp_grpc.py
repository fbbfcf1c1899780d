"""OTLP over gRPC, at a collector that listens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from p402.collector.address import Address
from p402.collector.cli import main
from p402.collector.settings import Settings
from p402.collector.wiring import build
from support.databases import empty_database
from support.otlp import ASpan, request_of
from support.server import Server, bearer, serving

LIMIT = 100_000
FREE = Address("127.0.0.1", 0)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, grpc_listen=FREE, max_request_bytes=LIMIT) as running:
        yield running


async def export(server: Server, body: bytes, key: str | None = None, signal: str = "trace", **options: Any) -> bytes:
    """Send the bytes of a request as its one message; gives the bytes of the answer."""
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call: Any = channel.unary_unary(path(signal))
        answer: bytes = await call(body, timeout=20, metadata=metadata(key), **options)
        return answer


def path(signal: str) -> str:
    return f"/opentelemetry.proto.collector.{signal}.v1.{signal.capitalize()}Service/Export"


def metadata(key: str | None) -> Sequence[tuple[str, str]]:
    return [(name.lower(), value) for name, value in bearer(key).items()]


async def refusal(server: Server, body: bytes, key: str | None = None, **options: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await export(server, body, key, **options)
    return refused.value


async def charges(server: Server) -> int:
    return len((await server.get("/v1/charges?organisation=acme")).json["charges"])


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_spans_are_on_disk_when_they_are_acknowledged(
    server: Server, compression: grpc.Compression | None
) -> None:
    assert await export(server, request_of([ASpan(), ASpan()]), compression=compression) == b""
    assert await charges(server) == 2


async def test_an_empty_request_is_a_full_success(server: Server) -> None:
    assert await export(server, b"") == b""


async def test_rejected_spans_are_named_and_the_others_are_charged(server: Server) -> None:
    answer = await export(server, request_of([ASpan(), ASpan(span_id=b"short")]))
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (partial.rejected_spans, await charges(server)) == (1, 1)
    assert partial.error_message == "span 1 ('chat claude-opus-4-5'): span_id has 5 bytes, it must have 8"


async def test_garbage_is_refused_for_good(server: Server) -> None:
    refused = await refusal(server, b"garbage")
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "is not an ExportTraceServiceRequest" in str(refused.details())
    assert not refused.trailing_metadata()


async def test_the_sender_is_told_when_to_try_again_while_storage_is_down(server: Server) -> None:
    await server.collector.database.close()
    refused = await refusal(server, request_of([ASpan()]))
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    trailers: dict[str, Any] = dict(refused.trailing_metadata())
    assert RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"]).retry_delay.seconds == 1
    status = Status.FromString(trailers["grpc-status-details-bin"])
    detail = RetryInfo()
    assert (status.code, status.details[0].Unpack(detail), detail.retry_delay.seconds) == (14, True, 1)


@pytest.mark.parametrize(
    ("body", "compression"), [(bytes(LIMIT + 1), None), (bytes(100 * LIMIT), grpc.Compression.Gzip)]
)
async def test_a_message_too_large_as_it_arrives_or_when_inflated_is_refused(
    server: Server, body: bytes, compression: grpc.Compression | None
) -> None:
    refused = await refusal(server, body, compression=compression)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await export(server, b"") == b""


@pytest.mark.parametrize("messages", [0, 2])
async def test_a_call_without_exactly_one_message_is_refused(server: Server, messages: int) -> None:
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call: Any = channel.stream_unary(path("trace"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call([request_of([ASpan()])] * messages, timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await charges(server) == 0


async def test_a_second_message_ends_the_call_before_more_are_taken_in(server: Server) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(LIMIT)

    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call: Any = channel.stream_unary(path("trace"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(endless(), timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == "Export takes one message; more came."
    assert sent < 100  # what fits into buffers on the way


async def test_other_signals_are_accepted_and_counted(server: Server) -> None:
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(event_name="gen_ai.evaluation.result")
    assert await export(server, b"anything", signal="metrics") == b""
    assert await export(server, logs.SerializeToString(), signal="logs") == b""
    await export(server, request_of([ASpan()]))
    await refusal(server, b"garbage")
    exposed = (await server.get("/metrics")).body.decode()
    for signal, status in (("metrics", 200), ("logs", 200), ("traces", 200), ("traces", 400)):
        assert f'p402_otlp_requests_total{{signal="{signal}",status="{status}"}} 1.0' in exposed
    assert "p402_evaluations_total 1.0" in exposed


async def test_who_sends_is_asked_before_a_message_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path, grpc_listen=FREE, require_key=True) as server:
        bound = await server.key("ingest", organisation="umbrella")
        assert await export(server, request_of([ASpan()]), bound) == b""
        [charge] = (await server.get("/v1/charges", await server.key("spend:read", organisation="umbrella"))).json[
            "charges"
        ]
        assert charge["organisation"] == "umbrella"
        for key, code in (
            (None, grpc.StatusCode.UNAUTHENTICATED),
            ("p402_wrong", grpc.StatusCode.UNAUTHENTICATED),
            (await server.key("spend:read"), grpc.StatusCode.PERMISSION_DENIED),
        ):
            assert (await refusal(server, b"garbage", key)).code() is code
            async with grpc.aio.insecure_channel(server.grpc) as channel:
                call: Any = channel.stream_unary(path("trace"))(metadata=metadata(key), timeout=20)
                assert await call.code() is code  # nothing was sent, and nothing is waited for


async def test_a_request_under_way_is_answered_at_a_stop(tmp_path: Path) -> None:
    async with serving(tmp_path, grpc_listen=FREE) as server:
        channel = grpc.aio.insecure_channel(server.grpc)
        call: Any = channel.stream_unary(path("trace"))(timeout=20)
        await call.write(request_of([ASpan()]))

        async def finish_late() -> bytes:
            while True:  # until the door is closed to others
                async with grpc.aio.insecure_channel(server.grpc) as other:
                    knock: Any = other.unary_unary(path("trace"))
                    try:
                        await knock(b"", timeout=2)
                    except grpc.aio.AioRpcError:
                        break
            await call.done_writing()
            answer: bytes = await call
            return answer

        late = asyncio.create_task(finish_late())
    assert await asyncio.wait_for(late, 20) == b""
    await channel.close()
    async with serving(tmp_path) as server:
        assert await charges(server) == 1


@pytest.fixture
def taken() -> Iterator[Address]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield Address("127.0.0.1", other.getsockname()[1])


def test_a_taken_address_that_was_asked_for_ends_the_start(
    tmp_path: Path, taken: Address, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p402.sqlite3").write_bytes(empty_database())
    monkeypatch.setenv("P402_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("P402_GRPC_LISTEN", str(taken))
    assert main(["serve", "--listen", "127.0.0.1:0"]) == 1
    assert f"Cannot listen on {taken} for OTLP/gRPC" in capsys.readouterr().err


async def test_without_the_default_address_the_collector_goes_on_without_grpc(tmp_path: Path, taken: Address) -> None:
    (tmp_path / "p402.sqlite3").write_bytes(empty_database())
    collector = build(Settings(data_dir=tmp_path))
    assert collector.grpc is not None
    collector.grpc._listen = taken  # as if it were the default one, which something else on this machine may use
    async with collector.grpc.serving() as address:
        assert address is None
    await collector.database.close()


@pytest.mark.parametrize(
    ("listen", "grpc_listen", "needed"),
    [
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("127.0.0.1:1", "", False),
        ("127.0.0.1:1", "0.0.0.0:2", True),
        ("0.0.0.0:1", "127.0.0.1:2", True),
    ],
)
def test_a_key_is_needed_where_others_can_connect_to_either_address(
    listen: str, grpc_listen: str, *, needed: bool
) -> None:
    settings = Settings.model_validate({"listen": listen, "grpc_listen": grpc_listen})
    assert settings.key_required is needed
