"""``make bench-own-traces``: what a decision and an export cost more when the collector traces itself.

Collectors run in processes of their own and are asked turn by turn by the same client: one that makes no traces, one whose every
request is traced, one that traces a tenth. What takes the traces keeps nothing. CPU is the collector's alone, with its
exporter's thread; it says more than the clock where others use the machine too.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import budgets, floors, product
from support.collector import RunningCollector, running_collector
from support.control import control_of

ROUNDS = 5
TIMES = 1_500  # of all rounds together fewer than the 10,000 that a key may hold at once
CLIENTS = 16
SPANS = product.BATCHES * 2 * product.BATCH  # of one round of exports


@dataclass
class Measured:
    """What the rounds at one collector showed, in microseconds for one decision or one span."""

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def _cpu(collector: RunningCollector) -> float:
    """Give the CPU time of a collector so far, in microseconds."""
    used = Path(f"/proc/{collector.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK") * 1e6


@contextmanager
def collectors(folder: Path) -> Iterator[Mapping[str, RunningCollector]]:
    """The three of them, each with one budget on the path."""
    with ExitStack() as stack:
        traces = {"P402_OWN_TRACES_OTLP_URL": stack.enter_context(floors.anything())}
        tenth = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
        variants = {"no traces": {}, "a tenth is traced": traces | tenth, "all is traced": traces}
        found = {
            name: stack.enter_context(running_collector(folder / str(number), settings))
            for number, (name, settings) in enumerate(variants.items())
        }
        for collector in found.values():
            cap = {"level": "organisation", "node": "acme", "cap": "10000000", "period": "month"}
            control_of(collector).put_budget("month", cap)
        yield found


def _measure(collector: RunningCollector, work: Callable[[], float], times: int, into: Measured) -> None:
    before = _cpu(collector)
    into.clock.append(work())
    into.cpu.append((_cpu(collector) - before) / times)


def _cell(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} [{min(values):,.0f} to {max(values):,.0f}]"


def main() -> None:
    """Print the table."""
    console = Console()
    table = Table("", "µs", "CPU µs", "more CPU µs", box=None)
    with tempfile.TemporaryDirectory() as scratch, console.status("Measuring …"), collectors(Path(scratch)) as found:
        decisions = {name: Measured() for name in found}
        exports = {name: Measured() for name in found}
        for number in range(ROUNDS + 1):
            for name, collector in found.items():
                export = product.export_batches(collector.url)

                def decide(url: str = collector.url) -> float:
                    return 1e6 / budgets.ask(url, "/v1/decisions", CLIENTS, TIMES).per_second

                warm = number > 0  # the first round warms up
                _measure(collector, decide, TIMES, decisions[name] if warm else Measured())
                _measure(collector, export, SPANS, exports[name] if warm else Measured())
    for what, measured in ((f"/v1/decisions, {CLIENTS} clients", decisions), ("/v1/traces, per span", exports)):
        least = statistics.median(measured["no traces"].cpu)
        for name, it in measured.items():
            table.add_row(
                f"{what}: {name}", _cell(it.clock), _cell(it.cpu), f"{statistics.median(it.cpu) - least:+,.1f}"
            )
    console.print(table)


if __name__ == "__main__":
    main()
