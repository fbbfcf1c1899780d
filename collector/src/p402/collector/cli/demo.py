"""``p402 demo``: the whole product on this machine, with a month of a company that does not exist."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import tempfile
from pathlib import Path

from rich.console import Console

from p402.collector.demo.acme.history import DAYS, SEED
from p402.collector.demo.run import Demo

__all__ = ["add_to"]

_PORT = 4318
_MOST_DAYS = 366


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="the whole product on this machine, with a page to look at",
        description="Run a local Tempo node, mock LLM providers and the collector; feed it the last weeks of Acme Corp, which "
        "does not exist, through the real pipeline; and run applications that use the real SDKs under "
        "opentelemetry-instrument. Show what was attributed, priced, budgeted, decided, sealed, anchored and verified.",
    )
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help=f"address of the page (default 127.0.0.1:{_PORT}, or a free port)"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="keep the data here (default: a folder that goes away)"
    )
    parser.add_argument(
        "--days",
        type=_days,
        default=DAYS,
        metavar="N",
        help=f"how many days of Acme's past, today included (default {DAYS}); a folder that has some is only brought up to now",
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, metavar="N", help="who does what at Acme; the same gives the same"
    )
    parser.add_argument("--once", action="store_true", help="end when the story is told")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    listen = arguments.listen or f"127.0.0.1:{_PORT if _is_free(_PORT) else 0}"
    with tempfile.TemporaryDirectory(prefix="p402-demo-") as temporary:
        data_dir = arguments.data_dir or Path(temporary)
        data_dir.mkdir(parents=True, exist_ok=True)
        demo = Demo(data_dir, listen, Console(), arguments.days, arguments.seed)
        return asyncio.run(_demo(demo, once=arguments.once))


def _days(text: str) -> int:
    if not 1 <= int(text) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"a number from 1 to {_MOST_DAYS}")
    return int(text)


async def _demo(demo: Demo, *, once: bool) -> int:
    running = asyncio.ensure_future(demo.run(once=once))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        return 0 if await running else 1
    except asyncio.CancelledError:
        demo.console.print("\nThe demo has ended; its parts are stopped.")
        return 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
