"""What zero-code adds to the start of a program: ``opentelemetry-instrument`` with our distribution installed, and without.

The program does nothing, so that everything our instrumentor imports counts; one that uses those HTTP clients imports
them anyway.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

__all__ = ["show_startup"]

_ROUNDS = 9
_BIN = Path(sys.executable).parent
_INSTRUMENTED = [str(_BIN / "opentelemetry-instrument"), sys.executable, "-c", "pass"]
_NO_EXPORTERS = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}


def show_startup(console: Console) -> None:
    """Measure in turns, and print seconds: of the clock, and of the CPU."""
    with TemporaryDirectory() as folder:
        variants: dict[str, tuple[list[str], Mapping[str, str]]] = {
            "python alone": ([sys.executable, "-c", "pass"], {}),
            "opentelemetry-instrument": (_INSTRUMENTED, {"PYTHONPATH": _without_us(Path(folder))}),
            "… with ours": (_INSTRUMENTED, {}),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
        for _ in track(range(_ROUNDS), "Starting …", console=console, transient=True):
            for name, (command, variables) in variants.items():
                found[name].append(_run(command, variables))
    table = Table("start of a program", "s", "CPU s", "added s", "added CPU s", box=None)
    medians = {name: [statistics.median(values) for values in zip(*runs, strict=True)] for name, runs in found.items()}
    base = medians["opentelemetry-instrument"]
    for name, times in medians.items():
        added = [f"{t - b:.3f}" for t, b in zip(times, base, strict=True)] if name == "… with ours" else ["", ""]
        table.add_row(name, *(f"{t:.3f}" for t in times), *added)
    console.print(table)


def _without_us(folder: Path) -> str:
    """Make a folder that hides our distribution's entry points, when it comes first on the path."""
    hidden = folder / "p402_instrumentation-0.dist-info"
    hidden.mkdir()
    (hidden / "METADATA").write_text("Metadata-Version: 2.1\nName: p402-instrumentation\nVersion: 0\n")
    return str(folder)


def _run(command: list[str], variables: Mapping[str, str]) -> tuple[float, float]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    before, begun = _cpu(), time.perf_counter()
    subprocess.run(command, env={**clean, **_NO_EXPORTERS, **variables}, check=True, capture_output=True)
    return time.perf_counter() - begun, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    show_startup(Console())
