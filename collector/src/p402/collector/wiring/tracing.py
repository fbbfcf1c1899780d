"""Puts together the collector's own traces: where they are off, which is the default, nothing stands in anybody's way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import grpc
from aiohttp.typedefs import Middleware

from p402.collector.observed_work import Observe, unobserved
from p402.collector.settings import Settings
from p402.collector.storage.backend import Backend
from p402.collector.storage.database import Database

__all__ = ["Tracing", "build_tracing"]


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Tracing:
    """What is put around the rest."""

    open_database: Callable[[Backend], Database] = Database
    middlewares: tuple[Middleware, ...] = ()
    interceptors: tuple[grpc.aio.ServerInterceptor, ...] = ()
    observe: Observe = unobserved
    close: Callable[[], Awaitable[None]] = _nothing
    """Sends what waits; the last thing to do."""


def build_tracing(settings: Settings) -> Tracing:
    """Put together what traces."""
    endpoint = settings.own_traces_endpoint
    if endpoint is None:
        return Tracing()
    # OpenTelemetry's SDK and exporter load for a while, and few collectors need them.
    from p402.collector.tracing.commits import TracedDatabase  # noqa: PLC0415
    from p402.collector.tracing.grpc_calls import GrpcTracing  # noqa: PLC0415
    from p402.collector.tracing.http_requests import http_tracing  # noqa: PLC0415
    from p402.collector.tracing.own_traces import OwnTraces  # noqa: PLC0415
    from p402.collector.tracing.spans import observer  # noqa: PLC0415

    traces = OwnTraces(endpoint)
    return Tracing(
        open_database=partial(TracedDatabase, tracer=traces.tracer),
        middlewares=(http_tracing(traces.tracer),),
        interceptors=(GrpcTracing(traces.tracer, settings.grpc_listen),),
        observe=observer(traces.tracer),
        close=traces.close,
    )
