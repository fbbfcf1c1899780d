"""The aiohttp application: routes, the way errors leave, and the tasks that live as long as it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import structlog
from aiohttp import web

from p402.collector.api.problem import problem_middleware

__all__ = ["build_app", "serve"]

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 10.0  # how long requests under way may take to finish at a stop


def build_app(
    routes: Sequence[web.RouteDef],
    tasks: Sequence[Callable[[], Awaitable[None]]],
    close: Callable[[], Awaitable[None]],
    max_request_bytes: int,
) -> web.Application:
    """Build the application.

    Args:
        routes: everything that is served.
        tasks: what runs beside the requests until the end; they are stopped before ``close``.
        close: the last thing to do, after the last request was answered.
        max_request_bytes: largest body, as it arrives.
    """
    app = web.Application(middlewares=[problem_middleware], client_max_size=max_request_bytes)
    app.add_routes(routes)

    async def run_tasks(_: web.Application) -> AsyncIterator[None]:
        running = [asyncio.ensure_future(_logged(task)) for task in tasks]
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await close()

    app.cleanup_ctx.append(run_tasks)
    return app


async def _logged(task: Callable[[], Awaitable[None]]) -> None:
    """Run a task for ever: a fault of ours is logged and the task started again, after a moment."""
    while True:
        try:
            await task()
        except Exception:
            log.exception("task_failed", task=getattr(task, "__qualname__", str(task)))
        await asyncio.sleep(1)


async def serve(
    app: web.Application, host: str, port: int, started: Callable[[str], Awaitable[None]], stop: asyncio.Event
) -> None:
    """Serve until ``stop`` is set; then answer what is under way, and end.

    Args:
        app: what to serve.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        started: called with the base URL once connections are accepted.
        stop: set to end.
    """
    # Bodies are inflated by the receiver, which knows who sends and how much it may be.
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=_DRAIN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0]
        await started(f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}")
        await stop.wait()
    finally:
        with suppress(asyncio.CancelledError):
            await runner.cleanup()
