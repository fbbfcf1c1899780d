"""``p402 settle`` on a real node: an access key is set up, pays for an organisation, and is seen to have done so."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p402.collector.cli import main
from p402.receipts.settlement.tempo import address_of_key
from support.anvil import DEV_KEYS, Anvil, anvil_node
from support.collector import running_collector
from support.otlp import ASpan, request_of
from support.real_settling import balance, new_address

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("tempo node")]

ROOT_KEY = DEV_KEYS[2]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def mining() -> Iterator[Anvil]:
    with anvil_node(block_time=0.25) as node:
        yield node


@pytest.fixture
def payee() -> str:
    return new_address()


@pytest.fixture
def p402(
    mining: Anvil, payee: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command with a configuration that pays acme's usage and anchors everybody else."""
    for name in [name for name in os.environ if name.startswith("P402_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "p402.toml"
    file.write_text(
        f"""
data_dir = "{tmp_path / "data"}"
default_organisation = "acme"
settlement_mode = "anchor"
settlement_network = "local"
settlement_rpc_url = "{mining.url}"
settlement_explorer_url = "https://explorer.example.com"
settlement_key_file = "{tmp_path / "settlement.key"}"
settlement_interval_seconds = 3600

[[settlement]]
organisation = "acme"
mode = "pay"
payee = "{payee}"
"""
    )
    monkeypatch.setenv("P402_CONFIG", str(file))
    (tmp_path / "root.key").write_text(ROOT_KEY + "\n")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_an_access_key_is_set_up_pays_and_is_seen_to_have_paid(
    mining: Anvil, payee: str, p402: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer, key_file = address_of_key(ROOT_KEY), tmp_path / "settlement.key"
    code, said, _ = p402("settle", "setup-key", "--root-key-file", str(tmp_path / "root.key"), "--payments", "5")
    assert code == 0
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert ROOT_KEY not in said + key_file.read_text()
    key = address_of_key(key_file.read_text().strip())
    for shown in (payer, key, payee):
        assert f"{shown} https://explorer.example.com/address/{shown}" in said
    assert "$5 of payments, $5 of fees" in said
    assert "Authorised by  https://explorer.example.com/tx/0x" in said
    assert f"P402_SETTLEMENT_PAYER={payer}" in said

    monkeypatch.setenv("P402_SETTLEMENT_PAYER", payer)
    _, secret, _ = p402("keys", "create", "cli", "--scope", "admin")
    settings = {name: os.environ[name] for name in ("P402_CONFIG", "P402_SETTLEMENT_PAYER")}
    with running_collector(tmp_path / "data", settings) as collector:
        monkeypatch.setenv("P402_API_KEY", secret.splitlines()[-1])
        monkeypatch.setenv("P402_COLLECTOR_URL", collector.url)
        assert collector.export(request_of([ASpan()])).status_code == 200
        collector.post("/v1/sessions/review-7/close", organisation="acme")
        code, said, _ = p402("settle", "flush")
        assert (code, "is settled in mode pay" in said, "is final: $0.264235, fee $0." in said) == (0, True, True)
        assert balance(mining, payee) == 264_235
        code, said, _ = p402("settle", "status")
        assert code == 0
        assert f"Access key     {key} https://explorer.example.com/address/{key} ends 20" in said
        assert "Final          stl_" in said
        assert "pay $0.264235 https://explorer.example.com/tx/0x" in said
        code, said, errors = p402("settle", "reconcile")
        assert (code, "were compared through block" in said, errors) == (0, True, "")
        code, _, errors = p402("settle", "resolve", "stl_nobody", "paid", "--reason", "seen")
        assert (code, "There is no settlement 'stl_nobody'" in errors) == (1, True)
        code, _, errors = p402("settle", "flush", "--wait", "0.01")
        assert (code, "Nothing was final in time" in errors) == (1, True)


def test_a_key_file_is_never_overwritten_and_a_wrong_root_key_never_shown(p402: Command, tmp_path: Path) -> None:
    (tmp_path / "root.key").write_text("0xsecret")
    code, _, errors = p402("settle", "setup-key", "--root-key-file", str(tmp_path / "root.key"))
    assert (code, "0x and 64 hex digits" in errors, "secret" in errors.replace("secret of", "")) == (1, True, False)
    (tmp_path / "settlement.key").write_text("the key in use")
    code, _, errors = p402("settle", "setup-key", "--root-key-file", str(tmp_path / "root.key"))
    assert (code, "is not overwritten" in errors) == (1, True)
    assert (tmp_path / "settlement.key").read_text() == "the key in use"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--payments", "1.1234567"), "six decimals"),
        (("--payments", "-1"), "negative"),
        (("--fees", "much"), "not an amount"),
        (("--days", "0"), "1 to 366 days"),
    ],
)
def test_limits_that_cannot_be_are_refused(
    p402: Command, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], problem: str
) -> None:
    with pytest.raises(SystemExit):
        p402("settle", "setup-key", *arguments)
    assert problem in capsys.readouterr().err
