"""``p402 settle`` on a real node: an access key is set up, pays for an organisation, and is seen to have done so."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from p402.collector.cli import main
from p402.receipts.settlement import LOCAL, Final, Lane, Transfer
from p402.receipts.settlement.tempo import TempoSettler, address_of_key
from support.anvil import DEV_KEYS, Anvil, anvil_node
from support.collector import RunningCollector, eventually, running_collector
from support.databases import kept_in
from support.otlp import ASpan, request_of
from support.real_settling import balance, new_address

pytestmark = pytest.mark.timeout(600)

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
    p402("migrate")
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


@pytest.fixture
def own_key(tmp_path: Path) -> str:
    """The payer's own key signs; it is one that no other test here uses."""
    (tmp_path / "settlement.key").write_text(DEV_KEYS[1])
    return DEV_KEYS[1]


async def transfer_by_hand(node: Anvil, key: str, payee: str) -> None:
    """Pay somebody with the settlement's key, as no settlement asked for."""
    settler = TempoSettler(replace(LOCAL, rpc_url=node.url), key)
    head = await settler.head()
    lane = Lane(secrets.randbits(64) + 9, 0)
    transfers = [Transfer(secrets.token_bytes(32), payee, 1_000)]
    signed = settler.sign(transfers, lane, head.timestamp + 600, settler.network.max_fee_per_gas)
    assert await settler.send(signed.raw) is None
    async with asyncio.timeout(120):
        while not isinstance(await settler.find(signed, transfers, head.number), Final):  # noqa: ASYNC110 - as a node tells nobody
            await asyncio.sleep(0.1)
    await settler.close()


def test_a_difference_is_acknowledged_and_a_doubt_resolved_and_then_payments_go_on(
    mining: Anvil, payee: str, p402: Command, own_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p402("migrate")
    _, secret, _ = p402("keys", "create", "cli", "--scope", "admin")
    with running_collector(tmp_path / "data", {"P402_CONFIG": os.environ["P402_CONFIG"]}) as collector:
        monkeypatch.setenv("P402_API_KEY", secret.splitlines()[-1])
        monkeypatch.setenv("P402_COLLECTOR_URL", collector.url)

        def metered(session: str) -> None:
            assert collector.export(request_of([ASpan.of({"p402.session": session})])).status_code == 200
            collector.post(f"/v1/sessions/{session}/close", organisation="acme")

        metered("first")
        assert p402("settle", "flush")[0] == 0

        asyncio.run(transfer_by_hand(mining, own_key, payee))
        eventually(lambda: p402("settle", "reconcile")[0] == 1, 120)
        code, _, errors = p402("settle", "reconcile")
        assert (code, errors.count("unknown_memo")) == (1, 1)
        [_, difference, *_] = errors.split()
        assert p402("settle", "status")[0] == 1
        metered("second")
        code, said, _ = p402("settle", "flush")
        assert (code, "is final: $0, fee" in said) == (0, True), "anchored, and nothing is paid"
        code, said, _ = p402("settle", "acknowledge", difference, "--reason", "Made by hand.")
        assert (code, said) == (0, f"{difference} is acknowledged; 0 left.\n")
        code, _, errors = p402("settle", "acknowledge", difference, "--reason", "Made by hand.")
        assert (code, f"There is no difference '{difference}'" in errors) == (1, True)
        assert p402("settle", "reconcile")[0] == 0

        metered("third")
        kept_in(tmp_path / "data").run(  # as one is left whose nonce somebody else used
            "UPDATE settlements SET state = 'failed', failure = 'superseded', in_doubt = 1 "
            "WHERE id = (SELECT min(id) FROM settlements)"
        )
        code, said, _ = p402("settle", "status")
        assert code == 1
        [doubtful] = [line.split()[1] for line in said.splitlines() if "in doubt: say `p402 settle resolve`" in line]
        code, said, _ = p402("settle", "resolve", doubtful, "paid", "--reason", "The payee has it.")
        assert (code, said) == (0, f'{doubtful} is no longer in doubt: "paid"\n')
        code, _, errors = p402("settle", "resolve", doubtful, "not_paid", "--reason", "No.")
        assert (code, "is not in doubt" in errors) == (1, True)
        noted = collector_json(collector, "/v1/settlements/references")["payments"]
        assert [(payment["kind"], payment["amount_usd"]) for payment in noted] == [("tempo", "0.264235")]
        assert p402("settle", "status")[0] == 0


def collector_json(collector: RunningCollector, path: str) -> Any:
    headers = {"Authorization": f"Bearer {os.environ['P402_API_KEY']}"}
    return httpx.get(f"{collector.url}{path}", headers=headers, params={"organisation": "acme"}).json()


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
