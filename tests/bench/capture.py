"""``make bench-capture``: what instrumenting a call costs, beside everybody else's instrumentation of the same call.

CPU of the whole process, background threads and export included, as added to the bare SDK; the openai SDK on a transport
without a network. A machine is never quiet, and its noise is larger than the differences: so each process measures many
short blocks and gives their lower decile (`capture_worker.py`), variants take turns in processes of their own, so that a
noisy minute hits all of them. What a variant adds is its figure less the bare SDK's of the same round; the table shows the median of
the rounds, and the least and the most.
Each sends one span for each call to a real endpoint: others by OpenTelemetry's exporter, ours as its README has it, with
nothing set but where the collector is.

``python tests/bench/capture.py --instructions`` counts instructions instead, under valgrind, for ours and the stock span
only: they come out the same to a percent whatever else the machine does, but tell nothing of the kernel, of memory and of
what a processor does at the same time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
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
COUNTED = 20, 170
"""Calls of the two processes whose instructions are counted."""
TWICE = "ours, traced too"
VARIANTS = ("bare", "stock httpx2", "ours", TWICE, "genai-openai", "OpenLLMetry", "OpenInference")
WORKER = Path(__file__).with_name("capture_worker.py")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What instrumenting a call costs.")
    parser.add_argument("--instructions", action="store_true", help="count instructions under valgrind (5 minutes)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    console = Console()
    python = environment("other-instrumentations") / "python"
    with sink() as url:
        if arguments.instructions:
            _show_instructions(console, python, url)
            return
        found: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
        for _ in track(range(arguments.rounds), "Measuring …", console=console, transient=True):
            for variant in VARIANTS:
                found[variant].append(json.loads(_run([str(python), str(WORKER), variant, url], url).stdout))
    _show(console, found)
    show_startup(console)


def _run(command: list[str], sink_url: str, more: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one variant once, in a process of its own."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    variables |= {"P402_COLLECTOR_URL": sink_url, "PYTHONHASHSEED": "0"} | (more or {})
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True)


def _show(console: Console, found: dict[str, list[dict[str, float]]]) -> None:
    """Print what each variant adds to the bare SDK, and that by what the stock span adds, both in the same round."""
    bare = found["bare"]
    added = {
        variant: [{what: run[what] - base[what] for what in base} for run, base in zip(runs, bare, strict=True)]
        for variant, runs in found.items()
    }
    table = Table("instrumentation", *(f"{what}, added µs" for what in bare[0]), box=None)
    table.add_column("call: x stock")
    table.add_column("32: x stock")
    for variant in VARIANTS[1:]:
        cells = [_spread([run[what] for run in added[variant]], ",.1f") for what in bare[0]]
        for what in list(bare[0])[:2]:
            pairs = zip(added[variant], added["stock httpx2"], strict=True)
            cells.append(_spread([one[what] / stock[what] for one, stock in pairs], ".2f"))
        table.add_row(variant, *cells)
    medians = ", ".join(f"{what} {statistics.median(run[what] for run in bare):,.1f} µs" for what in bare[0])
    console.print(table)
    console.print(f"The bare SDK: {medians}. Every variant exports one span for each call; {TWICE!r} exports it twice,")
    console.print(
        "to the collector and, beside it, by the BatchSpanProcessor of an application that has traces of its own.\n"
    )


def _spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} [{min(values):{form}} to {max(values):{form}}]"


def _show_instructions(console: Console, python: Path, sink_url: str) -> None:
    """Print how many instructions a plain call takes: of a process that makes many, less those of one that makes few."""
    counted = {}
    for variant in VARIANTS[:3]:
        few, many = (_counted([str(python), str(WORKER), variant, sink_url, str(calls)], sink_url) for calls in COUNTED)
        counted[variant] = (many - few) / (COUNTED[1] - COUNTED[0]) / 1_000
    bare, stock, ours = counted.values()
    console.print(
        f"Instructions of a plain call: the bare SDK {bare:,.0f} thousand; the stock span adds {stock - bare:,.0f},"
    )
    console.print(f"ours {ours - bare:,.0f} thousand, which is {(ours - bare) / (stock - bare):.2f} times as many.")


def _counted(command: list[str], sink_url: str) -> int:
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    at_the_end = {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}  # time passes slowly there: export once, not whenever it is due
    told = re.search(r"I +refs: +([\d,]+)", _run([*valgrind, *command], sink_url, at_the_end).stderr)
    assert told is not None, "valgrind has told nothing"
    return int(told[1].replace(",", ""))


if __name__ == "__main__":
    main()
