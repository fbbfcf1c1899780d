"""The real parts of the demo as processes: each is started, waited for, and stopped in order."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from p402.receipts import ChainReader
from p402.receipts.errors import ChainUnavailable
from p402.vocabulary import Permanent

__all__ = [
    "DEV_KEY",
    "DemoImpossible",
    "Driver",
    "collector",
    "driver",
    "feed_history",
    "free_port",
    "run_agent",
    "tempo_node",
]

DEV_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""The first key that every anvil funds. Everybody knows it; it is good for nothing but a local node."""

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class DemoImpossible(Permanent):
    """A part that the demo needs is missing, or did not start; the message says which and what to do."""


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def tempo_node(log: Path, state: Path) -> AsyncIterator[str]:
    """Run a local node with Tempo's rules; gives its RPC address.

    The chain goes on from the file ``state`` if there is one: a ledger that was anchored on another would wait for ever.

    T4 is named because anvil runs the rules of T0 without it; one slot in an epoch makes blocks final after two more.
    """
    anvil = shutil.which("anvil")
    if anvil is None:
        raise DemoImpossible("The local Tempo node is missing: `make install`, or `npm install -g @foundry-rs/anvil`.")
    port = free_port()
    rules = ("--network", "tempo", "--hardfork", "T4", "--slots-in-an-epoch", "1", "--block-time", "1")
    kept = ("--state", str(state))
    url = f"http://127.0.0.1:{port}"
    async with _process((anvil, *rules, *kept, "--port", str(port)), log, stop_by=signal.SIGINT) as node:
        reader = ChainReader(url)
        async with asyncio.timeout(_START_SECONDS):
            while True:
                if node.returncode is not None:
                    raise DemoImpossible(f"The local Tempo node ended at once; see {log}.")
                with suppress(ChainUnavailable):
                    await asyncio.to_thread(reader.chain_id)
                    break
                await asyncio.sleep(0.1)
        yield url


@asynccontextmanager
async def collector(environment: Mapping[str, str], log: Path) -> AsyncIterator[str]:
    """Run ``p402 serve``; gives its address."""
    command = (sys.executable, "-m", "p402.collector", "serve")
    async with _process(command, log, environment, read_output=True) as process:
        assert process.stdout is not None
        async for line in process.stdout:
            if line.startswith(b"P402 Meter listens on "):
                yield line.split()[4].decode()
                return
        raise DemoImpossible(f"The collector did not start: {_end_of(log)}")


async def feed_history(environment: Mapping[str, str], arguments: Sequence[str], log: Path) -> AsyncIterator[str]:
    """Feed Acme's past into the data folder; gives a line after each day."""
    command = (sys.executable, "-m", "p402.collector.demo.acme", *arguments)
    async with _process(command, log, environment, read_output=True) as history:
        assert history.stdout is not None
        async for line in history.stdout:
            yield line.decode().rstrip()
        if await history.wait() != 0:
            raise DemoImpossible(f"Acme's past could not be made: {_end_of(log)}")


async def run_agent(collector_url: str, providers_url: str, log: Path) -> None:
    """Run the demo's application under ``opentelemetry-instrument``, unchanged, as any service would be."""
    command = (*_instrumented("agent"), "--providers", providers_url)
    async with _process(command, log, _instrumentation(collector_url), read_output=True) as agent:
        assert agent.stdout is not None
        async for line in agent.stdout:
            print("   ", line.decode().rstrip())
        if await agent.wait() != 0:
            raise DemoImpossible(f"The demo's application failed: {_end_of(log)}")


class Driver:
    """The application that makes the calls it is told of."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def tell(self, call: Mapping[str, Any]) -> None:
        """Have a call made; what became of it is told by `ended`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(call).encode() + b"\n")
        with suppress(ConnectionError):  # it ended, which `ended` says
            await self._process.stdin.drain()

    async def ended(self) -> dict[str, Any]:
        """Wait for the next call that ends.

        Raises:
            DemoImpossible: if the application ended.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise DemoImpossible(f"The application that makes calls ended: {_end_of(self._log)}")
        ended: dict[str, Any] = json.loads(line)
        return ended


@asynccontextmanager
async def driver(collector_url: str, providers_url: str, log: Path) -> AsyncIterator[Driver]:
    """Run the application that makes the calls it is told of, under ``opentelemetry-instrument`` too."""
    command = (*_instrumented("driver"), "--providers", providers_url)
    async with _process(command, log, _instrumentation(collector_url), read_output=True) as process:
        yield Driver(process, log)


def _instrumented(module: str) -> tuple[str, ...]:
    instrument = shutil.which("opentelemetry-instrument", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if instrument is None:
        raise DemoImpossible("opentelemetry-instrument is missing: pip install 'p402-instrumentation[demo]'.")
    return instrument, sys.executable, "-m", f"p402.instrumentation.demo.{module}"


def _instrumentation(collector_url: str) -> Mapping[str, str]:
    """Give the settings of an application; it waits for decisions as long as a busy laptop needs, and sends spans at once."""
    return {
        "P402_COLLECTOR_URL": collector_url,
        "P402_DECISION_TIMEOUT_MS": "10000",
        "OTEL_SERVICE_NAME": "acme-assistant",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
    }


def _end_of(log: Path) -> str:
    return log.read_text().strip()[-500:]


@asynccontextmanager
async def _process(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    *,
    read_output: bool = False,
    stop_by: signal.Signals = signal.SIGTERM,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until the block ends. In a session of its own, so that Ctrl-C reaches only us and we stop it in order."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**inherited, **(environment or {})},
            stdin=asyncio.subprocess.PIPE if read_output else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if read_output else file,
            stderr=file,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            for number in (stop_by, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _STOP_SECONDS)
                    break
