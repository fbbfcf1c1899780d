"""A batch is acknowledged only when it is on disk: shown by the system calls, since no kill can show a power cut."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from support.books import rows
from support.collector import eventually, running_collector
from support.otlp import ASpan, request_of
from support.sabotaged_collector import sabotaged
from support.system_calls import RECEIVING, SENDING, SYNCING, Call, calls_in, traced

REQUEST = "a-request-that-is-found-in-the-trace"
BATCH = request_of([ASpan.of({"p402.request": REQUEST})])
COLLECTOR = (sys.executable, "-m", "p402.collector")


@dataclass(frozen=True)
class Acknowledgement:
    """How a batch was acknowledged."""

    received: Call
    answered: Call
    on_log: list[Call]
    """What was done to the write-ahead log until the answer was sent."""

    @property
    def written(self) -> list[Call]:
        """The writes of pages with the charge."""
        return [call for call in self.on_log if call.name == "pwrite64" and REQUEST in call.text]

    def syncs_after(self, earlier: Call) -> list[Call]:
        return [call for call in self.on_log if call.name in SYNCING and call.begun > earlier.done]


def acknowledge(folder: Path, command: Sequence[str] = COLLECTOR) -> Acknowledgement:
    """Run a collector under strace, send it the batch, and find how that was acknowledged."""
    trace = folder / "trace"
    with running_collector(folder / "data", command=traced(command, trace)) as collector:
        assert collector.export(BATCH).status_code == 200
    ended = re.compile(rf"^{collector.process.pid} +\+\+\+ exited with 0 \+\+\+", re.MULTILINE)  # short ids are padded
    eventually(lambda: ended.search(trace.read_text(errors="replace")))
    calls = calls_in(trace)
    received = next(call for call in calls if call.name in RECEIVING and REQUEST in call.text)
    later = [call for call in calls if call.begun > received.done and call.file == received.file]
    answered = next(call for call in later if call.name in SENDING and '"HTTP/1.1 200' in call.text)
    on_log = [call for call in calls if call.file.endswith("-wal") and call.succeeded and call.done < answered.begun]
    return Acknowledgement(received, answered, on_log)


def test_the_commit_is_synced_between_the_last_byte_of_the_request_and_the_first_of_the_answer(tmp_path: Path) -> None:
    found = acknowledge(tmp_path)
    (written,) = found.written
    assert written.begun > found.received.done
    assert found.syncs_after(written)


def test_the_trace_would_show_a_missing_sync(tmp_path: Path) -> None:
    found = acknowledge(tmp_path, sabotaged("without-sync"))
    (written,) = found.written
    assert not found.syncs_after(written)


def test_a_batch_that_a_crash_left_unsynced_is_synced_before_its_repetition_is_acknowledged(tmp_path: Path) -> None:
    # A kill between the write and the sync leaves pages that only the system's memory has for certain. Repeating the
    # batch writes nothing, so nothing but the start can bring them to disk.
    with running_collector(tmp_path / "data", command=sabotaged("without-sync")) as collector:
        assert collector.export(BATCH).status_code == 200
        eventually(lambda: rows(collector.data_dir, "SELECT * FROM cursors"))  # its session has it: all is written
        collector.kill()

    with closing(sqlite3.connect(tmp_path / "data" / "p402.sqlite3")) as somebody_else:
        somebody_else.execute("SELECT * FROM charges").fetchall()  # while the file is open, SQLite does not tidy it up
        found = acknowledge(tmp_path)
    assert not found.written
    assert [call for call in found.on_log if call.name in SYNCING]
