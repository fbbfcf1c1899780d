"""A batch is acknowledged only when it is on disk: shown by the system calls, since no kill can show a power cut."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import httpx, pytest, signal

from support.collector import eventually, running_collector
from support.otlp import ASpan, request_of
from support.sabotaged_collector import sabotaged
from support.system_calls import RECEIVING, SENDING, SYNCING, Call, calls_in, traced

REQUEST = "a-request-that-is-found-in-the-trace"
BATCH = request_of([ASpan.of({"p402.request": REQUEST})])
COLLECTOR = (sys.executable, "-m", "p402.collector")


@dataclass(frozen=True)
class Acknowledgement:
    """The calls that lead from a batch's bytes to its answer."""

    received: Call
    written: Call
    """The charge's page goes into the write-ahead log."""
    answered: Call
    syncs: list[Call]
    """Of the write-ahead log, begun after the page was written and done before the answer was sent."""


def acknowledge(folder: Path, command: Sequence[str]) -> Acknowledgement:
    """Run a collector under strace, send it one batch, and find how it was acknowledged."""
    trace = folder / "trace"
    with running_collector(folder / "data", command=traced(command, trace)) as collector:
        assert collector.export(BATCH).status_code == 200
    eventually(lambda: f"{collector.process.pid} +++ exited with 0 +++" in trace.read_text(errors="replace"))
    calls = calls_in(trace)
    received = next(call for call in calls if call.name in RECEIVING and REQUEST in call.text)
    answered = next(
        call for call in calls if call.name in SENDING and call.file == received.file and '"HTTP/1.1 200' in call.text
    )
    in_between = [call for call in calls if received.done < call.begun and call.done < answered.begun]
    on_log = [call for call in in_between if call.file.endswith("p402.sqlite3-wal") and call.succeeded]
    written = next(call for call in on_log if call.name == "pwrite64" and REQUEST in call.text)
    syncs = [call for call in on_log if call.name in SYNCING and call.begun > written.done]
    return Acknowledgement(received, written, answered, syncs)


def test_the_commit_is_synced_between_the_last_byte_of_the_request_and_the_first_of_the_answer(tmp_path: Path) -> None:
    assert acknowledge(tmp_path, COLLECTOR).syncs


def test_the_trace_would_show_a_missing_sync(tmp_path: Path) -> None:
    assert acknowledge(tmp_path, sabotaged("without-sync")).syncs == []


def test_a_batch_that_was_written_but_not_synced_at_a_crash_is_synced_before_its_repetition_is_acknowledged(
    tmp_path: Path,
) -> None:
    with running_collector(tmp_path / "data"):
        pass  # so that the next start has nothing to write
    killed_at_sync = traced(COLLECTOR, tmp_path / "first", "-e", "inject=fsync,fdatasync:signal=KILL:when=1")
    with running_collector(tmp_path / "data", command=killed_at_sync) as collector:
        with pytest.raises(httpx.TransportError):
            collector.export(BATCH)
        assert collector.process.wait(timeout=20) == -signal.SIGKILL

    with running_collector(tmp_path / "data", command=traced(COLLECTOR, tmp_path / "second")) as collector:
        charges = collector.get("/v1/charges", organisation="acme")
        print(charges)
        assert collector.export(BATCH).status_code == 200
        print((tmp_path/"second").read_text())
        assert 0
