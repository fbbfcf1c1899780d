"""The auditor's command: what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from p402.receipts.cli import main
from support.sample_log import (
    PAYER,
    answering_node,
    chain_answers,
    fixed_signer,
    sample_bundle,
    sample_log,
    sample_statement,
)

LOG = sample_log(3)
KEY = fixed_signer().verifier_key


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(tmp_path, sample_bundle(LOG, 1))


def write(folder: Path, value: dict[str, Any]) -> Path:
    path = folder / "bundle.json"
    path.write_text(json.dumps(value))
    return path


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_verified_is_zero(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering_node(chain_answers(sample_statement(LOG))) as url:
        code = main([str(bundle), "--key", KEY, "--rpc", url, "--payer", PAYER.upper().replace("0X", "0x")])
    output = capsys.readouterr().out
    assert code == 0
    assert output.splitlines()[-1] == "verified"
    assert "✗" not in output
    assert "–" not in output
    assert "✓ anchor" in output
    assert "employee='emp_7'" in output


def test_failed_is_one_and_names_the_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = sample_bundle(LOG, 1)
    value["receipts"][0]["body"] = value["receipts"][0]["body"].replace("0.264235", "0.264234")
    assert main([str(write(tmp_path, value)), "--key", KEY]) == 1
    output = capsys.readouterr().out
    assert "✗ inclusion" in output
    assert output.splitlines()[-1] == "FAILED: inclusion"


def test_incomplete_is_three_and_says_what_is_missing(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(bundle), "--key", KEY]) == 3
    assert last_line(capsys) == "incomplete: anchor not checked"


def test_a_bundle_comes_from_standard_input_too(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bundle.read_bytes())))
    assert main(["-", "--key", KEY]) == 3
    assert last_line(capsys).startswith("incomplete")


def test_keys_come_from_a_file_one_a_line(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "acme.vkey"
    path.write_text(f"{fixed_signer('old').verifier_key}\n\n{KEY}\n")
    assert main([str(bundle), "--key", str(path)]) == 3


def test_keys_come_as_the_operator_publishes_them(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "receipt-keys.json"
    published = {"vkey": KEY, "first_size": 1, "last_size": None, "signs_until": None}
    path.write_text(json.dumps({"organisation": "acme", "keys": [published]}))
    assert main([str(bundle), "--key", str(path)]) == 3
    path.write_text(json.dumps({"keys": [{**published, "last_size": 2}]}))
    assert main([str(bundle), "--key", str(path)]) == 1


def test_sizes_after_a_key_say_what_it_may_sign(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "acme.vkey"
    path.write_text(f"{KEY} 1 3\n")
    assert main([str(bundle), "--key", str(path)]) == 3
    path.write_text(f"{KEY} 1 2\n")
    assert main([str(bundle), "--key", str(path)]) == 1
    assert "a replaced key was used again" in capsys.readouterr().out


def test_a_key_may_be_longer_than_a_files_name(tmp_path: Path) -> None:
    key = fixed_signer(origin="a" * 300).verifier_key
    with pytest.raises(OSError, match="too long"):
        Path(key).is_file()
    bundle = str(write(tmp_path, sample_bundle(LOG, 1)))
    assert main([bundle, "--key", key, "--key", KEY]) == 3
    assert main([bundle, "--key", f"{key} 1 5", "--key", KEY]) == 3
    with pytest.raises(SystemExit):
        main([bundle, "--key", key[:-1]])


def test_a_checkpoint_that_was_kept_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, bundle = tmp_path / "kept.txt", write(tmp_path, sample_bundle(LOG, 1))
    for text in (str(LOG.checkpoint()), LOG.proof(0).partition("\n\n")[2]):
        kept.write_text(text)
        assert main([str(bundle), "--key", KEY, "--checkpoint", str(kept)]) == 3
        assert "only grew" in capsys.readouterr().out
    kept.write_text(str(sample_log(2).checkpoint()))
    assert main([str(bundle), "--key", KEY, "--checkpoint", str(kept)]) == 3
    assert last_line(capsys) == "incomplete: anchor, consistency not checked"
    kept.write_text(str(sample_log(5).checkpoint()))
    assert main([str(bundle), "--key", KEY, "--checkpoint", str(kept)]) == 3
    assert "older than your checkpoint" in capsys.readouterr().out


def test_a_selection_is_not_complete(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(bundle), "--key", KEY, "--complete"]) == 3
    assert "complete" in last_line(capsys)


def test_the_report_is_there_as_json(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(bundle), "--key", KEY, "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert (report["outcome"], report["broken"]) == ("incomplete", None)
    assert {check["status"] for check in report["checks"]} == {"ok", "not_checked"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "bundle"),
        (["BUNDLE"], "--key"),
        (["missing.json", "--key", KEY], "missing.json"),
        (["BUNDLE", "--key", "missing.vkey"], "missing.vkey"),
        (["BUNDLE", "--key", "not+a+key"], "base 64"),
        (["BUNDLE", "--key", "EMPTY"], "holds no key"),
        (["BUNDLE", "--key", f"{KEY} 1 2 3"], "is not a key"),
        (["BUNDLE", "--key", KEY, "--checkpoint", "missing.txt"], "missing.txt"),
        (["BUNDLE", "--key", KEY, "--checkpoint", "EMPTY"], "holds no checkpoint"),
        (["BUNDLE", "--key", KEY, "--payer", "me"], "not an address"),
        (["BUNDLE", "--key", KEY, "--rpc", "file:///etc/passwd"], "https://"),
    ],
    ids=str,
)
def test_a_command_that_cannot_be_run_is_two(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    empty = tmp_path / "empty.vkey"
    empty.touch()
    places = {"BUNDLE": str(bundle), "EMPTY": str(empty)}
    with pytest.raises(SystemExit) as stopped:
        main([places.get(argument, argument) for argument in arguments])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_help_explains_the_links_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("inclusion", "exit codes", "incomplete", "--payer"))
