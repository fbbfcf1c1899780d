"""Access keys that may settle and do nothing else, and what the settler says when transfers cannot land."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from p402.receipts.errors import ChainUnavailable, Malformed
from p402.receipts.settlement import (
    LOCAL,
    Dead,
    Final,
    Finding,
    Included,
    Lane,
    ObstacleKind,
    Pending,
    Reverted,
    Transfer,
)
from p402.receipts.settlement.access_key import Authorisation, access_key_status, authorise, new_key
from p402.receipts.settlement.tempo import TempoSettler, address_of_key
from support.anvil import DEV_KEYS, Anvil, anvil_node

PAYEE = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
STRANGER = "0x" + "77" * 20
ACCOUNT = address_of_key(DEV_KEYS[0])
PRICE = LOCAL.max_fee_per_gas


@pytest.fixture(scope="module")
def mining() -> Iterator[Anvil]:
    """A node that makes blocks by itself."""
    with anvil_node(block_time=0.3) as node:
        yield node


async def make_key(node: Anvil, **change: int) -> str:
    key = new_key()
    ends = {"expires_at": int(node.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 86_400}  # noqa: FBT003
    limits = {"payments_micro_usd": 100_000, "fees_micro_usd": 1_000_000}
    allowed = Authorisation(payees=[PAYEE], **{**ends, **limits, **change})
    await authorise(replace(LOCAL, rpc_url=node.url), DEV_KEYS[0], address_of_key(key), allowed)
    return key


@pytest.fixture
async def settler(mining: Anvil) -> AsyncIterator[TempoSettler]:
    settler = TempoSettler(replace(LOCAL, rpc_url=mining.url), await make_key(mining), payer=ACCOUNT)
    yield settler
    await settler.close()


def to(payee: str, amount: int) -> list[Transfer]:
    return [Transfer(secrets.token_bytes(32), payee, amount)]


async def outcome(settler: TempoSettler, transfers: list[Transfer], lifetime: int = 600) -> Finding:
    head = await settler.head()
    signed = settler.sign(transfers, Lane(secrets.randbits(64) + 1, 0), head.timestamp + lifetime, PRICE)
    await settler.send(signed.raw)
    async with asyncio.timeout(120):
        while True:
            found = await settler.find(signed, transfers, head.number)
            if not isinstance(found, Pending | Included):
                return found
            await asyncio.sleep(0.2)


async def test_the_key_pays_the_payees_and_anchors_at_its_own_account(settler: TempoSettler) -> None:
    assert (settler.payer, settler.access_key is not None) == (ACCOUNT, True)
    assert await settler.obstacle(to(PAYEE, 1), PRICE) is None
    assert isinstance(await outcome(settler, [*to(PAYEE, 60_000), *to(ACCOUNT, 0)]), Final)
    status = await access_key_status(settler)
    assert status is not None
    [(left, refilled_at)] = status.remaining.values()
    assert 0 < left < 1_040_000  # one token: the fee's part is in the same limit
    assert status.expires_at is not None
    assert 0 < refilled_at - (await settler.head()).timestamp <= 86_400


async def test_the_key_pays_nobody_else(settler: TempoSettler) -> None:
    found = await outcome(settler, to(STRANGER, 1), lifetime=5)
    assert isinstance(found, Dead | Reverted)
    assert await settler.node.balance(LOCAL.token, STRANGER) == 0


async def test_a_limit_that_is_used_up_is_told_of_with_what_to_do(settler: TempoSettler) -> None:
    found = await settler.obstacle(to(PAYEE, 2_000_000), PRICE)
    assert found is not None
    assert found.kind is ObstacleKind.LIMIT
    assert "may still spend 1100000 µUSD" in found.sentence
    assert "p402 settle setup-key" in found.sentence


async def test_a_key_that_the_account_does_not_know_is_told_of(mining: Anvil) -> None:
    unknown = TempoSettler(replace(LOCAL, rpc_url=mining.url), new_key(), payer=ACCOUNT)
    found = await unknown.obstacle(to(PAYEE, 1), PRICE)
    assert found is not None
    assert (found.kind, "has not authorised" in found.sentence) == (ObstacleKind.KEY, True)
    status = await access_key_status(unknown)
    assert status is not None
    assert status.expires_at is None
    await unknown.close()


async def test_a_payer_without_money_is_told_how_much_to_send(mining: Anvil) -> None:
    poor = TempoSettler(replace(LOCAL, rpc_url=mining.url), new_key())
    found = await poor.obstacle(to(PAYEE, 50), PRICE)
    assert found is not None
    assert found.kind is ObstacleKind.FUNDS
    assert f"{poor.payer} holds 0 µUSD" in found.sentence
    assert "at least 56450 more" in found.sentence  # 940,000 gas at 6e10, rounded up, and the 50
    assert await access_key_status(poor) is None
    await poor.close()


async def test_a_receiver_that_the_token_refuses_is_told_of(mining: Anvil) -> None:
    rich = TempoSettler(replace(LOCAL, rpc_url=mining.url), DEV_KEYS[0])
    found = await rich.obstacle(to(LOCAL.token, 1), PRICE)  # a token takes no tokens
    assert found is not None
    assert (found.kind, "InvalidRecipient" in found.sentence) == (ObstacleKind.REFUSED, True)
    await rich.close()


async def test_an_authorisation_that_is_refused_says_so(mining: Anvil) -> None:
    with pytest.raises(Malformed, match="was reverted: the account did not authorise the key"):
        await make_key(mining, expires_at=1)


async def test_an_account_that_cannot_pay_for_the_authorisation_is_told_what_the_node_said(mining: Anvil) -> None:
    allowed = Authorisation(payees=[], payments_micro_usd=1, fees_micro_usd=1, expires_at=2**40)
    with pytest.raises(ChainUnavailable, match=r"was not mined in 1 s\. The node said: .*insufficient"):
        await authorise(replace(LOCAL, rpc_url=mining.url), new_key(), PAYEE, allowed, patience_seconds=1)
