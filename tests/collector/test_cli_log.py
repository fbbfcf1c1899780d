"""``p402 log``: checking, rotating and listing keys on the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from p402.collector.cli import main
from p402.receipts import open_checkpoint, read_keys
from p402.receipts.errors import CheckpointUntrusted
from support.open_books import open_books
from support.otlp import ASpan


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The books of two organisations, with a receipt each."""
    monkeypatch.setenv("P402_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("P402_SIGNING_KEY_FILE", str(tmp_path / "log.pem"))
    monkeypatch.setenv("P402_RECEIPT_ORIGIN", "logs.example.com")
    asyncio.run(receipts(tmp_path))
    return tmp_path


async def receipts(folder: Path) -> None:
    async with open_books(folder) as books:
        await books.send(ASpan(), ASpan.of({"p402.organisation": "initech"}))
        books.clock.advance(hours=1)
        await books.sealer.catch_up()


async def newest(folder: Path) -> str:
    async with open_books(folder) as books:
        note: str = books.value("SELECT note FROM checkpoints WHERE organisation = 'acme' ORDER BY size DESC LIMIT 1")
        return note


def test_logs_that_are_in_order_are_said_to_be(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "acme: 1 entries, 1 checkpoints",
        "  ✓ bodies, tree, checkpoints, keys and settlements agree",
        "  – entries 0 to 0 are not anchored yet",
    ]
    assert lines[3].startswith("initech: ")
    assert (folder / "log.pem").exists()


def test_one_log_is_checked_against_what_was_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = folder / "kept.txt"
    kept.write_text(asyncio.run(newest(folder)))
    assert main(["log", "check", "--organisation", "acme", "--checkpoint", str(kept)]) == 0
    kept.write_text(kept.read_text().replace("\n1\n", "\n7\n", 1))
    assert main(["log", "check", "--checkpoint", str(kept)]) == 1
    assert (
        "cut tail: There are 1 entries; the checkpoint that was kept elsewhere speaks of 7" in capsys.readouterr().out
    )
    kept.write_text(kept.read_text().replace("/acme\n", "/nobody\n", 1))
    assert main(["log", "check", "--checkpoint", str(kept)]) == 1
    assert "There is no log logs.example.com/org/nobody here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--organisation", "nobody"], "There are: acme, initech."),
        (["check", "--key", "missing.vkey"], "missing.vkey"),
        (["check", "--checkpoint", "missing.txt"], "missing.txt"),
        (["rotate", "--overlap-days", "-1"], "0 to 3650"),
        (["rotate", "--reason", "compromised", "--overlap-days", "3"], "does not overlap"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["log", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert [file.name for file in folder.glob("*.pem")] == ["log.pem"]


def test_a_rotation_gives_every_log_the_new_key(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "rotate", "--overlap-days", "3650"]) == 0
    out = capsys.readouterr().out
    assert str(folder / "log-2.pem") in out
    assert "2 logs have the new key; the old one signs beside it until" in out
    assert main(["log", "keys", "--organisation", "acme"]) == 0
    pinned = folder / "acme.vkey"
    pinned.write_text(capsys.readouterr().out)
    old, new = read_keys(str(pinned))
    assert ((old.first_size, old.last_size), (new.first_size, new.last_size)) == ((1, 1), (2, None))
    note = asyncio.run(newest(folder))
    for keys in ([old, new], [old.vkey], [new]):
        assert open_checkpoint(note, keys).size == 2
    with pytest.raises(CheckpointUntrusted):  # who keeps this list needs no more of the old key, and trusts it no more
        open_checkpoint(note, [old])
    assert main(["log", "check", "--organisation", "acme", "--key", str(pinned)]) == 0


@pytest.mark.usefixtures("folder")
def test_a_compromised_key_is_replaced_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "rotate", "--reason", "compromised"]) == 0
    assert "signs nothing any more" in capsys.readouterr().out
    assert main(["log", "keys", "--organisation", "acme"]) == 0
    listed = [line.split()[1:] for line in capsys.readouterr().out.splitlines()]
    assert listed == [["1", "1"], ["2"]]
    assert main(["log", "check"]) == 0


def test_a_rotation_that_was_cut_short_is_finished_with_the_key_that_was_made_for_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def begin() -> None:
        async with open_books(folder) as books:
            books.signers.make_next_key()

    asyncio.run(begin())
    assert main(["log", "rotate"]) == 0
    assert "A rotation was begun before: 2 logs" in capsys.readouterr().out
    assert sorted(file.name for file in folder.glob("*.pem")) == ["log-2.pem", "log.pem"]


def test_what_is_wrong_is_there_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def tamper() -> None:
        async with open_books(folder) as books:
            books.kept.run("DELETE FROM checkpoints WHERE organisation = 'acme'")

    asyncio.run(tamper())
    assert main(["log", "check", "--json"]) == 1
    reports = json.loads(capsys.readouterr().out)
    assert [(report["organisation"], len(report["findings"])) for report in reports] == [("acme", 1), ("initech", 0)]
    assert reports[0]["findings"][0]["fault"] == "unsigned tail"
