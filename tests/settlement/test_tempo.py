"""Settling on a real chain: what lands, what dies, and that nothing lands twice."""

from __future__ import annotations

import secrets
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from pytempo import CallScope, KeyRestrictions, SignatureType, TempoTransaction, TokenLimit
from pytempo.contracts import AccountKeychain

from p402.receipts import TRANSFER_WITH_MEMO, Anchor, ChainReader
from p402.receipts.errors import ChainUnavailable, Malformed, WrongChain
from p402.receipts.settlement import (
    LOCAL,
    MAINNET,
    MODERATO,
    Dead,
    Final,
    Included,
    Lane,
    Pending,
    Reverted,
    Settler,
    SignedTransaction,
    Superseded,
    Transfer,
)
from p402.receipts.settlement.tempo import TempoSettler
from support.anvil import DEV_KEYS, Anvil
from support.sample_log import answering_node, chain_answers, sample_log, sample_statement

PAYEE = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
LIFETIME = 600


@pytest.fixture
async def settler(node: Anvil) -> AsyncIterator[TempoSettler]:
    settler = TempoSettler(replace(LOCAL, rpc_url=node.url), DEV_KEYS[0])
    yield settler
    await settler.close()


def a_transfer(payee: str, amount: int) -> Transfer:
    return Transfer(secrets.token_bytes(32), payee, amount)


def anchor_of(found: object) -> Anchor:
    assert isinstance(found, Final)
    [anchor] = found.anchors
    assert anchor is not None
    return anchor


class Payment:
    """One transaction in a lane of its own, from signing to the end."""

    def __init__(self, settler: Settler, amount: int = 0, payee: str | None = None, lane: int | None = None) -> None:
        self.settler = settler
        self.transfers = [a_transfer(payee or settler.payer, amount)]
        self.lane = secrets.randbits(64) + 1 if lane is None else lane
        self.from_block = 0
        self.signed: SignedTransaction

    async def sign(self, lifetime: int = LIFETIME) -> SignedTransaction:
        head = await self.settler.head()
        nonce = await self.settler.lane_nonce(self.lane)
        self.from_block = head.number
        self.signed = self.sign_at(nonce, head.timestamp + lifetime)
        return self.signed

    def sign_at(self, nonce: int, valid_before: int) -> SignedTransaction:
        price = self.settler.network.max_fee_per_gas
        return self.settler.sign(self.transfers, Lane(self.lane, nonce), valid_before, price)

    async def find(self) -> object:
        return await self.settler.find(self.signed, self.transfers, self.from_block)

    def events(self, node: Anvil) -> int:
        topics = [TRANSFER_WITH_MEMO, None, None, "0x" + self.transfers[0].memo.hex()]
        return len(node.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "topics": topics}))


async def test_an_anchor_is_pending_then_included_then_final(settler: TempoSettler, node: Anvil) -> None:
    payment = Payment(settler)
    signed = await payment.sign()
    assert await payment.find() == Pending()
    assert await settler.send(signed.raw) is None
    node.mine()
    included = await payment.find()
    assert isinstance(included, Included)
    assert included.tx_hash == signed.tx_hash
    node.mine(3)
    anchor = anchor_of(await payment.find())
    assert (anchor.tx_hash, anchor.chain_id) == (signed.tx_hash, 31337)
    block = node.rpc("eth_getBlockByNumber", hex(anchor.block_number), False)  # noqa: FBT003
    assert (anchor.block_hash, hex(anchor.block_timestamp)) == (block["hash"], block["timestamp"])


async def test_a_payment_moves_exactly_the_amount(settler: TempoSettler, node: Anvil) -> None:
    payer, payee = await balance(settler, settler.payer), await balance(settler, PAYEE)
    payment = Payment(settler, amount=264_235, payee=PAYEE)
    await settler.send((await payment.sign()).raw)
    node.mine(4)
    final = await payment.find()
    assert isinstance(final, Final)
    assert await balance(settler, PAYEE) - payee == 264_235
    assert payer - await balance(settler, settler.payer) == 264_235 + final.fee_micro_usd
    assert final.fee_micro_usd > 0


