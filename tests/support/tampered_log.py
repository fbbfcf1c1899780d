"""The log of a real collector, stopped, for tests that tamper with a copy of it; and the table that they print."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from p402.collector.sessions.signing import LogSigners
from p402.receipts import parse_checkpoint
from support.books import rows
from support.collector import RunningCollector, eventually, running_collector
from support.otlp import ASpan, request_of
from support.tampering import ORGANISATION, Held

__all__ = ["ANCHORED", "SIZE", "Table", "cheaper", "held", "log", "original", "table"]

ANCHORED, SIZE = 4, 8
Table = list[tuple[str, str, str]]


def has_receipts(collector: RunningCollector, count: int) -> bool:
    return receipt_count(collector) == count


def receipt_count(collector: RunningCollector) -> int:
    return int(rows(collector.data_dir, "SELECT count(*) FROM receipts")[0][0])


def seal(collector: RunningCollector, *sessions: str) -> None:
    """Make a receipt of each, without reading through the API, since such reads become entries too."""
    for session in sessions:
        wanted = receipt_count(collector) + 1
        assert collector.export(request_of([ASpan.of({"p402.session": session})])).status_code == 200
        collector.post(f"/v1/sessions/{session}/close", organisation=ORGANISATION)
        eventually(partial(has_receipts, collector, wanted))


def held(folder: Path) -> Held:
    signers = LogSigners(folder / "keys" / "log.pem", "p402.local")
    return Held(folder / "p402.sqlite3", signers.signer(ORGANISATION).newest)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a collector with four anchored receipts, the settlement's entry, and three more receipts."""
    folder = tmp_path_factory.mktemp("collector")
    with running_collector(folder) as collector:
        seal(collector, "s1", "s2", "s3", "s4")
    held(folder).anchor(LogSigners(folder / "keys" / "log.pem", "p402.local").signer(ORGANISATION))
    with running_collector(folder) as collector:
        seal(collector, "s5", "s6", "s7")
    assert parse_checkpoint(held(folder).checkpoint()).size == SIZE
    return folder


@pytest.fixture
def log(original: Path, tmp_path: Path) -> Held:
    """A copy to tamper with."""
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    return held(folder)


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    found: Table = []
    yield found
    width = [max(len(row[column]) for row in found) for column in (0, 1)]
    lines = [f"{where:<{width[0]}}  {what:<{width[1]}}  {named}" for where, what, named in found]
    sys.stdout.write("\n\n" + "\n".join(lines) + "\n")


def cheaper(entries: list[dict[str, Any]], of: int = 2) -> None:
    [model] = entries[of]["models"]
    entries[of]["cost_usd"] = model["cost_usd"] = "0.000001"
