"""``make bench-capture``: what instrumenting a call costs, beside everybody else's instrumentation of the same call.

CPU of the whole process, background threads and export included, as added to the bare SDK; the openai SDK on a transport
without a network. Variants take turns, so that a noisy moment hits all of them; the table shows medians and the spread.
Each sends one span for each call to a real endpoint: others by OpenTelemetry's exporter, ours as its README has it, with
nothing set but where the collector is.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.floors import sink
from bench.startup import show_startup
from support.environments import environment

ROUNDS = 5
TWICE = "ours, traced too"
VARIANTS = ("bare", "stock httpx2", "ours", TWICE, "genai-openai", "OpenLLMetry", "OpenInference")
WORKER = Path(__file__).with_name("capture_worker.py")


def measure(python: Path, variant: str, sink_url: str) -> dict[str, float]:
    """Run one variant once, in a process of its own."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    variables["P402_COLLECTOR_URL"] = sink_url
    ran = subprocess.run(
        [str(python), str(WORKER), variant, sink_url], env=variables, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def main() -> None:
    """Print the table."""
    console = Console()
    python = environment("other-instrumentations") / "python"
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    with sink() as url:
        for _ in track(range(ROUNDS), "Measuring …", console=console, transient=True):
            for variant in VARIANTS:
                found[variant].append(measure(python, variant, url))
    table = Table("instrumentation", *(f"{what}, added µs" for what in found["bare"][0]), box=None)
    table.add_column("call: x stock")
    table.add_column("32: x stock")
    median = {
        variant: {what: statistics.median(run[what] for run in runs) for what in runs[0]}
        for variant, runs in found.items()
    }
    for variant in VARIANTS[1:]:
        cells = []
        for what, base in median["bare"].items():
            runs = [run[what] - base for run in found[variant]]
            cells.append(f"{_added(median, variant, what):,.1f} [{min(runs):,.1f} to {max(runs):,.1f}]")
        ratios = [
            _added(median, variant, what) / _added(median, "stock httpx2", what) for what in list(median["bare"])[:2]
        ]
        table.add_row(variant, *cells, *(f"{ratio:.2f}" for ratio in ratios))
    bare = ", ".join(f"{what} {value:,.1f} µs" for what, value in median["bare"].items())
    console.print(table)
    console.print(
        f"The bare SDK: {bare}. Every variant exports one span for each call; {TWICE!r} exports it twice, to the"
    )
    console.print("collector and, beside it, by the BatchSpanProcessor of an application that has traces of its own.\n")
    show_startup(console)


def _added(median: dict[str, dict[str, float]], variant: str, what: str) -> float:
    return median[variant][what] - median["bare"][what]


if __name__ == "__main__":
    main()
