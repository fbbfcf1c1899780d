"""A real collector: its own process, its own folder, a free port."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from support.databases import kept_in

T = TypeVar("T")
PROTOBUF = {"Content-Type": "application/x-protobuf"}
_CLIENT = httpx.Client(timeout=30, verify=False)  # making one takes 20 ms; there is no TLS here


@dataclass(frozen=True)
class RunningCollector:
    """A collector that accepts connections."""

    url: str
    process: subprocess.Popen[str]
    data_dir: Path

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at a path; fails unless the answer is 200."""
        response = _CLIENT.get(self.url + path, params=query)
        response.raise_for_status()
        return response.json()

    def text(self, path: str, **query: Any) -> str:
        """The text at a path."""
        response = _CLIENT.get(self.url + path, params=query)
        response.raise_for_status()
        return response.text

    def post(self, path: str, **query: Any) -> Any:
        """The JSON that a POST answers."""
        response = _CLIENT.post(self.url + path, params=query)
        response.raise_for_status()
        return response.json()

    def export(self, body: bytes, **headers: str) -> httpx.Response:
        """Send an OTLP request."""
        return _CLIENT.post(self.url + "/v1/traces", content=body, headers={**PROTOBUF, **headers}, timeout=30)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_collector(
    data_dir: Path, settings: Mapping[str, str] | None = None, command: Sequence[str] | None = None
) -> Iterator[RunningCollector]:
    """Run ``p402 serve`` until the block ends.

    Args:
        data_dir: where it keeps its data.
        settings: P402_* variables; sessions are sealed as soon as they are closed unless these say otherwise.
        command: what to run in its stead, with ``serve`` arguments appended.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    environment |= {
        "P402_DATA_DIR": str(data_dir),
        "P402_LISTEN": "127.0.0.1:0",
        "P402_GRPC_LISTEN": "127.0.0.1:0",
        "P402_SESSION_CLOSE_GRACE_SECONDS": "0",
    }
    data_dir.mkdir(parents=True, exist_ok=True)
    environment |= kept_in(data_dir, migrated=False).settings | dict(settings or {})
    with (data_dir / "collector.log").open("a") as log:
        process = subprocess.Popen(
            [*(command or (sys.executable, "-m", "p402.collector")), "serve"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield RunningCollector(_url(process, data_dir), process, data_dir)
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(timeout=20)
            finally:
                process.kill()
                assert process.stdout is not None
                process.stdout.close()


def _url(process: subprocess.Popen[str], data_dir: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("P402 Meter listens on "):
            return line.split()[4]
    raise AssertionError(f"The collector ended before it listened: {(data_dir / 'collector.log').read_text()}")


def eventually(look: Callable[[], T | None], deadline_seconds: float = 30.0) -> T:
    """Look again and again until there is something (not None, not empty, not false)."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing came within {deadline_seconds} seconds"
        time.sleep(0.05)
