"""A span for each call of OTLP over gRPC. Source: OpenTelemetry's semantic conventions 1.44, "RPC" and "gRPC"."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from opentelemetry.trace import SpanKind, Tracer, use_span

from p402.collector.address import Address
from p402.collector.tracing.spans import failed, remote_parent

__all__ = ["GrpcTracing"]

_Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class GrpcTracing(grpc.aio.ServerInterceptor):
    """The interceptor."""

    def __init__(self, tracer: Tracer, listen: Address | None) -> None:
        self._tracer = tracer
        self._server: dict[str, str | int] = {"rpc.system.name": "grpc"}
        if listen is not None and listen.port:
            self._server |= {"server.address": listen.host, "server.port": listen.port}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Put a span around a call; what nobody serves is not traced."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method, serve = handler_call_details.method.removeprefix("/"), handler.stream_unary  # all of ours are such

        async def traced(messages: AsyncIterator[bytes], context: _Context) -> bytes:
            return await self._traced(method, serve, messages, context)

        wrapped: Any = grpc.stream_unary_rpc_method_handler
        return wrapped(traced)

    async def _traced(self, method: str, serve: Any, messages: AsyncIterator[bytes], context: _Context) -> bytes:
        span = self._tracer.start_span(
            method,
            remote_parent(_traceparent(context)),
            SpanKind.SERVER,
            {**self._server, "rpc.method": method},
        )
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                answer: bytes = await serve(messages, context)
        except BaseException:  # refused (`abort` raises), or who asked is gone
            status = _NAMES.get(_code(context), "UNKNOWN")
            status = "CANCELLED" if status == "OK" else status
            span.set_attribute("rpc.response.status_code", status)
            if status in _SERVER_ERRORS:
                failed(span, status)
            raise
        else:
            span.set_attribute("rpc.response.status_code", "OK")
            return answer
        finally:
            span.end()


def _code(context: _Context) -> int:
    code: Any = context.code()
    return code.value[0] if isinstance(code, grpc.StatusCode) else int(code or 0)


def _traceparent(context: _Context) -> str | None:
    for name, value in context.invocation_metadata() or ():
        if name == "traceparent" and isinstance(value, str):
            return value
    return None
