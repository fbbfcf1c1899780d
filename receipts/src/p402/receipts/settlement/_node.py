"""A node of Tempo as the settler asks it: JSON-RPC through web3, whose connections are kept.

Every method raises ChainUnavailable when there is no useful answer, and WrongChain when the node serves another chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from p402.receipts._chain import Block, kind_of_failure, parse_block
from p402.receipts._transfer import TransactionReceipt
from p402.receipts.errors import ChainUnavailable, WrongChain
from p402.receipts.settlement._extra import AsyncHTTPProvider, AsyncWeb3, RPCEndpoint
from p402.receipts.settlement._network import TempoNetwork

__all__ = ["TempoNode", "word"]

_NONCE_PRECOMPILE = "0x4e4f4e4345000000000000000000000000000000"
_GET_NONCE = "0x89535803"  # getNonce(address,uint256)
_BALANCE_OF = "0x70a08231"  # balanceOf(address)
_TIMEOUT = 10.0


class TempoNode:
    """Reads a chain and hands bytes to it."""

    def __init__(self, network: TempoNetwork) -> None:
        self._chain_id = network.chain_id
        self._checked = False
        # Retrying is the caller's business: it knows how long it may take.
        self._web3 = AsyncWeb3(
            AsyncHTTPProvider(network.rpc_url, {"timeout": _TIMEOUT}, exception_retry_configuration=None)
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._web3.provider.disconnect()

    async def send(self, raw: bytes) -> str | None:
        """Hand bytes to the node; give its complaint. "Already known" and "nonce too low" can mean success."""
        try:
            await self.ask("eth_sendRawTransaction", "0x" + raw.hex())
        except ChainUnavailable as error:
            return str(error)
        return None

    async def block(self, tag: int | str) -> Block:
        """Give a block by its number or tag."""
        number = hex(tag) if isinstance(tag, int) else tag
        answer = await self.ask("eth_getBlockByNumber", number, False)  # noqa: FBT003 - positional in JSON-RPC
        if answer is None:
            raise ChainUnavailable(f"The chain's node has no block {tag} yet.")
        return parse_block(answer)

    async def receipt(self, tx_hash: str) -> TransactionReceipt | None:
        """Tell what became of a transaction; None if the node does not know it."""
        answer = await self.ask("eth_getTransactionReceipt", tx_hash)
        return None if answer is None else TransactionReceipt.parse(answer)

    async def nonce(self, account: str, nonce_key: int, block: str) -> int:
        """Give the next nonce of a lane."""
        if nonce_key == 0:
            return int(await self.ask("eth_getTransactionCount", account, block), 16)
        return int(await self.call(_NONCE_PRECOMPILE, f"{_GET_NONCE}{word(account)}{nonce_key:064x}", block), 16)

    async def balance(self, token: str, account: str) -> int:
        """Give what an account holds of a token, in its smallest unit."""
        return int(await self.call(token, _BALANCE_OF + word(account)), 16)

    async def call(self, to: str, data: str, block: str = "latest", sender: str | None = None) -> str:
        """Call a contract without a transaction; give what it returns in hex."""
        request = {"to": to, "data": data} | ({"from": sender} if sender else {})
        return str(await self.ask("eth_call", request, block))

    async def logs(
        self, address: str, topics: Sequence[str | list[str] | None], first: int, last: int
    ) -> list[dict[str, Any]]:
        """Give the logs of a contract in a range of blocks, both ends included; of a list of topics any will do."""
        window = {"fromBlock": hex(first), "toBlock": hex(last)}
        found: list[dict[str, Any]] = await self.ask("eth_getLogs", {**window, "address": address, "topics": [*topics]})
        return found

    async def ask(self, method: str, *params: Any) -> Any:
        """Ask anything, of the right chain only."""
        if not self._checked:
            await self._check_chain()
        return await self._request(method, *params)

    async def _check_chain(self) -> None:
        chain_id = int(await self._request("eth_chainId"), 16)
        if chain_id != self._chain_id:
            raise WrongChain(
                f"The settlement's node serves chain {chain_id}, not {self._chain_id}: check its URL and the network."
            )
        self._checked = True

    async def _request(self, method: str, *params: Any) -> Any:
        try:
            answer = await self._web3.provider.make_request(RPCEndpoint(method), list(params))
        except Exception as error:  # noqa: BLE001 - whatever web3's HTTP client raises, which is not ours to import
            self._checked = False  # another node may answer at this address when there is one again
            # Its type and status only, and no cause: the rest has the node's address, and that mostly a key.
            raise ChainUnavailable(f"The chain's node did not answer {method}: {kind_of_failure(error)}.") from None
        if "error" in answer or "result" not in answer:
            raise ChainUnavailable(f"The chain's node refused {method}: {str(answer.get('error'))[:300]}.")
        return answer["result"]


def word(address: str) -> str:
    """Write an address as an argument of a call: 32 bytes in hex, without 0x."""
    return f"{address[2:]:0>64}"
