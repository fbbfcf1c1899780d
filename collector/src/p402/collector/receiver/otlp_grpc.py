"""OTLP over gRPC: the services of the three signals, on an address of their own.

Requests pass as bytes: who sends is asked before the message is taken in and decompressed, and a message that cannot
be decoded gets an answer of ours. Source: opentelemetry-proto ``docs/specification.md``, "OTLP/gRPC": UNAVAILABLE with
``RetryInfo`` makes the client try again, INVALID_ARGUMENT makes it drop the batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from p402.collector.address import Address
from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.problem import status_of
from p402.collector.receiver.decoded import MalformedOtlp
from p402.collector.receiver.intake import PROTOBUF, Encoding, Intake
from p402.collector.tls import Tls
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import P402Error, Permanent, Transient

__all__ = ["CannotListenForGrpc", "OtlpGrpc"]

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 10.0  # how long requests under way may take to finish at a stop
_CODES = {  # by the HTTP status of the same meaning; what else is wrong, is wrong with the argument
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    503: grpc.StatusCode.UNAVAILABLE,
}

_Take: TypeAlias = Callable[[Encoding, bytes, Principal], Awaitable[bytes]]
_Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]


class CannotListenForGrpc(Permanent):
    """The address is in use or not ours."""


class OtlpGrpc:
    """The gRPC server: ``async with grpc.serving() as address``."""

    def __init__(
        self,
        intake: Intake,
        authenticator: Authenticator,
        metrics: CollectorMetrics,
        listen: Address,
        max_bytes: int,
        *,
        required: bool,
        tls: Tls | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        self._signals: dict[str, _Take] = {"trace": intake.traces, "metrics": intake.metrics, "logs": intake.logs}
        self._authenticator = authenticator
        self._metrics = metrics
        self._listen = listen
        self._max_bytes = max_bytes
        self._required = required
        self._tls = tls
        self._interceptors = interceptors

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Address | None]:
        """Serve until the block ends, then answer what is under way.

        Gives the address that clients can connect to, or None where it was taken and gRPC is not required.

        Raises:
            CannotListenForGrpc: if the address cannot be had, and gRPC is required.
        """
        options = (
            ("grpc.max_receive_message_length", self._max_bytes),
            ("grpc.so_reuseport", 0),  # else two collectors would silently share one port
        )
        handlers = [self._service(signal) for signal in self._signals]
        server = grpc.aio.server(handlers=handlers, interceptors=self._interceptors, options=options)
        try:
            if self._tls is None:
                port = server.add_insecure_port(str(self._listen))
            else:
                port = server.add_secure_port(str(self._listen), self._tls.grpc_credentials())
        except RuntimeError as error:
            problem = (
                f"Cannot listen on {self._listen} for OTLP/gRPC: the address is in use or not of this machine. "
                "Choose another one with P402_GRPC_LISTEN, or set it to nothing to switch gRPC off."
            )
            if self._required:
                raise CannotListenForGrpc(problem) from error
            log.warning("grpc_is_not_served", problem=problem)
            yield None
            return
        await server.start()
        try:
            yield Address(self._listen.host, port)
        finally:
            await server.stop(_DRAIN_SECONDS)

    def _service(self, signal: str) -> grpc.GenericRpcHandler:
        # On the wire a request of one message is a stream of one. Taking it as a stream lets us ask first who sends.
        export: Any = grpc.stream_unary_rpc_method_handler(partial(self._export, signal))
        name = f"opentelemetry.proto.collector.{signal}.v1.{signal.capitalize()}Service"
        return grpc.method_handlers_generic_handler(name, {"Export": export})

    async def _export(self, signal: str, messages: AsyncIterator[bytes], context: _Context) -> bytes:
        refusal: P402Error
        try:
            principal = await self._authenticator.principal(_authorization(context), "ingest")
            answer = await self._signals[signal](PROTOBUF, await _only(messages), principal)
        except P402Error as error:
            refusal = error
        except Exception:
            log.exception("otlp_request_failed", signal=signal)
            refusal = Transient("The collector failed at this batch; its log has the details.")
        else:
            self._count(signal, 200)
            return answer
        self._count(signal, status_of(refusal))
        await _refuse(context, refusal)
        raise AssertionError  # unreachable: refusing ends the call

    def _count(self, signal: str, status: int) -> None:
        self._metrics.otlp_request("traces" if signal == "trace" else signal, status)


def _authorization(context: _Context) -> str | None:
    """Find the key. No web page can speak gRPC to this port, so there is no page of another site to refuse."""
    for name, value in context.invocation_metadata() or ():
        if name == "authorization":
            return value if isinstance(value, str) else value.decode(errors="surrogateescape")
    return None


async def _only(messages: AsyncIterator[bytes]) -> bytes:
    """Give the one message of a call, once it is sure that no other follows; of a stream no more than two are taken in."""
    only = await anext(messages, None)
    if only is None:
        raise MalformedOtlp("Export takes one message; none came.")
    if await anext(messages, None) is not None:
        raise MalformedOtlp("Export takes one message; more came.")
    return only


async def _refuse(context: _Context, error: P402Error) -> None:
    code = _CODES.get(status_of(error), grpc.StatusCode.INVALID_ARGUMENT)
    trailers: tuple[tuple[str, bytes], ...] = ()
    if isinstance(error, Transient):
        retry = RetryInfo(retry_delay=Duration(seconds=1))
        details = AnyMessage()
        details.Pack(retry)
        status = Status(code=code.value[0], message=str(error), details=[details])
        trailers = (
            ("grpc-status-details-bin", status.SerializeToString()),  # where the specification puts it
            ("google.rpc.retryinfo-bin", retry.SerializeToString()),  # where Python's exporter looks for it
        )
    await context.abort(code, str(error), trailers)
