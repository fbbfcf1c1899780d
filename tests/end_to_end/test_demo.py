"""``p402 demo`` tells the whole story and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from support.browser import chromium, is_wider_than_the_window, opened, picture
from support.collector import eventually

pytestmark = pytest.mark.timeout(400)

BIN = Path(sys.executable).parent
NODE_PARTS = Path(__file__).parents[1] / "node_modules" / ".bin"


class RunningDemo:
    """The demo after it has told its story and while it serves its page."""

    def __init__(self, folder: Path) -> None:
        path = f"{NODE_PARTS}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "TMPDIR": str(folder), "COLUMNS": "160"}
        self.temporary = folder
        self.started = datetime.now(UTC).isoformat()
        self.process = subprocess.Popen(
            [str(BIN / "p402"), "demo", "--listen", "127.0.0.1:0", "--days", "2"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.told = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told += line
            if line.startswith("Ctrl-C"):
                break

    @property
    def page(self) -> str:
        found = re.search(r"^The page +(\S+)", self.told, re.MULTILINE)
        assert found, self.told
        return found[1]

    def parts(self) -> list[str]:
        """The command lines of everything that runs with the demo's temporary folder or from its node."""
        listed = subprocess.run(["ps", "-eww", "-o", "pid,args"], check=True, capture_output=True, text=True).stdout
        own = str(self.process.pid)
        return [line for line in listed.splitlines() if line.split()[0] == own or self.node_port() in line]

    def node_port(self) -> str:
        found = re.search(r"Tempo node http://127.0.0.1:(\d+)", self.told)
        assert found, self.told
        return f"--port {found[1]}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    running = RunningDemo(tmp_path_factory.mktemp("demo"))
    yield running
    running.process.send_signal(signal.SIGINT)  # killed, it could not stop its parts
    running.process.communicate(timeout=60)


def test_the_story_goes_from_calls_to_a_verified_proof(demo: RunningDemo) -> None:
    assert "reviewed the contract" in demo.told
    assert "2,847" in demo.told
    assert "$0.264235" in demo.told
    assert demo.told.count("rcpt_") >= 4
    assert re.search(r"^verified$", demo.told, re.MULTILINE)


def test_people_and_departments_have_names(demo: RunningDemo) -> None:
    assert "The directory has names for 100 people in 8 departments" in demo.told


def test_acmes_past_is_there_at_every_level_with_budgets_and_projections(demo: RunningDemo) -> None:
    assert re.search(r"^Acme Corp, the last 30 days: [\d,]+ calls, \$[\d,.]+$", demo.told, re.MULTILINE)
    for level in ("department", "project", "client", "employee", "session", "request"):
        assert re.search(rf"^ {level} +[\d,]+ ", demo.told, re.MULTILINE), level
    assert re.search(r"^ engineering-month +\$[\d,.]+ +\$[\d,.]+ +\$[\d,.]+ +\d+ %", demo.told, re.MULTILINE)


def test_a_downgraded_call_and_a_blocked_one_are_explained(demo: RunningDemo) -> None:
    assert "marketing asked claude-opus-4-5 and was answered by claude-haiku-4-5" in demo.told
    assert "because=above_max_tier" in demo.told
    assert "code budget_exhausted" in demo.told
    assert "budget=agent-lab-session" in demo.told
    assert "P402 Meter refused this call before it left the process" in demo.told


def test_calls_go_on_arriving_and_receipts_being_anchored(demo: RunningDemo) -> None:
    address, organisation = demo.page.split("/?")
    newest = max(_charges(address, organisation))
    eventually(lambda: [seq for seq in _charges(address, organisation, newest) if seq > newest + 5], 60)

    def anchored_since() -> bool:
        since = {"from": demo.started, "anchored": "true", "limit": "1000"}
        page = httpx.get(f"{address}/v1/receipts?{organisation}", params=since, timeout=30).json()
        return len(page["receipts"]) > 5

    eventually(anchored_since, 90)


def _charges(address: str, organisation: str, after: int = 0) -> list[int]:
    found: list[int] = []
    while True:
        query = {"after": str(found[-1] if found else after), "limit": "1000"}
        page = httpx.get(f"{address}/v1/charges?{organisation}", params=query, timeout=30).json()["charges"]
        if not page:
            return found
        found += [charge["seq"] for charge in page]


def test_the_page_shows_it(demo: RunningDemo) -> None:
    with chromium() as browser:
        for size, theme in (("desktop", "light"), ("phone", "dark")):
            with opened(browser, demo.page, size, theme) as page:
                text = page.locator("main").inner_text()
                assert "Engineering" in text
                assert "Marketing" in text
                assert re.search(r"\b[A-Z][a-z]+ [A-Z][a-z]+ e-\d{4}\b", text), text
                assert not is_wider_than_the_window(page)
                picture(page, f"demo-{size}-{theme}")


def test_ctrl_c_ends_it_cleanly(demo: RunningDemo) -> None:
    assert len(demo.parts()) >= 2
    assert list(demo.temporary.iterdir())
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(timeout=30) == 0
    assert demo.process.stdout is not None
    assert "The demo has ended" in demo.process.stdout.read()
    assert demo.parts() == []
    assert [path for path in demo.temporary.iterdir() if path.name.startswith("p402-demo-")] == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(demo.page)


def test_a_kept_folder_is_gone_on_with_on_the_chain_that_it_was_anchored_on(tmp_path: Path) -> None:
    path = f"{NODE_PARTS}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"
    command = [
        str(BIN / "p402"),
        "demo",
        "--once",
        "--days",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        str(tmp_path),
    ]
    environment = {**os.environ, "PATH": path, "COLUMNS": "160"}
    charged = []
    for _ in range(2):
        told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=True).stdout
        assert re.search(r"^verified$", told, re.MULTILINE), told
        charged.append(json.loads((tmp_path / "acme.json").read_text())["charges"])
    assert charged[0] < charged[1]
