"""The application's own tasks: they end with it, and a fault in one does not end it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from p402.collector.app import build_app


async def started_and_stopped(task: asyncio.Event, runs: list[str], app: web.Application) -> None:
    """Run the application's life without its doors."""
    runner = web.AppRunner(app)
    await runner.setup()
    await asyncio.wait_for(task.wait(), 60)
    await asyncio.wait_for(runner.cleanup(), 30)
    runs.append("stopped")


async def test_a_task_in_which_a_cancellation_gets_lost_ends_all_the_same() -> None:
    waiting, happened = asyncio.Event(), list[str]()

    async def deaf() -> None:
        waiting.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        happened.append("missed it")
        await asyncio.sleep(60)

    async def close() -> None:
        happened.append("closed")

    await started_and_stopped(waiting, happened, build_app([], [deaf], close, max_request_bytes=1))
    assert happened == ["missed it", "closed", "stopped"]


async def test_a_task_that_fails_is_started_again() -> None:
    again, happened = asyncio.Event(), list[str]()

    async def fail_once() -> None:
        happened.append("run")
        if len(happened) == 1:
            raise ValueError("a fault of ours")
        again.set()
        await asyncio.sleep(60)

    async def close() -> None:
        happened.append("closed")

    await started_and_stopped(again, happened, build_app([], [fail_once], close, max_request_bytes=1))
    assert happened == ["run", "run", "closed", "stopped"]
