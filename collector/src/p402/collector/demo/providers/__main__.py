"""Serves the mock providers until it is stopped: ``python -m p402.collector.demo.providers --port 4402``."""

from __future__ import annotations

import argparse
import asyncio
import signal

from p402.collector.demo.providers.server import MockProviders, running


async def serve(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; say first where the SDKs find the providers."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with running(MockProviders(), host, port) as base_url:
        print(f"OPENAI_BASE_URL={base_url}/v1")
        print(f"ANTHROPIC_BASE_URL={base_url}")
        print(f"GOOGLE_GEMINI_BASE_URL={base_url}", flush=True)
        await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m p402.collector.demo.providers", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port))
