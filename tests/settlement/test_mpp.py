"""A payee that speaks MPP is paid in a way that its own verifier accepts, and the same transaction anchors the log."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p402.receipts.settlement import LOCAL, Final, Lane, Transfer
from p402.receipts.settlement.mpp import mpp_memo, mpp_payment, mpp_source
from p402.receipts.settlement.tempo import TempoSettler
from support.anvil import DEV_KEYS, Anvil
from support.environments import environment

PAYEE = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
VERIFIER = Path(__file__).parents[1] / "support" / "mpp_verifier_client.py"
REALM = "receipts.example.com"


@pytest.fixture
async def settler(node: Anvil) -> AsyncIterator[TempoSettler]:
    settler = TempoSettler(replace(LOCAL, rpc_url=node.url), DEV_KEYS[0])
    yield settler
    await settler.close()


async def pay(settler: TempoSettler, node: Anvil, *transfers: Transfer) -> Final:
    lane = secrets.randbits(64) + 1
    head = await settler.head()
    signed = settler.sign(transfers, Lane(lane, 0), head.timestamp + 600, settler.network.max_fee_per_gas)
    assert await settler.send(signed.raw) is None
    node.mine(4)
    found = await settler.find(signed, transfers, head.number)
    assert isinstance(found, Final)
    return found


def says(node: Anvil, settler: TempoSettler, challenge: str, tx_hash: str, amount: int = 1000) -> str:
    """What the server's verifier says to a transaction."""
    request: dict[str, Any] = {"amount": str(amount), "currency": LOCAL.token, "recipient": PAYEE}
    request["methodDetails"] = {"chainId": LOCAL.chain_id}
    source = mpp_source(LOCAL.chain_id, settler.payer)
    shown = {"challenge_id": challenge, "realm": REALM, "request": request, "source": source, "hash": tx_hash}
    program = [str(environment("mpp") / "python"), str(VERIFIER), node.url, json.dumps(shown)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.timeout(400)  # the environment is made once
async def test_a_payment_for_a_challenge_beside_our_anchor_is_accepted(settler: TempoSettler, node: Anvil) -> None:
    memo = secrets.token_bytes(32)
    payment, anchor = mpp_payment(
        challenge_id="ch-1", realm=REALM, payee=PAYEE, amount_micro_usd=1000, payer=settler.payer, memo=memo
    )
    final = await pay(settler, node, payment, anchor)
    assert all(final.anchors)
    assert anchor.memo == memo
    assert says(node, settler, "ch-1", final.tx_hash) == f"accepted {settler.payer}"
    assert says(node, settler, "ch-2", final.tx_hash).startswith("refused")
    assert says(node, settler, "ch-1", final.tx_hash, amount=1001).startswith("refused")


@pytest.mark.timeout(400)
async def test_a_payment_with_our_memo_alone_is_refused(settler: TempoSettler, node: Anvil) -> None:
    final = await pay(settler, node, Transfer(secrets.token_bytes(32), PAYEE, 1000))
    assert says(node, settler, "ch-1", final.tx_hash).startswith("refused")


def test_the_memo_names_the_client_only_if_it_is_to() -> None:
    anonymous, named = mpp_memo("ch-1", REALM), mpp_memo("ch-1", REALM, "acme")
    assert (anonymous[:15], anonymous[25:]) == (named[:15], named[25:])
    assert anonymous[15:25] == bytes(10) != named[15:25]
    assert len(anonymous) == 32
