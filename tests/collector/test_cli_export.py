"""``p402 export`` against a real collector: files arrive whole, also when a download broke off, and are checked."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p402.collector.cli import main
from support.collector import RunningCollector, eventually, running_collector
from support.otlp import ASpan, request_of

pytestmark = pytest.mark.timeout(120)
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with running_collector(tmp_path_factory.mktemp("collector"), {"P402_DEFAULT_ORGANISATION": "acme"}) as running:
        assert running.export(request_of([ASpan.of({"p402.session": f"s-{n}"}) for n in range(3)])).status_code == 200
        for number in range(3):
            running.post(f"/v1/sessions/s-{number}/close", organisation="acme")
        eventually(lambda: len(running.get("/v1/receipts", organisation="acme")["receipts"]) == 3)
        yield running


@pytest.fixture
def p402(collector: RunningCollector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command as its caller would; gives the exit code, what it printed, and its errors."""
    for name in [name for name in os.environ if name.startswith("P402_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("P402_COLLECTOR_URL", collector.url)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["export", "--organisation", "acme", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_the_files_arrive_and_are_what_the_manifest_says(p402: Command, tmp_path: Path) -> None:
    out = tmp_path / "october"
    code, said, _ = p402("--format", "charges-csv", "--from", "2026-05-01T00:00:00Z", "--out", str(out))
    assert code == 0
    assert sorted(file.name for file in out.iterdir()) == ["charges.csv", "manifest.json"]
    assert len((out / "charges.csv").read_text().splitlines()) == 4
    assert "3 records" in said


def test_documents_up_to_a_pinned_checkpoint_arrive_in_one_archive(
    p402: Command, collector: RunningCollector, tmp_path: Path
) -> None:
    size = collector.get("/v1/checkpoints", organisation="acme")["checkpoints"][0]["size"]
    code, said, _ = p402("--format", "pdf", "--checkpoint", str(size), "--out", str(tmp_path))
    assert code == 0
    assert f"{size} records" in said
    with zipfile.ZipFile(tmp_path / "receipts.zip") as archive:
        assert len(archive.namelist()) == size
    code, _, errors = p402("--format", "bundle", "--checkpoint", "99", "--out", str(tmp_path / "none"))
    assert code != 0
    assert "No checkpoint was signed when the log had 99 entries" in errors


def test_a_second_run_goes_on_where_the_first_broke_off(
    p402: Command, collector: RunningCollector, tmp_path: Path
) -> None:
    assert p402("--format", "ndjson", "--out", str(tmp_path))[0] == 0
    whole = (tmp_path / "receipts.ndjson").read_bytes()
    [export] = [
        one for one in collector.get("/v1/exports", organisation="acme")["exports"] if one["format"] == "ndjson"
    ]
    (tmp_path / "receipts.ndjson").unlink()
    (tmp_path / "receipts.ndjson.part").write_bytes(whole[:1000])
    state = {"export_id": export["export_id"], "wanted": {"format": "ndjson"}}
    (tmp_path / ".p402-export.json").write_text(json.dumps(state))
    assert p402("--format", "ndjson", "--out", str(tmp_path))[0] == 0
    assert (tmp_path / "receipts.ndjson").read_bytes() == whole
    exports = collector.get("/v1/exports", organisation="acme")["exports"]
    assert len([one for one in exports if one["format"] == "ndjson"]) == 1


def test_a_damaged_download_is_told_and_not_kept(p402: Command, collector: RunningCollector, tmp_path: Path) -> None:
    assert p402("--format", "csv", "--out", str(tmp_path))[0] == 0
    whole = (tmp_path / "receipts.csv").read_bytes()
    [export] = [one for one in collector.get("/v1/exports", organisation="acme")["exports"] if one["format"] == "csv"]
    (tmp_path / "receipts.csv").unlink()
    (tmp_path / "receipts.csv.part").write_bytes(b"x" * (len(whole) - 10))
    state = {"export_id": export["export_id"], "wanted": {"format": "csv"}}
    (tmp_path / ".p402-export.json").write_text(json.dumps(state))
    code, _, errors = p402("--format", "csv", "--out", str(tmp_path))
    assert code == 1
    assert "receipts.csv is not what the collector has" in errors
    assert p402("--format", "csv", "--out", str(tmp_path))[0] == 0
    assert (tmp_path / "receipts.csv").read_bytes() == whole


def test_a_wrong_request_is_told_in_the_collectors_words(p402: Command, tmp_path: Path) -> None:
    for time in ("yesterday", "2026-11-01"):
        code, _, errors = p402("--format", "csv", "--from", time, "--out", str(tmp_path))
        assert code == 1
        assert "from: must be a time with a zone, such as 2026-11-01T00:00:00Z" in errors