async def balance(settler: TempoSettler, account: str) -> int:
    return await settler.node.balance(LOCAL.token, account)


async def test_a_hundred_transfers_land_together_each_with_a_log_of_its_own(settler: TempoSettler, node: Anvil) -> None:
    batch = Payment(settler)
    batch.transfers = [a_transfer(PAYEE if number % 2 else settler.payer, number % 2 * number) for number in range(100)]
    await settler.send((await batch.sign()).raw)
    node.mine(4)
    final = await batch.find()
    assert isinstance(final, Final)
    anchors = [anchor for anchor in final.anchors if anchor]
    assert len({anchor.log_index for anchor in anchors}) == 100
    assert {anchor.tx_hash for anchor in anchors} == {batch.signed.tx_hash}
    listed = await settler.transfers(anchors[0].block_number, anchors[0].block_number)
    assert [found.transfer for found in listed] == batch.transfers
    assert [(found.anchor.tx_hash, found.anchor.log_index) for found in listed] == [
        (anchor.tx_hash, anchor.log_index) for anchor in anchors
    ]


async def test_one_transfer_that_cannot_be_takes_the_whole_transaction_with_it(
    settler: TempoSettler, node: Anvil
) -> None:
    batch = Payment(settler)
    batch.transfers = [a_transfer(PAYEE, 1), a_transfer(PAYEE, 10**30)]
    before = await balance(settler, settler.payer), await balance(settler, PAYEE)
    await settler.send((await batch.sign()).raw)
    node.mine(4)
    found = await batch.find()
    assert isinstance(found, Reverted)
    after = await balance(settler, settler.payer), await balance(settler, PAYEE)
    assert (before[0] - after[0], after[1] - before[1]) == (found.fee_micro_usd, 0)


async def test_the_same_bytes_sent_five_times_land_once(settler: TempoSettler, node: Anvil) -> None:
    payment = Payment(settler, amount=7, payee=PAYEE)
    signed = await payment.sign()
    for _ in range(3):
        await settler.send(signed.raw)
    node.mine(4)
    for _ in range(2):
        await settler.send(signed.raw)
    node.mine(4)
    assert isinstance(await payment.find(), Final)
    assert payment.events(node) == 1


async def test_signing_again_gives_the_same_bytes(settler: TempoSettler) -> None:
    payment = Payment(settler)
    first = await payment.sign()
    assert payment.sign_at(first.nonce, first.valid_before) == first


async def test_what_was_never_mined_is_dead_after_valid_before_and_its_place_can_be_used_again(
    settler: TempoSettler, node: Anvil
) -> None:
    payment = Payment(settler, amount=7, payee=PAYEE)
    lost = await payment.sign(lifetime=60)
    node.advance(30)
    node.mine(3)
    assert await payment.find() == Pending()
    node.advance(60)
    node.mine(3)
    assert await payment.find() == Dead(lost.nonce)
    second = await payment.sign()
    assert (second.nonce_key, second.nonce) == (lost.nonce_key, lost.nonce)
    await settler.send(second.raw)
    await settler.send(lost.raw)
    node.mine(4)
    assert isinstance(await payment.find(), Final)
    assert payment.events(node) == 1


async def test_a_version_that_landed_is_found_by_its_memo(settler: TempoSettler, node: Anvil) -> None:
    payment = Payment(settler, amount=7, payee=PAYEE)
    landed = await payment.sign()
    await settler.send(landed.raw)
    node.mine(4)
    payment.signed = payment.sign_at(landed.nonce, landed.valid_before + 60)
    assert anchor_of(await payment.find()).tx_hash == landed.tx_hash != payment.signed.tx_hash


