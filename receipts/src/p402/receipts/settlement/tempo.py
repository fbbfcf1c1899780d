"""Settles on Tempo: a transaction of type 0x76 that calls ``transferWithMemo`` of a TIP-20 token.

Needs the extra ``p402-receipts[tempo]``; nothing else in this distribution imports web3 or pytempo. The key should be
an access key scoped to this one call, with a daily limit (https://docs.tempo.xyz, AccountKeychain), never the root key.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Self

from p402.receipts._chain import Block, parse_block
from p402.receipts._statement import Anchor, normalise_address
from p402.receipts._transfer import MemoTransfer, TransactionReceipt
from p402.receipts.errors import ChainUnavailable, ExtraMissing, Malformed
from p402.receipts.settlement import (
    Dead,
    Diverted,
    Final,
    Finding,
    Head,
    Included,
    Pending,
    Reverted,
    SignedSettlement,
    Superseded,
    TempoNetwork,
)

_RECURSION_LIMIT = sys.getrecursionlimit()
try:
    from pytempo import TempoTransaction
    from pytempo.contracts import TIP20
    from web3 import Account, AsyncHTTPProvider, AsyncWeb3
    from web3.types import RPCEndpoint
except ImportError as error:
    raise ExtraMissing("Settling on Tempo needs an extra: pip install 'p402-receipts[tempo]'.") from error
finally:
    # py_ecc, which web3 imports, raises the limit to 100,000: then deeply nested JSON from anywhere ends the process.
    sys.setrecursionlimit(_RECURSION_LIMIT)

__all__ = ["TempoSettler"]

_NONCE_PRECOMPILE = "0x4e4f4e4345000000000000000000000000000000"
_GET_NONCE = "0x89535803"  # getNonce(address,uint256)
_EXPIRING_LANE = 2**256 - 1
_LOG_RANGE = 10_000  # blocks: far more than pass before valid_before, and what public nodes still answer
_PRIVATE_KEY = re.compile(r"0x[0-9a-fA-F]{64}")
_TIMEOUT = 10.0


class TempoSettler:
    """Settles with one key on one network. Signing is pure; everything else asks the network's node."""

    def __init__(self, network: TempoNetwork, private_key: str, payer: str | None = None) -> None:
        """Take the network and a secp256k1 key (0x and 64 hex digits).

        If the key is an access key, `payer` is the account that authorised it.
        """
        if not _PRIVATE_KEY.fullmatch(private_key):
            raise Malformed("A settlement key is 0x and 64 hex digits.")
        own = normalise_address(Account.from_key(private_key).address)
        self._network = network
        self._key = private_key
        self._payer = own if payer is None else normalise_address(payer)
        self._is_access_key = self._payer != own
        self._checked = False
        # Retrying is the caller's business: it knows how long it may take.
        self._web3 = AsyncWeb3(
            AsyncHTTPProvider(network.rpc_url, {"timeout": _TIMEOUT}, exception_retry_configuration=None)
        )

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

    def sign(
        self, memo: bytes, payee: str, amount_micro_usd: int, nonce_key: int, nonce: int, valid_before: int
    ) -> SignedSettlement:
        """Sign a transfer; deterministic (RFC 6979), so the hash is known before anything is sent."""
        if nonce_key == _EXPIRING_LANE:
            raise ValueError("In the lane of expiring nonces two versions of one settlement could both land.")
        transfer = self._transfer(memo, payee, amount_micro_usd)
        call = TIP20(transfer.token).transfer_with_memo(to=transfer.payee, amount=amount_micro_usd, memo=memo)
        unsigned = TempoTransaction.create(
            chain_id=self._network.chain_id,
            gas_limit=self._network.gas_limit,
            max_fee_per_gas=self._network.max_fee_per_gas,
            max_priority_fee_per_gas=self._network.max_priority_fee_per_gas,
            nonce=nonce,
            nonce_key=nonce_key,
            valid_before=valid_before,
            fee_token=self._network.token,
            calls=(call,),
        )
        signed = unsigned.sign_access_key(self._key, self._payer) if self._is_access_key else unsigned.sign(self._key)
        return SignedSettlement(signed.encode(), "0x" + signed.hash().hex(), nonce_key, nonce, valid_before)

    async def send(self, raw: bytes) -> str | None:
        """Hand bytes to the node; give its complaint. "Already known" and "nonce too low" can mean success."""
        try:
            await self._call("eth_sendRawTransaction", "0x" + raw.hex())
        except ChainUnavailable as error:
            return str(error)
        return None

    async def find(
        self, signed: SignedSettlement, memo: bytes, payee: str, amount_micro_usd: int, from_block: int
    ) -> Finding:
        """Find out what became of a transfer.

        The finalized block and the lane's nonce in it are read before the transaction is looked for: what they say
        about the past is then no later than what is found, so a transaction cannot slip in between.
        """
        transfer = self._transfer(memo, payee, amount_micro_usd)
        finalized = await self._block("finalized")
        nonce = await self._nonce(signed.nonce_key, hex(finalized.number))
        receipt = await self._receipt(signed.tx_hash)
        if receipt is None:
            receipt = await self._receipt_by_memo(transfer, from_block)
        if receipt is not None:
            return await self._judge(receipt, transfer, finalized)
        if nonce > signed.nonce:
            return Superseded()
        return Dead() if finalized.timestamp >= signed.valid_before else Pending()

    async def lane_nonce(self, nonce_key: int) -> int:
        """Give the next nonce of a lane as the newest block has it."""
        return await self._nonce(nonce_key, "latest")

    async def head(self) -> Head:
        """Give the newest block."""
        block = await self._block("latest")
        return Head(block.number, block.timestamp)

    async def close(self) -> None:
        """Let go of connections."""
        await self._web3.provider.disconnect()

    def _transfer(self, memo: bytes, payee: str, amount_micro_usd: int) -> MemoTransfer:
        if len(memo) != 32 or amount_micro_usd < 0:  # noqa: PLR2004 - a memo is a bytes32
            raise ValueError("A transfer has a memo of 32 bytes and an amount of at least zero.")
        return MemoTransfer(
            token=self._network.token,
            payer=self._payer,
            payee=normalise_address(payee),
            amount_micro_usd=amount_micro_usd,
            memo=memo,
        )

    async def _judge(self, receipt: TransactionReceipt, transfer: MemoTransfer, finalized: Block) -> Finding:
        """Decide what a transaction's receipt means; nothing is decided before its block is finalized."""
        tx_hash, number = receipt.tx_hash, receipt.block_number
        if number > finalized.number:
            return Included(tx_hash, number)
        block = await self._block(hex(number))
        if block.hash != receipt.block_hash:
            raise ChainUnavailable(f"The node puts transaction {tx_hash} into a block that was discarded.")
        if not receipt.succeeded:
            return Reverted(tx_hash, number)
        proof = next((log for log in receipt.logs if transfer.is_proved_by(log)), None)
        if proof is None:
            return Diverted(tx_hash, number)
        return Final(
            Anchor(
                chain_id=self._network.chain_id,
                tx_hash=tx_hash,
                block_number=number,
                block_hash=block.hash,
                block_timestamp=block.timestamp,
                log_index=proof.index,
            )
        )

    async def _nonce(self, nonce_key: int, block: str) -> int:
        if nonce_key == 0:
            return int(await self._call("eth_getTransactionCount", self._payer, block), 16)
        data = f"{_GET_NONCE}{self._payer[2:]:0>64}{nonce_key:064x}"
        return int(await self._call("eth_call", {"to": _NONCE_PRECOMPILE, "data": data}, block), 16)

    async def _block(self, tag: str) -> Block:
        answer = await self._call("eth_getBlockByNumber", tag, False)  # noqa: FBT003 - positional in JSON-RPC
        if answer is None:
            raise ChainUnavailable(f"The chain's node has no block {tag} yet.")
        return parse_block(answer)

    async def _receipt(self, tx_hash: str) -> TransactionReceipt | None:
        answer = await self._call("eth_getTransactionReceipt", tx_hash)
        return None if answer is None else TransactionReceipt.parse(answer)

    async def _receipt_by_memo(self, transfer: MemoTransfer, from_block: int) -> TransactionReceipt | None:
        """Find the transfer by its log, in case another version of the transaction carried it."""
        last = min((await self.head()).number, from_block + _LOG_RANGE)
        if last < from_block:
            return None
        window = {"fromBlock": hex(from_block), "toBlock": hex(last)}
        query = {**window, "address": transfer.token, "topics": list(transfer.topics)}
        logs = await self._call("eth_getLogs", query)
        return await self._receipt(logs[0]["transactionHash"]) if logs else None

    async def _call(self, method: str, *params: Any) -> Any:
        if not self._checked:
            await self._check_chain()
        return await self._request(method, *params)

    async def _check_chain(self) -> None:
        chain_id = int(await self._request("eth_chainId"), 16)
        if chain_id != self._network.chain_id:
            raise Malformed(
                f"The settlement's node serves chain {chain_id}, not {self._network.chain_id}: check its URL."
            )
        self._checked = True

    async def _request(self, method: str, *params: Any) -> Any:
        try:
            answer = await self._web3.provider.make_request(RPCEndpoint(method), list(params))
        except Exception as error:  # whatever web3's HTTP client raises, which is not ours to import
            raise ChainUnavailable(f"The chain's node did not answer {method}: {error!r}.") from error
        if "error" in answer or "result" not in answer:
            raise ChainUnavailable(f"The chain's node refused {method}: {str(answer.get('error'))[:200]}.")
        return answer["result"]
