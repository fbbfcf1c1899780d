"""``p402 serve``: run the collector."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys

import structlog
from structlog.typing import Processor

from p402.collector.app import Listening, serve
from p402.collector.cli.logs import OnceAMinute, Stderr
from p402.collector.settings import Settings, load_settings
from p402.collector.wiring import Collector, build
from p402.vocabulary import Attribution, Permanent, SystemClock

__all__ = ["add_to"]


class CannotListen(Permanent):
    """The address is in use or not ours."""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "serve",
        help="run the collector",
        description="Run the collector: OTLP/HTTP, the API and the page on one address, OTLP/gRPC on another, until it is told "
        "to stop.",
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="address to listen on (default 127.0.0.1:4318)")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the database and of the keys")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    given = {name: getattr(arguments, name) for name in ("listen", "data_dir") if getattr(arguments, name)}
    settings = load_settings(**given)
    _configure_logging(settings)
    collector = build(settings)
    asyncio.run(_serve(settings, collector))
    return 0


async def _serve(settings: Settings, collector: Collector) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)

    async def started(listening: Listening) -> None:
        await _print_first_key(collector)
        grpc = f" and {listening.grpc} (OTLP/gRPC)" if listening.grpc else ""
        print(
            f"P402 Meter listens on {listening.url} (OTLP/HTTP, API, page){grpc}. Data: {settings.data_dir}", flush=True
        )
        gc.collect()
        gc.freeze()  # modules, prices and models stay; looking through them again stops everything for a tenth of a second

    try:
        await serve(collector.app, collector.grpc, settings.listen, started, stop, collector.tls)
    except OSError as error:
        raise CannotListen(
            f"Cannot listen on {settings.listen}: {error.strerror or error}. "
            "Choose another address with --listen or P402_LISTEN."
        ) from error


async def _print_first_key(collector: Collector) -> None:
    if await collector.keys.none_exist():
        now = SystemClock().now()
        _, secret = await collector.keys.create("first admin key", frozenset({"admin"}), Attribution(), now)
        print(f"First start. This admin key is shown only now; keep it: {secret}", file=sys.stderr, flush=True)


def _configure_logging(settings: Settings) -> None:
    of_traces: list[Processor] = []
    if settings.own_traces_endpoint is not None:
        from p402.collector.tracing.log_lines import SdkLog, name_span  # noqa: PLC0415 - only where traces are on

        SdkLog()
        of_traces += [OnceAMinute(ending="own_traces_problem"), name_span]
    structlog.configure(
        processors=[
            OnceAMinute(),
            *of_traces,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: Stderr(),
    )
