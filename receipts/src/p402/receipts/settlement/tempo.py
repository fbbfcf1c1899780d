"""Settles on Tempo: a transaction of type 0x76 whose calls are ``transferWithMemo`` of a TIP-20 token, all or none.

Needs the extra ``p402-receipts[tempo]``. The key should be an access key scoped to this one call, with a daily limit
(`access_key` sets one up), never the root key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from p402.receipts._chain import Block
from p402.receipts._statement import Anchor, normalise_address
from p402.receipts._transfer import (
    TRANSFER_WITH_MEMO,
    ChainLog,
    MemoTransfer,
    TransactionReceipt,
    address_topic,
    parse_log,
)
from p402.receipts.errors import ChainUnavailable, Malformed
from p402.receipts.settlement import (
    Dead,
    Final,
    Finding,
    Head,
    Included,
    Lane,
    MemoOnChain,
    Obstacle,
    Pending,
    Reverted,
    SignedTransaction,
    Superseded,
    TempoNetwork,
    Transfer,
)
from p402.receipts.settlement._extra import Account, TempoTransaction
from p402.receipts.settlement._node import TempoNode
from p402.receipts.settlement._obstacles import find_obstacle, transfer_call

__all__ = ["TempoSettler", "address_of_key"]

_EXPIRING_LANE = 2**256 - 1
_LOG_RANGE = 10_000  # blocks: far more than pass before valid_before
_BLOCKS_AT_ONCE = 2_000  # what public nodes still answer
_PRIVATE_KEY = re.compile(r"0x[0-9a-fA-F]{64}")


class TempoSettler:
    """Settles with one key on one network. Signing is pure; everything else asks the network's node."""

    def __init__(self, network: TempoNetwork, private_key: str, payer: str | None = None) -> None:
        """Take the network and a secp256k1 key (0x and 64 hex digits).

        If the key is an access key, `payer` is the account that authorised it.
        """
        own = address_of_key(private_key)
        self._network = network
        self._key = private_key
        self._payer = own if payer is None else normalise_address(payer)
        self._access_key = own if self._payer != own else None
        self._node = TempoNode(network)

    @classmethod
    def from_key_file(cls, network: TempoNetwork, path: Path, payer: str | None = None) -> Self:
        """Read the key from a file that holds nothing else."""
        return cls(network, path.read_text().strip(), payer)

    @property
    def network(self) -> TempoNetwork:
        """The chain and the token."""
        return self._network

    @property
    def payer(self) -> str:
        """The address that pays, in lower case."""
        return self._payer

    @property
    def access_key(self) -> str | None:
        """The address of the access key that signs; None when the payer's own key does."""
        return self._access_key

    @property
    def node(self) -> TempoNode:
        """The node that is asked."""
        return self._node

    def sign(
        self, transfers: Sequence[Transfer], place: Lane, valid_before: int, max_fee_per_gas: int
    ) -> SignedTransaction:
        """Sign the transfers; deterministic (RFC 6979), so the hash is known before anything is sent."""
        if place.nonce_key == _EXPIRING_LANE:
            raise ValueError("In the lane of expiring nonces two versions of one settlement could both land.")
        if not transfers:
            raise ValueError("A transaction without transfers settles nothing.")
        wanted = [self._transfer(transfer) for transfer in transfers]
        unsigned = TempoTransaction.create(
            chain_id=self._network.chain_id,
            gas_limit=self._gas_limit(transfers),
            max_fee_per_gas=max_fee_per_gas,
            max_priority_fee_per_gas=self._network.max_priority_fee_per_gas,
            nonce=place.next_nonce,
            nonce_key=place.nonce_key,
            valid_before=valid_before,
            fee_token=self._network.fees_in,
            calls=tuple(transfer_call(item.token, transfer) for item, transfer in zip(wanted, transfers, strict=True)),
        )
        is_own = self._access_key is None
        signed = unsigned.sign(self._key) if is_own else unsigned.sign_access_key(self._key, self._payer)
        return SignedTransaction(
            raw=signed.encode(),
            tx_hash="0x" + signed.hash().hex(),
            nonce_key=place.nonce_key,
            nonce=place.next_nonce,
            valid_before=valid_before,
            max_fee_per_gas=max_fee_per_gas,
        )

    async def send(self, raw: bytes) -> str | None:
        """Hand bytes to the node; give its complaint. "Already known" and "nonce too low" can mean success."""
        return await self._node.send(raw)

    async def find(self, signed: SignedTransaction, transfers: Sequence[Transfer], from_block: int) -> Finding:
        """Find out what became of a transaction.

        The finalized block and the lane's nonce in it are read before the transaction is looked for: what they say
        about the past is then no later than what is found, so a transaction cannot slip in between.
        """
        wanted = [self._transfer(transfer) for transfer in transfers]
        finalized = await self._node.block("finalized")
        nonce = await self._node.nonce(self._payer, signed.nonce_key, hex(finalized.number))
        receipt = await self._node.receipt(signed.tx_hash)
        if receipt is None:
            receipt = await self._receipt_by_memo(transfers, from_block)
        if receipt is not None:
            return await self._judge(receipt, wanted, finalized)
        if nonce > signed.nonce:
            return Superseded()
        return Dead(nonce) if finalized.timestamp >= signed.valid_before else Pending()

    async def obstacle(self, transfers: Sequence[Transfer], max_fee_per_gas: int) -> Obstacle | None:
        """Find out why the transfers cannot land now, or could not."""
        max_fee = -(-self._gas_limit(transfers) * max_fee_per_gas // 10**12)
        return await find_obstacle(self._node, self._network, self._payer, self._access_key, transfers, max_fee)

    async def lane_nonce(self, nonce_key: int) -> int:
        """Give the next nonce of a lane as the newest block has it."""
        return await self._node.nonce(self._payer, nonce_key, "latest")

    async def head(self) -> Head:
        """Give the newest block."""
        block = await self._node.block("latest")
        return Head(block.number, block.timestamp, block.base_fee_per_gas)

    async def finalized(self) -> int:
        """Give the number of the newest block that can no longer vanish."""
        return (await self._node.block("finalized")).number

    async def transfers(self, first_block: int, last_block: int) -> list[MemoOnChain]:
        """Give every transfer with a memo that the payer made in a range of blocks."""
        topics = (TRANSFER_WITH_MEMO, address_topic(self._payer))
        found = await self._node.logs(self._network.token, topics, first_block, last_block)
        return [self._on_chain(raw) for raw in found if not raw.get("removed")]

    async def close(self) -> None:
        """Let go of connections."""
        await self._node.close()

    def _gas_limit(self, transfers: Sequence[Transfer]) -> int:
        payees = {transfer.payee for transfer in transfers} - {self._payer}
        return self._network.gas_limit(len(transfers), len(payees))

    def _transfer(self, transfer: Transfer) -> MemoTransfer:
        if len(transfer.memo) != 32 or transfer.amount_micro_usd < 0:  # noqa: PLR2004 - a memo is a bytes32
            raise ValueError("A transfer has a memo of 32 bytes and an amount of at least zero.")
        return MemoTransfer(
            token=self._network.token,
            payer=self._payer,
            payee=normalise_address(transfer.payee),
            amount_micro_usd=transfer.amount_micro_usd,
            memo=transfer.memo,
        )

    def _on_chain(self, raw: Mapping[str, Any]) -> MemoOnChain:
        try:
            log = parse_log(raw)
            _, _, payee, memo = log.topics
            transfer = Transfer(bytes.fromhex(memo[2:]), "0x" + payee[-40:], int(log.data, 16))
            return MemoOnChain(
                transfer,
                Anchor(
                    chain_id=self._network.chain_id,
                    tx_hash=raw["transactionHash"].lower(),
                    block_number=int(raw["blockNumber"], 16),
                    block_hash=raw["blockHash"].lower(),
                    block_timestamp=int(raw.get("blockTimestamp") or "0x0", 16),
                    log_index=log.index,
                ),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ChainUnavailable(f"The node's log of a transfer is incomplete: {error!r}.") from error

    async def _judge(self, receipt: TransactionReceipt, wanted: Sequence[MemoTransfer], finalized: Block) -> Finding:
        """Decide what a transaction's receipt means; nothing is decided before its block is finalized."""
        tx_hash, number = receipt.tx_hash, receipt.block_number
        if number > finalized.number:
            return Included(tx_hash, number)
        block = await self._node.block(number)
        if block.hash != receipt.block_hash:
            raise ChainUnavailable(f"The node puts transaction {tx_hash} into a block that was discarded.")
        if not receipt.succeeded:
            return Reverted(tx_hash, number, receipt.fee_micro_usd)
        proofs = (next((log for log in receipt.logs if transfer.is_proved_by(log)), None) for transfer in wanted)
        anchors = (None if log is None else self._anchor(tx_hash, block, log) for log in proofs)
        return Final(tx_hash, tuple(anchors), receipt.fee_micro_usd)

    def _anchor(self, tx_hash: str, block: Block, log: ChainLog) -> Anchor:
        return Anchor(
            chain_id=self._network.chain_id,
            tx_hash=tx_hash,
            block_number=block.number,
            block_hash=block.hash,
            block_timestamp=block.timestamp,
            log_index=log.index,
        )

    async def _receipt_by_memo(self, transfers: Sequence[Transfer], from_block: int) -> TransactionReceipt | None:
        """Find the transaction by the log of any of its transfers, in case another version of it carried them."""
        memos = ["0x" + transfer.memo.hex() for transfer in transfers]
        topics = (TRANSFER_WITH_MEMO, address_topic(self._payer), None, memos)
        last = min((await self.head()).number, from_block + _LOG_RANGE)
        for begin in range(from_block, last + 1, _BLOCKS_AT_ONCE):
            end = min(begin + _BLOCKS_AT_ONCE - 1, last)
            for log in await self._node.logs(self._network.token, topics, begin, end):
                return await self._node.receipt(log["transactionHash"])
        return None


def address_of_key(private_key: str) -> str:
    """Give the address of a key, in lower case.

    Raises:
        Malformed: if it is no key; what it is instead is not said.
    """
    if not _PRIVATE_KEY.fullmatch(private_key):
        raise Malformed("A settlement key is 0x and 64 hex digits.")
    return normalise_address(Account.from_key(private_key).address)
