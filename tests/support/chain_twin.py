"""A chain in memory and a settler that uses it, as the docstrings of `p402.receipts.settlement` say they behave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from p402.receipts import Anchor
from p402.receipts.errors import ChainUnavailable, WrongChain
from p402.receipts.settlement import (
    LOCAL,
    Dead,
    Final,
    Finding,
    Head,
    Included,
    Lane,
    MemoOnChain,
    Obstacle,
    ObstacleKind,
    Pending,
    Reverted,
    SignedTransaction,
    Superseded,
    TempoNetwork,
    Transfer,
)

PAYER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
FEE = 18
"""What every transaction costs, in micro-dollars."""
_GENESIS = 1_778_000_000


@dataclass(frozen=True)
class _Landed:
    tx_hash: str
    transfers: tuple[Transfer, ...]
    block: int
    timestamp: int
    outcome: str

    @property
    def memo(self) -> str:
        """Of the first transfer."""
        return self.transfers[0].memo.hex()


@dataclass
class ChainTwin:
    """What the chain knows; a test decides when blocks are made and what happens in them."""

    waiting: list[bytes] = field(default_factory=list)
    landed: list[_Landed] = field(default_factory=list)
    nonces: dict[int, int] = field(default_factory=dict)
    nonces_in_finalized: dict[int, int] = field(default_factory=dict)
    number: int = 100
    time: int = _GENESIS
    finalized_number: int = 100
    finalized_time: int = _GENESIS
    base_fee: int = 0
    sent: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)
    """Every version that was sent, by its place: lane and nonce."""
    away: bool = False
    serves_another_chain: bool = False
    loses_what_is_sent: bool = False
    obstacle: Obstacle | None = None
    refused: set[str] = field(default_factory=set)
    """Payees whose transfers revert."""

    def block(self, seconds: int = 1, outcome: str = "paid") -> None:
        """Make a block with what waits and may still land."""
        self.number += 1
        self.time += seconds
        kept = []
        for raw in self.waiting:
            call = json.loads(raw)
            lane, nonce = call["nonce_key"], call["nonce"]
            if nonce != self.nonces.get(lane, 0) or self.time >= call["valid_before"]:
                continue
            if call["max_fee_per_gas"] < self.base_fee:
                kept.append(raw)
                continue
            self.nonces[lane] = nonce + 1
            transfers = tuple(
                Transfer(bytes.fromhex(it["memo"]), it["payee"], it["amount"]) for it in call["transfers"]
            )
            became = "reverted" if self.refused & {transfer.payee for transfer in transfers} else outcome
            self.landed.append(_Landed(tx_hash_of(raw), transfers, self.number, self.time, became))
        self.waiting = kept

    def finalise(self) -> None:
        """Declare the newest block final."""
        self.finalized_number, self.finalized_time = self.number, self.time
        self.nonces_in_finalized = dict(self.nonces)

    def use_up(self, lane: int) -> None:
        """Let somebody else's transaction take the next place of a lane."""
        self.nonces[lane] = self.nonces.get(lane, 0) + 1
        self.number += 1

    def paid(self) -> int:
        """Sum what arrived, in micro-dollars."""
        return sum(transfer.amount_micro_usd for it in self.landed if it.outcome == "paid" for transfer in it.transfers)


