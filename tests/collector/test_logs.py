"""While storage is away the log says so once a minute, whoever and however many wait for it, and is in nobody's way."""

from __future__ import annotations

import errno
from io import StringIO

import pytest
import structlog

from p402.collector.cli.logs import OnceAMinute, Stderr


def test_one_line_a_minute_says_that_storage_is_waited_for() -> None:
    now = 0.0
    limit = OnceAMinute(lambda: now)
    first = limit(None, "warning", {"event": "spans_wait_for_storage", "problem": "full"})
    assert first == {"event": "spans_wait_for_storage", "problem": "full", "kept_back": 0}
    for name in ("spans_wait_for_storage", "sessions_wait_for_storage", "leases_wait_for_storage"):
        with pytest.raises(structlog.DropEvent):
            limit(None, "warning", {"event": name})
    now = 59.9
    with pytest.raises(structlog.DropEvent):
        limit(None, "warning", {"event": "spans_wait_for_storage"})
    now = 60.0
    assert limit(None, "warning", {"event": "sessions_wait_for_storage"})["kept_back"] == 4


def test_another_ending_is_counted_apart() -> None:
    limit = OnceAMinute(lambda: 0.0, ending="own_traces_problem")
    assert limit(None, "warning", {"event": "own_traces_problem"})["kept_back"] == 0
    assert limit(None, "warning", {"event": "spans_wait_for_storage"}) == {"event": "spans_wait_for_storage"}
    with pytest.raises(structlog.DropEvent):
        limit(None, "warning", {"event": "own_traces_problem"})


def test_everything_else_passes() -> None:
    limit = OnceAMinute(lambda: 0.0)
    for _ in range(3):
        assert limit(None, "error", {"event": "settlement_failed"}) == {"event": "settlement_failed"}


def test_a_log_that_cannot_be_written_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sys.stderr", Full())
    Stderr().warning("a line that is lost")
    monkeypatch.undo()
    Stderr().warning("a line")
    assert capsys.readouterr().err == "a line\n"
