"""The command ``p402`` with a PostgreSQL database."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from p402.collector.cli import main
from support.databases import POSTGRESQL, Kept, kept_in, using


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A database in which there is nothing yet, and the settings that name it."""
    with using(POSTGRESQL):
        kept = kept_in(tmp_path, migrated=False)
    monkeypatch.setenv("P402_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("P402_DATABASE_URL", str(kept.url))
    return kept


def test_the_database_is_migrated_and_keys_are_kept_in_it(books: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate"]) == 0
    assert re.search(
        r"^books_\d+ at /\S+: created; it is at the current schema now\.$", capsys.readouterr().out, re.MULTILINE
    )
    assert main(["keys", "create", "ci", "--scope", "ingest"]) == 0
    [key_id] = re.findall(r"key_[0-9A-Z]{26}", capsys.readouterr().out)
    assert main(["keys", "list"]) == 0
    assert key_id in capsys.readouterr().out
    assert main(["keys", "revoke", key_id]) == 0
    assert books.rows("SELECT id, revoked_at IS NOT NULL FROM api_keys") == [(key_id, True)]


def test_the_doctor_looks_at_the_schema_and_at_what_the_server_may_lose(
    books: Kept, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--url", "http://127.0.0.1:9"]) == 1
    assert "is at schema None" in capfd.readouterr().out
    assert main(["migrate"]) == 0
    assert main(["doctor", "--url", "http://127.0.0.1:9"]) == 1
    told = capfd.readouterr().out
    assert re.search(r"✓ The database books_\d+ at \S+ is at the current schema", told)
    assert "runs with fsync=off: a power cut can lose" in told  # as the tests' own server does
    assert "GB are free" not in told
    assert str(books.url) not in told


@pytest.mark.parametrize("command", [["migrate"], ["serve"], ["keys", "list"]])
def test_a_server_that_is_away_ends_a_command_with_its_name(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("P402_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("P402_DATABASE_URL", "postgresql://p402:hunter2@127.0.0.1:9/books")
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "p402: The database books at 127.0.0.1:9 cannot be opened" in error
    assert "hunter2" not in error


def test_a_driver_that_is_not_installed_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P402_DATABASE_URL", "postgresql://p402:hunter2@db/books")
    monkeypatch.delitem(sys.modules, "p402.collector.storage.postgresql")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert main(["migrate"]) == 1
    error = capsys.readouterr().err
    assert "pip install 'p402-collector[postgresql]'" in error
    assert "hunter2" not in error
