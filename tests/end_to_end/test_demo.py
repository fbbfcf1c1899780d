"""``p402 demo`` tells the whole story and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.browser import chromium, is_wider_than_the_window, opened, picture

pytestmark = pytest.mark.xdist_group("demo")

BIN = Path(sys.executable).parent
NODE_PARTS = Path(__file__).parents[1] / "node_modules" / ".bin"


class RunningDemo:
    """The demo after it has told its story and while it serves its page."""

    def __init__(self, folder: Path) -> None:
        path = f"{NODE_PARTS}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "TMPDIR": str(folder), "COLUMNS": "160"}
        self.temporary = folder
        self.process = subprocess.Popen(
            [str(BIN / "p402"), "demo", "--listen", "127.0.0.1:0"], env=environment, stdout=subprocess.PIPE, text=True
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


def test_the_page_shows_it(demo: RunningDemo) -> None:
    with chromium() as browser:
        for size, theme in (("desktop", "light"), ("phone", "dark")):
            with opened(browser, demo.page, size, theme) as page:
                text = page.locator("main").inner_text()
                assert "review-northwind-2026" in text
                assert page.get_by_text("anchored", exact=True).count() >= 4
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