@dataclass
class SettlerTwin:
    """Implements `p402.receipts.settlement.Settler` on a `ChainTwin`."""

    chain: ChainTwin
    network: TempoNetwork = LOCAL
    payer: str = PAYER
    before_sending: Callable[[bytes], None] = lambda _: None
    closed: bool = False

    def sign(
        self, transfers: Sequence[Transfer], place: Lane, valid_before: int, max_fee_per_gas: int
    ) -> SignedTransaction:
        call = {
            "transfers": [
                {"memo": it.memo.hex(), "payee": it.payee, "amount": it.amount_micro_usd} for it in transfers
            ],
            "nonce_key": place.nonce_key,
            "nonce": place.next_nonce,
            "valid_before": valid_before,
            "max_fee_per_gas": max_fee_per_gas,
        }
        raw = json.dumps(call, sort_keys=True).encode()
        return SignedTransaction(raw, tx_hash_of(raw), place.nonce_key, place.next_nonce, valid_before, max_fee_per_gas)

    async def send(self, raw: bytes) -> str | None:
        self._reach()
        self.before_sending(raw)
        call = json.loads(raw)
        versions = self.chain.sent.setdefault((call["nonce_key"], call["nonce"]), [])
        if raw not in versions:
            versions.append(raw)
        if self.chain.obstacle is not None:
            return "insufficient funds"
        if call["nonce"] < self.chain.nonces.get(call["nonce_key"], 0):
            return "nonce too low"
        if raw in self.chain.waiting:
            return "already known"
        if not self.chain.loses_what_is_sent:
            self.chain.waiting.append(raw)
        return None

    async def find(self, signed: SignedTransaction, transfers: Sequence[Transfer], from_block: int) -> Finding:
        self._reach()
        chain = self.chain
        found: Any = next((it for it in chain.landed if it.tx_hash == signed.tx_hash), None) or next(
            (it for it in chain.landed if it.block >= from_block and self._carries(it, transfers)), None
        )
        if found is not None:
            return self._judge(found, transfers)
        nonce = chain.nonces_in_finalized.get(signed.nonce_key, 0)
        if nonce > signed.nonce:
            return Superseded()
        return Dead(nonce) if chain.finalized_time >= signed.valid_before else Pending()

    def _carries(self, landed: _Landed, transfers: Sequence[Transfer]) -> bool:
        return bool({log.transfer.memo for log in self._logs(landed)} & {transfer.memo for transfer in transfers})

    def _judge(self, found: _Landed, transfers: Sequence[Transfer]) -> Finding:
        if found.block > self.chain.finalized_number:
            return Included(found.tx_hash, found.block)
        if found.outcome == "reverted":
            return Reverted(found.tx_hash, found.block, FEE)
        arrived = [it.transfer for it in self._logs(found)]
        anchors = (
            self._anchor(found, arrived.index(transfer)) if transfer in arrived else None for transfer in transfers
        )
        return Final(found.tx_hash, tuple(anchors), FEE)

    def _logs(self, found: _Landed) -> list[MemoOnChain]:
        """What a block's logs say; nothing of transfers that were diverted or reverted."""
        if found.outcome == "reverted":
            return []
        arrived = [it for it in found.transfers if found.outcome != "diverted" or it.payee == self.payer]
        return [MemoOnChain(transfer, self._anchor(found, index)) for index, transfer in enumerate(arrived)]

    def _anchor(self, found: _Landed, log_index: int) -> Anchor:
        return Anchor(
            chain_id=self.network.chain_id,
            tx_hash=found.tx_hash,
            block_number=found.block,
            block_hash="0x" + f"{found.block:064x}",
            block_timestamp=found.timestamp,
            log_index=log_index,
        )

    async def obstacle(self, transfers: Sequence[Transfer], max_fee_per_gas: int) -> Obstacle | None:
        self._reach()
        assert max_fee_per_gas > 0
        refused = self.chain.refused & {transfer.payee for transfer in transfers}
        if refused:
            return Obstacle(ObstacleKind.REFUSED, f"The transfer to {refused.pop()} is refused: PolicyForbids.")
        return self.chain.obstacle

    async def lane_nonce(self, nonce_key: int) -> int:
        self._reach()
        return self.chain.nonces.get(nonce_key, 0)

    async def head(self) -> Head:
        self._reach()
        return Head(self.chain.number, self.chain.time, self.chain.base_fee)

    async def finalized(self) -> int:
        self._reach()
        return self.chain.finalized_number

    async def transfers(self, first_block: int, last_block: int) -> list[MemoOnChain]:
        self._reach()
        blocks = range(first_block, last_block + 1)
        return [log for it in self.chain.landed if it.block in blocks for log in self._logs(it)]

    async def close(self) -> None:
        self.closed = True

    def _reach(self) -> None:
        if self.chain.away:
            raise ChainUnavailable("The chain's node did not answer.")
        if self.chain.serves_another_chain:
            raise WrongChain("The settlement's node serves chain 1, not 31337: check its URL and the network.")


def tx_hash_of(raw: bytes) -> str:
    """The hash of a transaction is that of its bytes."""
    return "0x" + hashlib.sha256(raw).hexdigest()