async def test_another_version_is_found_by_any_of_its_memos(settler: TempoSettler, node: Anvil) -> None:
    payment = Payment(settler, amount=7, payee=PAYEE)
    landed = await payment.sign()
    await settler.send(landed.raw)
    node.mine(4)
    missing = a_transfer(PAYEE, 3)
    payment.transfers.insert(0, missing)  # as one that was diverted, which leaves no log
    payment.signed = payment.sign_at(landed.nonce, landed.valid_before + 60)
    final = await payment.find()
    assert isinstance(final, Final)
    assert [anchor and anchor.tx_hash for anchor in final.anchors] == [None, landed.tx_hash]


async def test_more_than_the_payer_has_is_reverted_and_uses_up_the_nonce(settler: TempoSettler, node: Anvil) -> None:
    payment = Payment(settler, amount=10**30, payee=PAYEE)
    await settler.send((await payment.sign()).raw)
    node.mine(4)
    assert isinstance(await payment.find(), Reverted)
    assert await settler.lane_nonce(payment.lane) == payment.signed.nonce + 1


async def test_a_success_without_the_exact_transfer_has_no_anchor(settler: TempoSettler, node: Anvil) -> None:
    payment = Payment(settler, amount=7, payee=PAYEE)
    await settler.send((await payment.sign()).raw)
    node.mine(4)
    payment.transfers[0] = replace(payment.transfers[0], amount_micro_usd=8)  # as if another amount had been due
    final = await payment.find()
    assert isinstance(final, Final)
    assert final.anchors == (None,)


async def test_a_nonce_used_by_something_unknown_is_superseded(settler: TempoSettler, node: Anvil) -> None:
    ours, other = Payment(settler), Payment(settler)
    other.lane = ours.lane
    await ours.sign()
    await settler.send((await other.sign()).raw)
    node.mine(4)
    assert await ours.find() == Superseded()


async def test_lanes_count_on_their_own_and_lane_zero_works(settler: TempoSettler, node: Anvil) -> None:
    first, second = Payment(settler, lane=0), Payment(settler)
    before = await settler.lane_nonce(0)
    await settler.send((await first.sign()).raw)
    await settler.send((await second.sign()).raw)
    node.mine(4)
    assert isinstance(await first.find(), Final)
    assert isinstance(await second.find(), Final)
    assert await settler.lane_nonce(0) == before + 1
    assert await settler.lane_nonce(second.lane) == 1


async def test_a_transaction_that_a_reorganisation_drops_lands_again_with_the_same_bytes(
    settler: TempoSettler, node: Anvil
) -> None:
    payment = Payment(settler)
    signed = await payment.sign()
    await settler.send(signed.raw)
    node.mine()
    assert isinstance(await payment.find(), Included)
    node.rpc("anvil_reorg", 1, [])
    assert await payment.find() == Pending()
    await settler.send(signed.raw)
    node.mine(4)
    assert isinstance(await payment.find(), Final)
    assert payment.events(node) == 1


async def test_what_the_node_complains_about_is_returned_not_raised(settler: TempoSettler) -> None:
    assert "eth_sendRawTransaction" in str(await settler.send(b"\x76nonsense"))


async def test_a_node_that_is_away_is_transient(settler: TempoSettler) -> None:
    away = TempoSettler(replace(settler.network, rpc_url="http://127.0.0.1:9"), DEV_KEYS[0])
    with pytest.raises(ChainUnavailable):
        await away.head()
    await away.close()


async def test_a_node_that_refuses_is_told_by_status_and_never_by_its_address() -> None:
    with answering_node({}, status=429) as url:
        address = f"{url}/v3/SECRETKEY"
        settler, reader = TempoSettler(replace(LOCAL, rpc_url=address), DEV_KEYS[0]), ChainReader(address)
        with pytest.raises(ChainUnavailable, match=r"ClientResponseError \(HTTP 429\)") as refused:
            await settler.head()
        with pytest.raises(ChainUnavailable, match=r"HTTPError \(HTTP 429\)") as read:
            reader.chain_id()
        complaint = await settler.send(b"\x76")
        await settler.close()
    for told in (refused, read):
        assert "SECRETKEY" not in "".join(traceback.format_exception(told.value)) + repr(told.value)
    assert "SECRETKEY" not in str(complaint)


