"""The command ``p402``, without serving: keys, migrations, and what is said when something is wrong."""

from __future__ import annotations

import os
import re
import sqlite3
from importlib.metadata import version
from pathlib import Path

import pytest

from p402.collector.cli import main
from p402.receipts import Signer
from support.databases import empty_database

pytestmark = pytest.mark.timeout(30)  # a collector that should have refused would listen for ever
KEY_ID = re.compile(r"key_[0-9A-Z]{26}")


@pytest.fixture(autouse=True)
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("P402_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("P402_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def _migrated(data_dir: Path) -> None:
    (data_dir / "p402.sqlite3").write_bytes(empty_database())


def create(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """Make a key; its id and its secret."""
    assert main(["keys", "create", *arguments]) == 0
    first, secret = capsys.readouterr().out.splitlines()
    [key_id] = KEY_ID.findall(first)
    return key_id, secret


def test_the_command_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"p402 {version('p402-collector')}\n"


@pytest.mark.usefixtures("_migrated")
def test_a_key_is_made_shown_once_listed_and_revoked(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    bound_to = ("--organisation", "acme", "--department", "legal")
    key_id, secret = create(capsys, "ci [of] acme", "--scope", "ingest", "--scope", "spend:read", *bound_to)
    assert re.fullmatch(r"p402_[\w-]{43}", secret)
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    for shown in (key_id, "ci [of] acme", "ingest spend:read", "organisation=acme department=legal"):
        assert shown in listed
    assert secret not in listed
    assert main(["keys", "revoke", key_id]) == 0
    connection = sqlite3.connect(data_dir / "p402.sqlite3")
    assert connection.execute("SELECT id, revoked_at IS NOT NULL FROM api_keys").fetchall() == [(key_id, 1)]
    connection.close()
    assert main(["keys", "revoke", key_id]) == 1
    assert f"p402: No key {key_id} that is not revoked already." in capsys.readouterr().err


@pytest.mark.usefixtures("_migrated")
def test_an_id_in_the_list_is_never_broken_however_long_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    scopes = [word for scope in ("ingest", "spend:read", "receipts:read", "admin") for word in ("--scope", scope)]
    key_id, _ = create(capsys, "n" * 200, *scopes, "--organisation", "o" * 200)
    main(["keys", "list"])
    assert key_id in KEY_ID.findall(capsys.readouterr().out)


@pytest.mark.usefixtures("_migrated")
def test_a_key_is_not_bound_to_what_cannot_be_an_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "ci", "--scope", "ingest", "--organisation", ""]) == 1
    assert "p402: The organisation that a key is bound to must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["keys"],
        ["keys", "create", "ci"],
        ["keys", "create", "ci", "--scope", "everything"],
        ["keys", "revoke"],
        ["fly"],
    ],
)
def test_wrong_usage_ends_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: p402" in capsys.readouterr().err


def test_migrating_makes_the_database_and_then_changes_nothing(
    capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    assert main(["migrate"]) == 0
    assert "p402.sqlite3: created; it is at the current schema now." in capsys.readouterr().out
    before = (data_dir / "p402.sqlite3").read_bytes()
    assert main(["migrate"]) == 0
    assert "was at schema 0" in capsys.readouterr().out
    assert (data_dir / "p402.sqlite3").read_bytes() == before


@pytest.mark.parametrize("command", [["migrate"], ["serve"], ["keys", "list"]])
def test_a_wrong_setting_ends_a_command_with_its_name(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P402_MAX_REQUEST_BYTES", "much")
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("p402: The configuration cannot be used:\n  P402_MAX_REQUEST_BYTES: ")


@pytest.mark.parametrize("command", [["migrate"], ["serve"], ["keys", "list"]])
def test_a_database_that_cannot_be_used_ends_a_command_with_its_path(
    command: list[str], capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    (data_dir / "p402.sqlite3").write_bytes(b"no database " * 100)
    assert main(command) == 1
    assert f"p402: The database {data_dir}/p402.sqlite3 cannot be opened" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["keys", "list"],
        ["log", "check"],
        ["log", "rotate"],
        ["vault", "rotate"],
        ["vault", "scrub"],
        ["backup", "copy.db"],
    ],
    ids=" ".join,
)
def test_a_folder_without_a_database_is_said_to_be_one_and_left_empty(
    command: list[str], capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    assert main(command) == 1
    told = capsys.readouterr().err
    assert f"p402: There is no database at {data_dir}/p402.sqlite3. P402_DATA_DIR" in told
    assert list(data_dir.iterdir()) == []


@pytest.mark.usefixtures("_migrated")
def test_before_the_first_receipt_nobody_pins_an_empty_file_of_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "keys"]) == 1
    out, told = capsys.readouterr()
    assert (out, "p402: There is no log yet, so there are no keys to pin" in told) == ("", True)


@pytest.mark.usefixtures("_migrated")
@pytest.mark.parametrize("content", ["not a key", "", None])
def test_a_signing_key_that_cannot_be_used_is_told_at_the_start(
    content: str | None, capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    file = data_dir / "keys" / "log.pem"
    file.parent.mkdir()
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)
    assert main(["serve", "--listen", "127.0.0.1:0"]) == 1
    assert f"{file}" in capsys.readouterr().err


@pytest.mark.usefixtures("_migrated")
def test_a_signing_key_that_cannot_be_made_is_told_at_the_start(
    capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    (data_dir / "keys").write_text("a file where the folder should be")
    assert main(["serve", "--listen", "127.0.0.1:0"]) == 1
    assert f"{data_dir}/keys" in capsys.readouterr().err


@pytest.mark.usefixtures("_migrated")
def test_a_settlement_key_that_cannot_be_used_is_told_at_the_start(
    capsys: pytest.CaptureFixture[str], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_dir / "keys").mkdir()
    Signer.generate("p402.local").save(data_dir / "keys" / "log.pem")
    key = data_dir / "settlement.key"
    key.write_text("0x123\n")
    monkeypatch.setenv("P402_SETTLEMENT_MODE", "anchor")
    monkeypatch.setenv("P402_SETTLEMENT_KEY_FILE", str(key))
    assert main(["serve"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("p402: P402_SETTLEMENT_KEY_FILE")
    assert "0x123" not in error


@pytest.mark.usefixtures("_migrated")
def test_an_address_that_cannot_be_had_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--listen", "192.0.2.1:4318"]) == 1
    assert "Cannot listen on 192.0.2.1:4318" in capsys.readouterr().err
