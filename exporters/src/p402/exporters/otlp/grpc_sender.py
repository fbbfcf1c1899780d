"""OTLP over gRPC.

Source: opentelemetry-proto ``docs/specification.md``, "OTLP/gRPC": which codes may be tried again; RESOURCE_EXHAUSTED only with
``RetryInfo``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from p402.exporters.otlp.sender import Answer, Backend, Verdict, taken

__all__ = ["GrpcSender"]

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_RETRIED = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_TIMEOUT = 30.0
_DETAILS = "grpc-status-details-bin"


class GrpcSender:
    """Sends to ``http://host:4317`` in the clear, and to ``https://host:4317`` over TLS."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._channel: grpc.aio.Channel | None = None

    async def send(self, body: bytes) -> Answer:
        """Send one batch."""
        if self._channel is None:
            self._channel = _connect(self._backend.url)
        export: Any = self._channel.unary_unary(_METHOD)
        metadata = tuple((name.lower(), value) for name, value in self._backend.headers.items())
        compression = grpc.Compression.Gzip if self._backend.compress else grpc.Compression.NoCompression
        try:
            answer: bytes = await export(body, timeout=_TIMEOUT, metadata=metadata, compression=compression)
        except grpc.aio.AioRpcError as error:
            return _refused(error)
        return taken(answer)

    async def close(self) -> None:
        """Let go of the connection."""
        if self._channel is not None:
            await self._channel.close()


def _connect(url: str) -> grpc.aio.Channel:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return grpc.aio.secure_channel(parts.netloc, grpc.ssl_channel_credentials())
    return grpc.aio.insecure_channel(parts.netloc)


def _refused(error: grpc.aio.AioRpcError) -> Answer:
    problem = f"the backend answered {error.code().name}: {(error.details() or '')[:200]}"
    wait = _retry_info(error)
    if error.code() in _RETRIED or (error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and wait is not None):
        return Answer(Verdict.RETRY, problem, wait)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:  # how servers refuse a message that is too large
        return Answer(Verdict.SPLIT, problem)
    return Answer(Verdict.DROP, problem)


def _retry_info(error: grpc.aio.AioRpcError) -> float | None:
    for name, value in error.trailing_metadata() or ():
        if name == _DETAILS and isinstance(value, bytes):
            for detail in _details(value):
                info = RetryInfo()
                if detail.Unpack(info):
                    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None


def _details(value: bytes) -> Iterable[AnyMessage]:
    try:
        return list(Status.FromString(value).details)
    except DecodeError:
        return ()