async def test_a_transaction_in_a_discarded_block_is_not_final() -> None:
    answers = chain_answers(sample_statement(sample_log(1))) | {"eth_call": "0x1"}
    answers["eth_getTransactionReceipt"]["blockHash"] = "0x" + "00" * 32
    with answering_node(answers) as url:  # a node that contradicts itself, as one that lags behind can
        settler = TempoSettler(replace(LOCAL, rpc_url=url), DEV_KEYS[0])
        payment = Payment(settler)
        payment.signed = payment.sign_at(0, 2**40)
        with pytest.raises(ChainUnavailable, match="discarded"):
            await payment.find()
        await settler.close()


async def test_a_node_of_another_chain_is_refused(settler: TempoSettler) -> None:
    lost = TempoSettler(replace(settler.network, chain_id=4217), DEV_KEYS[0])
    with pytest.raises(WrongChain, match="serves chain 31337, not 4217"):
        await lost.lane_nonce(1)
    await lost.close()


async def test_the_lane_of_expiring_nonces_is_refused(settler: TempoSettler) -> None:
    with pytest.raises(ValueError, match="could both land"):
        settler.sign([a_transfer(PAYEE, 0)], Lane(2**256 - 1, 0), 1, 1)


async def test_an_access_key_settles_for_the_account_that_authorised_it(
    settler: TempoSettler, node: Anvil, tmp_path: Path
) -> None:
    access = Account.create()
    await authorise(settler, node, access.address)
    path = tmp_path / "settlement.key"
    path.write_text("0x" + access.key.hex() + "\n")
    limited = TempoSettler.from_key_file(settler.network, path, payer=settler.payer)
    payment = Payment(limited)
    await limited.send((await payment.sign()).raw)
    node.mine(4)
    assert isinstance(await payment.find(), Final)
    elsewhere = Payment(limited, amount=1, payee=PAYEE)
    await limited.send((await elsewhere.sign(lifetime=60)).raw)
    node.advance(120)
    node.mine(3)
    assert await elsewhere.find() == Dead(elsewhere.signed.nonce)  # the key may pay nobody but its own account
    await limited.close()


async def authorise(settler: TempoSettler, node: Anvil, key: str) -> None:
    """Let the account authorise a key for anchors only: one token, one function, itself as the only recipient."""
    restrictions = KeyRestrictions(
        expiry=(await settler.head()).timestamp + 100_000,
        limits=[TokenLimit(token=LOCAL.token, limit=1_000_000)],
        allowed_calls=[CallScope.transfer_with_memo(target=LOCAL.token, recipients=[settler.payer])],
    )
    call = AccountKeychain.authorize_key(key_id=key, signature_type=SignatureType.SECP256K1, restrictions=restrictions)
    transaction = TempoTransaction.create(
        chain_id=LOCAL.chain_id,
        gas_limit=8_000_000,
        max_fee_per_gas=LOCAL.max_fee_per_gas,
        nonce=await settler.lane_nonce(0),
        fee_token=LOCAL.token,
        calls=(call,),
    ).sign(DEV_KEYS[0])
    assert await settler.send(transaction.encode()) is None
    node.mine()
    assert node.rpc("eth_getTransactionReceipt", "0x" + transaction.hash().hex())["status"] == "0x1"


async def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settlement.key"
    path.write_text("secret")
    with pytest.raises(Malformed, match="0x and 64 hex digits") as refused:
        TempoSettler.from_key_file(LOCAL, path)
    assert "secret" not in str(refused.value)


def test_explorer_pages_are_the_networks_own() -> None:
    assert MAINNET.explorer_tx_url("0xab") == "https://explore.tempo.xyz/tx/0xab"
    assert MODERATO.explorer_tx_url("0xab") == "https://explore.testnet.tempo.xyz/tx/0xab"
    assert LOCAL.explorer_tx_url("0xab") is None
