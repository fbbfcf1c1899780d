"""The auditor's command against a real chain: a bundle whose settlement is really there, and ones that lie."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from p402.receipts import Anchor, BundledAnchor, BundledReceipt, SealedReceipt, SettlementStatement, make_bundle
from p402.receipts.cli import main
from p402.receipts.settlement import LOCAL, Final, Lane, Transfer
from p402.receipts.settlement.tempo import TempoSettler
from support.anvil import DEV_KEYS, Anvil
from support.sample_log import fixed_signer, sample_log, sample_statement

LOG = sample_log(3)
STATEMENT = replace(sample_statement(LOG), settlement_id="stl_real")
LANE = 402


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anchored(node: Anvil) -> Anchor:
    settler = TempoSettler(replace(LOCAL, rpc_url=node.url), DEV_KEYS[0])
    head = await settler.head()
    nonce = await settler.lane_nonce(LANE)
    transfers = [Transfer(STATEMENT.memo(), STATEMENT.payee, 0)]
    signed = settler.sign(transfers, Lane(LANE, nonce), head.timestamp + 600, settler.network.max_fee_per_gas)
    await settler.send(signed.raw)
    node.mine(4)
    found = await settler.find(signed, transfers, head.number)
    await settler.close()
    assert isinstance(found, Final)
    [anchor] = found.anchors
    assert anchor is not None
    return anchor


def bundle(anchored: Anchor, statement: SettlementStatement = STATEMENT, **chain: Any) -> dict[str, Any]:
    receipts = [
        BundledReceipt(body=entry.body, disclosures=entry.disclosures, proof=LOG.proof(entry.seq), anchor=0)
        for entry in LOG.entries
        if isinstance(entry, SealedReceipt)
    ]
    return make_bundle(receipts, [BundledAnchor.of(statement, replace(anchored, **chain))])


def run(folder: Path, value: dict[str, Any], *arguments: str) -> int:
    path = folder / "bundle.json"
    path.write_text(json.dumps(value))
    return main([str(path), "--key", fixed_signer().verifier_key, *arguments])


def test_a_bundle_that_is_anchored_on_the_chain_is_verified(
    node: Anvil, anchored: Anchor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(tmp_path, bundle(anchored), "--rpc", node.url, "--payer", STATEMENT.payer, "--token", LOCAL.token)
    assert (code, capsys.readouterr().out.splitlines()[-1]) == (0, "verified")


def test_a_statement_that_is_not_on_the_chain_fails(
    node: Anvil, anchored: Anchor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = replace(STATEMENT, settlement_id="stl_forged")
    assert run(tmp_path, bundle(anchored, forged), "--rpc", node.url) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "FAILED: anchor"


def test_a_node_of_another_chain_is_not_asked(
    node: Anvil, anchored: Anchor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = replace(STATEMENT, chain_id=4217)
    assert run(tmp_path, bundle(anchored, elsewhere, chain_id=4217), "--rpc", node.url) == 3
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "incomplete: anchor not checked"
    assert "for chain 4217, the node serves 31337" in said


def test_another_payer_than_the_pinned_one_fails(
    node: Anvil, anchored: Anchor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, bundle(anchored), "--rpc", node.url, "--payer", "0x" + "1" * 40) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "FAILED: anchor"


@pytest.mark.parametrize(
    "change", [{"tx_hash": "0x" + "0" * 64}, {"block_number": 999_999}, {"log_index": 99}], ids=str
)
def test_another_place_on_the_chain_fails(
    node: Anvil, anchored: Anchor, tmp_path: Path, change: dict[str, Any]
) -> None:
    assert run(tmp_path, bundle(anchored, **change), "--rpc", node.url) == 1
