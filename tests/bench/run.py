"""``make bench``: where the time goes, each figure beside its floor, measured in the same run.

A floor is the least that the libraries below us need for the same work, with nothing of ours in it. The ratio is what to
look at: machines differ and are noisy. Every figure is the median of several rounds; the spread is printed beside it.
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import floors, product

ROUNDS = 5


@dataclass(frozen=True)
class Figure:
    """One line of the table: microseconds for one of something."""

    what: str
    ours: list[float]
    floor: list[float]
    floor_is: str


def rounds(measure: Callable[[], float]) -> list[float]:
    """Measure several times; gives microseconds."""
    measure()  # warm caches and imports
    found = []
    for _ in range(ROUNDS):
        gc.collect()
        found.append(measure())
    return found


def timed(action: Callable[[], object], times: int) -> Callable[[], float]:
    """Time an action that does something ``times`` times over, in microseconds each."""

    def measure() -> float:
        started = time.perf_counter()
        action()
        return (time.perf_counter() - started) / times * 1e6

    return measure


def figures(folder: Path) -> Iterator[Figure]:
    """Measure everything."""
    batch = product.batch()
    yield Figure(
        "price one call",
        rounds(timed(product.price_calls(10_000), 10_000)),
        rounds(timed(floors.calc_price(200), 200)),
        "genai_prices.calc_price",
    )
    yield Figure(
        "span: decode, normalise, attribute, price",
        rounds(timed(lambda: product.read_batch(batch), product.BATCH)),
        rounds(timed(lambda: floors.parse_only(batch), product.BATCH)),
        "protobuf parsing alone",
    )
    yield Figure(
        "span: recorded durably, in process",
        rounds(product.record_batches(folder / "ours.sqlite3")),
        rounds(floors.insert_batches(folder / "floor.sqlite3")),
        "sqlite3 executemany + synced commit",
    )
    with product.collector(folder / "collector") as url, floors.server(folder / "floor-server.sqlite3") as floor_url:
        yield Figure(
            "span: over HTTP, acknowledged after the sync",
            rounds(product.export_batches(url)),
            rounds(product.export_batches(floor_url)),
            "aiohttp + parsing + executemany + sync",
        )
    yield Figure(
        "receipt: sealed (10 charges, 2 commitments)",
        rounds(timed(product.seal_receipts(200), 200)),
        rounds(timed(floors.canonical_receipts(200), 200)),
        "RFC 8785 + SHA-256 of the same body",
    )
    yield Figure(
        "receipt: verified offline",
        rounds(timed(product.verify_bundles(50), 50)),
        rounds(timed(floors.check_signatures(200), 200)),
        "one Ed25519 verification",
    )


@contextmanager
def quiet_progress(console: Console) -> Iterator[None]:
    with console.status("Measuring …"):
        yield


def show(found: Iterable[Figure]) -> None:
    """Measure, and print the table."""
    console = Console()
    table = Table("what", "ours µs", "per second", "floor µs", "ours / floor", "the floor is", box=None)
    with quiet_progress(console):
        for figure in found:
            ours, floor = statistics.median(figure.ours), statistics.median(figure.floor)
            table.add_row(
                figure.what,
                f"{ours:,.2f} [{min(figure.ours):,.2f} to {max(figure.ours):,.2f}]",
                f"{1e6 / ours:,.0f}",
                f"{floor:,.2f} [{min(figure.floor):,.2f} to {max(figure.floor):,.2f}]",
                f"{ours / floor:.2f}",
                figure.floor_is,
            )
    console.print(table)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        show(figures(Path(folder)))
