"""``make bench-budgets``: what a decision costs, beside a bare echo and the least that a durable one can cost.

All servers run in processes of their own and are asked over HTTP by the same client, turn by turn. The durable floor reads
the JSON, puts one row into SQLite and answers after the synced commit, as many rows at a time as are waiting.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import floors
from support.collector import running_collector
from support.control import control_of

ROUNDS = 3
ALONE, TOGETHER = 400, 3_200
CLIENTS = 64
QUESTION = {
    "organisation": "acme",
    "department": "legal",
    "project": "contracts",
    "client": "globex",
    "employee": "e-1042",
    "session": "review-7",
    "provider": "anthropic",
    "model": "claude-opus-4-5",
    "input_tokens": 2_847,
    "output_tokens": 10_000,
}
LEVELS = ("organisation", "department", "project", "client", "employee", "session")


@dataclass(frozen=True)
class Latency:
    """What one round showed, in microseconds."""

    p50: float
    p99: float
    per_second: float


async def _client(port: int, path: str, bodies: Sequence[bytes], found: list[float]) -> None:
    """Ask one thing after another over one connection; plain sockets, so that the client costs little."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        started = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        found.append((time.perf_counter() - started) * 1e6)
    writer.close()
    await writer.wait_closed()


def ask(url: str, path: str, clients: int, times: int, employees: int = 1) -> Latency:
    """Ask a number of times, by a number of clients at once."""
    bodies = [
        json.dumps({"question": {**QUESTION, "employee": f"e-{number % employees}"}}).encode()
        for number in range(times)
    ]
    port, found = int(url.rpartition(":")[2]), list[float]()

    async def run() -> float:
        started = time.perf_counter()
        await asyncio.gather(*(_client(port, path, bodies[start::clients], found) for start in range(clients)))
        return time.perf_counter() - started

    elapsed = asyncio.run(run())
    cuts = statistics.quantiles(found, n=100)
    return Latency(cuts[49], cuts[98], times / elapsed)


@contextmanager
def collector(folder: Path, budgets: int, *, each: bool = False) -> Iterator[str]:
    """A collector with budgets at so many levels of the path; ``each``: one account for every node."""
    with running_collector(folder, {"P402_LEASE_SETTLE_SECONDS": "3600"}) as running:
        control = control_of(running)
        for level in LEVELS[:budgets]:
            node = "*" if each else QUESTION[level]
            control.put_budget(f"{level}-month", {"level": level, "node": node, "cap": "10000000", "period": "month"})
        yield running.url


def rounds(url: str, path: str, clients: int, times: int, employees: int = 1) -> list[Latency]:
    """Ask in several rounds, after one to warm up."""
    ask(url, path, clients, times // 10, employees)
    return [ask(url, path, clients, times, employees) for _ in range(ROUNDS)]


def _cell(found: Sequence[Latency], what: str) -> str:
    values = [getattr(one, what) for one in found]
    return f"{statistics.median(values):,.0f} [{min(values):,.0f} to {max(values):,.0f}]"


def main() -> None:
    """Print the tables."""
    console = Console()
    table = Table("over HTTP", "clients", "p50 µs", "p99 µs", "a second", "p50: x floor", "p99: x floor", box=None)
    with tempfile.TemporaryDirectory() as scratch, console.status("Measuring …"):
        folder = Path(scratch)
        for clients, times in ((1, ALONE), (CLIENTS, TOGETHER)):
            with floors.decisions(None) as echo, floors.decisions(folder / f"floor-{clients}.sqlite3") as durable:
                shown = {
                    "echo": rounds(echo, "/v1/decisions", clients, times),
                    "durable floor": rounds(durable, "/v1/decisions", clients, times),
                }
            for budgets in (0, 1, 6):
                with collector(folder / f"{clients}-{budgets}", budgets) as url:
                    shown[f"/v1/decisions, {budgets} budgets on the path"] = rounds(
                        url, "/v1/decisions", clients, times
                    )
            floor = shown["durable floor"]
            for what, found in shown.items():
                ratios = [
                    statistics.median(getattr(one, name) for one in found)
                    / statistics.median(getattr(one, name) for one in floor)
                    for name in ("p50", "p99")
                ]
                cells = [_cell(found, name) for name in ("p50", "p99", "per_second")]
                table.add_row(what, str(clients), *cells, *(f"{ratio:.2f}" for ratio in ratios))
        growth = Table("six budgets, an account for each node", "employees", "clients", "p50 µs", "a second", box=None)
        for employees in (1, 100, 2_000):
            for clients in (1, 16, CLIENTS):
                with collector(folder / f"each-{employees}-{clients}", 6, each=True) as url:
                    found = rounds(url, "/v1/decisions", clients, TOGETHER if clients > 1 else ALONE, employees)
                growth.add_row("", str(employees), str(clients), _cell(found, "p50"), _cell(found, "per_second"))
    console.print(table)
    console.print(growth)


if __name__ == "__main__":
    main()
