"""A backup that is made while the collector writes, put back elsewhere: nothing acknowledged before it is missing, the log is
whole, and who was erased since is erased again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from p402.collector.cli import main
from support.collector import RunningCollector, eventually, running_collector
from support.databases import POSTGRESQL, keep_in, kept_in, using
from support.otlp import ASpan, request_of
from support.personal import tables_with
from support.postgresql import program, shared_server

pytestmark = pytest.mark.timeout(240)

ADA = "ada.lovelace@example.com"
WHOLE = {"organisation": "acme"}
SETTINGS = {"P402_DEFAULT_ORGANISATION": "acme"}


def seal(collector: RunningCollector, employee: str, session: str) -> None:
    """A session of three calls, with its receipt."""
    spans = [ASpan.of({"p402.employee": employee, "p402.session": session}) for _ in range(3)]
    assert collector.export(request_of(spans)).status_code == 200
    collector.post(f"/v1/sessions/{session}/close", **WHOLE)
    eventually(lambda: receipts(collector, employee), 60)


def receipts(collector: RunningCollector, employee: str) -> int:
    return len(collector.get("/v1/receipts", employee=employee, **WHOLE)["receipts"])


@contextmanager
def writing(collector: RunningCollector) -> Iterator[Callable[[], int]]:
    """Somebody who sends calls without a pause until the block ends; gives how many were acknowledged."""
    acknowledged, over = 0, threading.Event()

    def send() -> None:
        nonlocal acknowledged
        with httpx.Client(timeout=30) as client:
            while not over.is_set():
                body = request_of([ASpan.of({"p402.employee": "bob", "p402.session": "busy"}) for _ in range(5)])
                headers = {"Content-Type": "application/x-protobuf"}
                client.post(f"{collector.url}/v1/traces", content=body, headers=headers).raise_for_status()
                acknowledged += 5

    thread = threading.Thread(target=send)
    thread.start()
    try:
        eventually(lambda: acknowledged)
        yield lambda: acknowledged
    finally:
        over.set()
        thread.join()


def erase(collector: RunningCollector, employee: str) -> None:
    body = {"subject": {"employee": employee}, "legal_basis": "GDPR Art. 17", "by": "dpo"}
    httpx.post(f"{collector.url}/v1/erasures", params=WHOLE, json=body, timeout=60).raise_for_status()
    eventually(lambda: collector.get("/v1/erasures", **WHOLE)["erasures"][0]["state"] == "done", 60)


def carry_over(data: Path, restored: Path) -> None:
    """What is kept apart from the database: the keys, and the newest list of erased names."""
    for folder in ("keys", "erasures"):
        shutil.copytree(data / folder, restored / folder)


def is_whole(restored: Path, acknowledged: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a collector on what was put back, and look at everything."""
    kept = kept_in(restored)
    [(charged,)] = kept.rows("SELECT count(*) FROM charges")
    assert charged >= acknowledged + 6
    assert kept.rows("SELECT sum(charges) FROM spend_hourly WHERE level = 'organisation'") == [(charged,)]
    assert ADA in tables_with(kept, [ADA])  # the backup was made before she was erased
    with running_collector(restored, SETTINGS) as collector:
        assert tables_with(kept, [ADA]) == {}
        assert receipts(collector, "bob") >= 1
        seal(collector, "carol", "after")  # the log goes on
    monkeypatch.setenv("P402_DATA_DIR", str(restored))
    for name, value in kept.settings.items():
        monkeypatch.setenv(name, value)
    assert main(["log", "check"]) == 0


def test_an_sqlite_database_is_copied_while_it_is_written_and_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, backup, restored = tmp_path / "data", tmp_path / "backup.sqlite3", tmp_path / "restored"
    with running_collector(data, SETTINGS) as collector:
        seal(collector, ADA, "hers")
        seal(collector, "bob", "his")
        with writing(collector) as acknowledged:
            before = acknowledged()
            command = [sys.executable, "-m", "p402.collector", "backup", str(backup)]
            environment = {**os.environ, "P402_DATA_DIR": str(data)}
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, timeout=60)
            eventually(lambda: acknowledged() > before)  # and nobody was stopped by it
        erase(collector, ADA)
    assert backup.stat().st_mode & 0o077 == 0
    restored.mkdir()
    shutil.copy(backup, restored / "p402.sqlite3")
    carry_over(data, restored)
    is_whole(restored, before, monkeypatch)


def test_a_postgresql_database_is_dumped_while_it_is_written_and_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, dump, restored = tmp_path / "data", tmp_path / "backup.dump", tmp_path / "restored"
    with using(POSTGRESQL):
        source = kept_in(data, migrated=False)
    assert source.url is not None
    with running_collector(data, SETTINGS) as collector:
        seal(collector, ADA, "hers")
        seal(collector, "bob", "his")
        with writing(collector) as acknowledged:
            before = acknowledged()
            run = [program("pg_dump"), "--format=custom", f"--file={dump}", source.url]
            subprocess.run(run, check=True, timeout=120)
        erase(collector, ADA)
    target = shared_server().create("restored")
    put_back = [program("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={target}", str(dump)]
    subprocess.run(put_back, check=True, timeout=120)
    keep_in(restored, target)
    carry_over(data, restored)
    is_whole(restored, before, monkeypatch)


def test_a_backup_overwrites_nothing_and_leaves_postgresql_to_its_own_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("P402_DATA_DIR", str(tmp_path))
    assert main(["backup", str(tmp_path / "copy")]) == 1
    assert "There is no database at" in capsys.readouterr().err
    kept_in(tmp_path)
    assert main(["backup", str(tmp_path / "copy")]) == 0
    assert main(["backup", str(tmp_path / "copy")]) == 1
    assert "exists; name a new file" in capsys.readouterr().err
    monkeypatch.setenv("P402_DATABASE_URL", "postgresql://p402@/p402")
    assert main(["backup", str(tmp_path / "other")]) == 1
    assert "pg_dump makes its backups" in capsys.readouterr().err
