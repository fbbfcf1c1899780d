"""The real Prometheus and its promtool, from the system's packages."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]

from p402.exporters.prometheus.rules import RULES
from support.collector import eventually
from support.ports import steady_port

_CLIENT = httpx.Client(timeout=30)


def program(name: str) -> str:
    """Where a program is; fails if it is not installed."""
    found = shutil.which(name)
    assert found, f"{name} is missing: .ci/system installs it"
    return found


def promtool(*arguments: str | Path) -> str:
    """Run promtool; gives what it says. Fails if it complains."""
    command = [program("promtool"), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def ask(self, path: str, **query: Any) -> Any:
        """The data of an answer; fails unless it is a success."""
        answer = _CLIENT.get(self.url + path, params=query).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, query: str) -> dict[tuple[tuple[str, str], ...], float]:
        """What a query gives now, by its labels."""
        found = self.ask("/api/v1/query", query=query)["result"]
        return {tuple(sorted(row["metric"].items())): float(row["value"][1]) for row in found}


@contextmanager
def running_prometheus(folder: Path, targets: Sequence[str]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes collectors every two seconds, with all rules; until the block ends.

    A scrape may take as long as that, where a machine has much to do.

    Args:
        folder: where it keeps its data.
        targets: addresses of collectors, such as ``127.0.0.1:4318``.
    """
    folder.mkdir()
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": [str(file) for file in RULES],
        "scrape_configs": [{"job_name": "p402", "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = steady_port()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            prometheus = Prometheus(f"http://127.0.0.1:{port}")
            eventually(lambda: process.poll() is not None or _is_ready(prometheus.url))
            assert process.poll() is None, (folder / "log").read_text()
            yield prometheus
        finally:
            process.terminate()
            process.wait(timeout=20)


def _is_ready(url: str) -> bool:
    try:
        return _CLIENT.get(f"{url}/-/ready").status_code == 200
    except httpx.TransportError:
        return False
