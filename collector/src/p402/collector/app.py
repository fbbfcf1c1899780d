"""The aiohttp application: routes, the way errors leave, and what lives as long as it does: tasks, the gRPC door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from p402.collector.address import Address
from p402.collector.api.problem import problem_middleware
from p402.collector.api.rate_limits import tell_rate_limit
from p402.collector.receiver.otlp_grpc import OtlpGrpc
from p402.collector.tls import Tls

__all__ = ["Listening", "build_app", "serve"]

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 10.0  # how long requests under way may take to finish at a stop


def build_app(
    routes: Sequence[web.RouteDef],
    tasks: Sequence[Callable[[], Awaitable[None]]],
    close: Callable[[], Awaitable[None]],
    max_request_bytes: int,
    end_streams: Sequence[Callable[[], None]] = (),
    pages: Sequence[Middleware] = (),
    outermost: Sequence[Middleware] = (),
) -> web.Application:
    """Build the application.

    Args:
        routes: everything that is served.
        tasks: what runs beside the requests until the end; they are stopped before ``close``.
        close: the last thing to do, after the last request was answered.
        max_request_bytes: largest body, as it arrives.
        end_streams: each ends answers that never end by themselves, so that a stop need not wait for them.
        pages: what tells people otherwise what programs are told as problems.
        outermost: what sees every answer last, also those about problems.
    """
    middlewares = [*outermost, problem_middleware, *pages]
    app = web.Application(middlewares=middlewares, client_max_size=max_request_bytes)
    app.add_routes(routes)

    async def run_tasks(_: web.Application) -> AsyncIterator[None]:
        running = [asyncio.ensure_future(_logged(task)) for task in tasks]
        yield
        for task in running:
            while not task.done():  # a cancellation may get lost in a library, as in wait_for before Python 3.12
                task.cancel()
                await asyncio.wait([task], timeout=1)
        await close()

    async def stopping(_: web.Application) -> None:
        for end in end_streams:
            end()

    app.cleanup_ctx.append(run_tasks)
    app.on_shutdown.append(stopping)
    app.on_response_prepare.append(tell_rate_limit)
    return app


async def _logged(task: Callable[[], Awaitable[None]]) -> None:
    """Run a task for ever: a fault of ours is logged and the task started again, after a moment."""
    while True:
        try:
            await task()
        except Exception:
            log.exception("task_failed", task=getattr(task, "__qualname__", str(task)))
        await asyncio.sleep(1)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where clients can connect."""

    url: str
    """Of OTLP/HTTP, the API and the page."""
    grpc: Address | None
    """Of OTLP/gRPC; None where it is not served."""


async def serve(
    app: web.Application,
    grpc: OtlpGrpc | None,
    listen: Address,
    started: Callable[[Listening], Awaitable[None]],
    stop: asyncio.Event,
    tls: Tls | None = None,
) -> None:
    """Serve until ``stop`` is set; then answer what is under way, and end.

    Args:
        app: what to serve over HTTP.
        grpc: what to serve over gRPC.
        listen: address of HTTP.
        started: called once connections are accepted.
        stop: set to end.
        tls: of HTTP; None: it is in clear text.

    Raises:
        OSError: if ``listen`` cannot be had.
        CannotListenForGrpc: if the address of gRPC cannot be had.
    """
    # Bodies are inflated by the receiver, which knows who sends and how much it may be.
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=_DRAIN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, listen.host, listen.port, ssl_context=tls.context if tls else None)
        await site.start()
        bound = Address(*runner.addresses[0][:2])
        async with grpc.serving() if grpc else nullcontext() as grpc_address:
            await started(Listening(f"{'https' if tls else 'http'}://{bound}", grpc_address))
            await stop.wait()
    finally:
        with suppress(asyncio.CancelledError):
            await runner.cleanup()
