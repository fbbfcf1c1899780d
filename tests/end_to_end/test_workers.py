"""Zero-code where applications really run: gunicorn and uvicorn workers, reloading, processes that they start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from p402.collector.demo.providers import MockProviders
from support.collector import RunningCollector, eventually, running_collector
from support.ports import steady_port
from support.providers import providers_thread

BIN = Path(sys.executable).parent
TESTS = Path(__file__).parents[1]
APPLICATION = "support.served_application"
CALLS = 4
SERVERS = {
    "gunicorn with two workers": ["gunicorn", "--workers", "2", "--bind", "127.0.0.1:{port}", f"{APPLICATION}:wsgi"],
    "gunicorn that preloads": ["gunicorn", "--preload", "--bind", "127.0.0.1:{port}", f"{APPLICATION}:wsgi"],
    "uvicorn with two workers": [
        "uvicorn",
        "--workers",
        "2",
        "--port",
        "{port}",
        "--lifespan",
        "off",
        f"{APPLICATION}:asgi",
    ],
    "uvicorn that reloads": ["uvicorn", "--reload", "--port", "{port}", "--lifespan", "off", f"{APPLICATION}:asgi"],
}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with running_collector(tmp_path_factory.mktemp("workers")) as collector:
        yield collector


@pytest.fixture(scope="module")
def providers_url() -> Iterator[str]:
    with providers_thread(MockProviders()) as url:
        yield url


def variables(collector: RunningCollector, providers_url: str, organisation: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    return kept | {
        "OPENAI_BASE_URL": f"{providers_url}/v1",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "P402_COLLECTOR_URL": collector.url,
        "P402_ORGANISATION": organisation,
        "PYTHONPATH": str(TESTS),
    }


def charged(collector: RunningCollector, organisation: str) -> bool:
    return len(collector.get("/v1/charges", organisation=organisation)["charges"]) >= CALLS


@pytest.mark.parametrize("server", SERVERS)
def test_each_request_to_a_server_is_metered_once(
    collector: RunningCollector, providers_url: str, server: str, tmp_path: Path
) -> None:
    port = steady_port()
    command = [str(BIN / "opentelemetry-instrument"), *(part.format(port=port) for part in SERVERS[server])]
    command[1] = str(BIN / command[1])
    with (tmp_path / "server.log").open("w+") as log:
        process = subprocess.Popen(command, env=variables(collector, providers_url, server), cwd=tmp_path, stderr=log)
        try:
            for _ in range(CALLS):
                assert eventually(lambda: answered(port), deadline_seconds=60)
            eventually(lambda: charged(collector, server))
        finally:
            process.terminate()
            process.wait(timeout=30)
    assert len(collector.get("/v1/charges", organisation=server)["charges"]) == CALLS


def answered(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=20, verify=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_each_call_of_a_child_process_is_metered_once(
    collector: RunningCollector, providers_url: str, method: str
) -> None:
    command = [str(BIN / "opentelemetry-instrument"), sys.executable, "-m", APPLICATION, method]
    subprocess.run(command, env=variables(collector, providers_url, method), check=True, timeout=90)
    eventually(lambda: charged(collector, method))
    assert len(collector.get("/v1/charges", organisation=method)["charges"]) == CALLS
