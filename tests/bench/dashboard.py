"""``make bench-dashboard``: how long pages take, on a month of about a hundred people and on a hundred times that.

Measured over HTTP on loopback, one request after the other, against a collector in a process of its own; the database is filled
by bulk statements (`much_usage`). The floor is the same frame around nothing, from a server that asks no database.
"""

from __future__ import annotations

import asyncio
import http.client
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import web
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.much_usage import fill, lend_bodies
from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.endpoint import Caller
from p402.collector.dashboard.shell import Shell
from p402.collector.dashboard.view import View
from p402.vocabulary import Attribution, SystemClock
from support.collector import RunningCollector, eventually, running_collector
from support.control import Control, control_of
from support.otlp import ASpan, request_of
from support.pages import PAGES, address_of

PEOPLE = (100, 10_000)
_ROW = "{:40} {:>9} {:>9} {:>9} {:>14} {:>6}"
_LEAST, _LONGEST_SECONDS = 3, 5.0
TIMES = {100: 60, 10_000: 12}
BESIDE = (
    "/?period=30d",
    "/?period=7d",
    "/spend/employee?period=30d",
    "/spend/model?period=30d",
    "/calls?department=legal",
)
"""Beside each page as it is first opened."""
BUDGETS: Mapping[str, Mapping[str, Any]] = {
    "acme-month": {"level": "organisation", "node": "acme", "cap": "5000.00"},
    **{
        f"{name}-month": {"level": "department", "node": name, "cap": "900.00"}
        for name in ("engineering", "legal", "marketing", "finance", "support", "research")
    },
    "each-project": {"level": "project", "cap": "400.00"},
}


@dataclass(frozen=True)
class Took:
    """One page on one database."""

    page: str
    milliseconds: list[float]
    cpu: float
    """Milliseconds of processor time of the whole collector, for one of them; what a busy machine does not change."""
    kilobytes: float

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def p99(self) -> float:
        return sorted(self.milliseconds)[max(0, -(-len(self.milliseconds) * 99 // 100) - 1)]


def cpu_of(pid: int) -> float:
    """Milliseconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def measured(url: str, pid: int, page: str, key: str | None, times: int) -> Took:
    """Ask for a page again and again over one connection, so many times, or fewer of a slow one."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    headers = {"Accept": "text/html"} | ({"Authorization": f"Bearer {key}"} if key else {})
    found: list[float] = []
    size, before, began = 0, 0.0, time.perf_counter()
    for number in range(times + 1):
        if len(found) > _LEAST and time.perf_counter() - began > _LONGEST_SECONDS:
            break
        before = cpu_of(pid) if number == 1 else before  # the first one warms up
        started = time.perf_counter()
        connection.request("GET", page, headers=headers)
        answer = connection.getresponse()
        size = len(answer.read())
        found.append((time.perf_counter() - started) * 1000)
        assert answer.status == 200, (page, answer.status)
    connection.close()
    return Took(page, found[1:], (cpu_of(pid) - before) / len(found[1:]), size / 1024)


@contextmanager
def a_month(people: int) -> Iterator[tuple[RunningCollector, Control, Mapping[str, str], int, float]]:
    """A collector with a month of so many people, with budgets, and with one receipt that is real."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        started = time.perf_counter()
        charges = fill(data, people, datetime.now(UTC))
        took = time.perf_counter() - started
        settings = {
            "P402_DATABASE_URL": f"sqlite:///{data / 'p402.sqlite3'}",
            "P402_DEFAULT_ORGANISATION": "acme",
            "P402_RATE_LIMIT_PER_MINUTE": "0",
            "P402_GRPC_LISTEN": "",
        }
        with running_collector(data, settings) as collector:
            control = control_of(collector)
            for name, definition in BUDGETS.items():
                control.put_budget(name, definition)
            control.put_policy("legal", {"strategy": "cost-first"})
            collector.export(request_of([ASpan.of(started_ns=time.time_ns())]))
            collector.post("/v1/sessions/review-7/close")
            receipt = eventually(lambda: control.get("/v1/receipts", employee="e-1042")["receipts"], 120)[0]
            lend_bodies(data / "p402.sqlite3", receipt["receipt_id"])
            names = {
                "receipt_id": receipt["receipt_id"],
                "session": "review-7",
                "name": "legal-month",
                "department": "legal",
                "period": f"{datetime.now(UTC):%Y-%m}",
            }
            yield collector, control, names, charges, took


def pages_of(names: Mapping[str, str]) -> list[str]:
    return [*(address_of(page, names) for page in PAGES), *BESIDE]


@contextmanager
def frame_only() -> Iterator[tuple[str, int]]:
    """A server of its own that renders the frame around a sentence; gives its address and its number."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve_frames, args=(theirs,))
    process.start()
    try:
        yield ours.recv(), process.pid or 0
    finally:
        process.terminate()
        process.join()


def _serve_frames(told: Connection) -> None:
    shell = Shell(cast("Authenticator", None), SystemClock(), "acme")  # nobody is asked who asks
    caller = Caller(Principal(None, frozenset({"admin"}), Attribution()), "acme")

    async def frame(request: web.Request) -> web.Response:
        said: dict[str, Any] = {
            "title": "Nothing",
            "detail": "Nothing is here.",
            "next_step": "",
            "back": None,
            "somebody_else_may": False,
        }
        return shell.page(request, caller, View(), "error.html", **said)

    async def serve() -> None:
        app = web.Application()
        app.add_routes([web.get("/", frame)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        told.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()

    asyncio.run(serve())


def main() -> None:
    console = Console()
    wanted = [int(number) for number in sys.argv[1:]] or list(PEOPLE)
    with frame_only() as (url, pid):
        floor = measured(url, pid, "/", None, 500)
    said = f"{floor.median:.1f} ms (p99 {floor.p99:.1f} ms, CPU {floor.cpu:.1f} ms)"
    console.print(f"The frame around nothing, from no database: {said}.")
    for people in wanted:
        with a_month(people) as (collector, control, names, charges, took):
            console.print(f"{people:,} people, {charges:,} charges of 60 days (put there in {took:.0f} s)")
            console.print(_ROW.format("page", "p50 ms", "p99 ms", "CPU ms", "× frame (CPU)", "kB"), soft_wrap=True)
            for page in pages_of(names):
                found = measured(collector.url, collector.process.pid, page, control.key, TIMES.get(people, 12))
                figures = (found.median, found.p99, found.cpu, found.cpu / floor.cpu)
                told = [f"{figure:.1f}" for figure in figures]
                console.print(_ROW.format(page[:40], *told, f"{found.kilobytes:.0f}"), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
