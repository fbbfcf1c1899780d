"""A chain in memory and a settler that uses it, as the docstrings of `p402.receipts.settlement` say they behave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from p402.receipts import Anchor
from p402.receipts.errors import ChainUnavailable
from p402.receipts.settlement import (
    LOCAL,
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

PAYER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
_GENESIS = 1_778_000_000


@dataclass(frozen=True)
class _Landed:
    tx_hash: str
    memo: str
    block: int
    outcome: str


@dataclass
class ChainTwin:
    """What the chain knows; a test decides when blocks are made and what happens in them."""

    waiting: list[bytes] = field(default_factory=list)
    landed: list[_Landed] = field(default_factory=list)
    nonces: dict[int, int] = field(default_factory=dict)
    nonces_in_finalized: dict[int, int] = field(default_factory=dict)
    number: int = 100
    time: int = _GENESIS
    finalized: int = 100
    finalized_time: int = _GENESIS
    sent: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)
    """Every version that was sent, by its place: lane and nonce."""
    away: bool = False
    loses_what_is_sent: bool = False

    def block(self, seconds: int = 1, outcome: str = "paid") -> None:
        """Make a block with what waits and may still land."""
        self.number += 1
        self.time += seconds
        for raw in self.waiting:
            call = json.loads(raw)
            lane, nonce = call["nonce_key"], call["nonce"]
            if nonce == self.nonces.get(lane, 0) and self.time < call["valid_before"]:
                self.nonces[lane] = nonce + 1
                self.landed.append(_Landed(tx_hash_of(raw), call["memo"], self.number, outcome))
        self.waiting = []

    def finalise(self) -> None:
        """Declare the newest block final."""
        self.finalized, self.finalized_time = self.number, self.time
        self.nonces_in_finalized = dict(self.nonces)

    def use_up(self, lane: int) -> None:
        """Let somebody else's transaction take the next place of a lane."""
        self.nonces[lane] = self.nonces.get(lane, 0) + 1
        self.number += 1


@dataclass
class SettlerTwin:
    """Implements `p402.receipts.settlement.Settler` on a `ChainTwin`."""

    chain: ChainTwin
    network: TempoNetwork = LOCAL
    payer: str = PAYER
    before_sending: Callable[[bytes], None] = lambda _: None
    closed: bool = False

    def sign(
        self, memo: bytes, payee: str, amount_micro_usd: int, nonce_key: int, nonce: int, valid_before: int
    ) -> SignedSettlement:
        call = {
            "memo": memo.hex(),
            "payee": payee,
            "amount": amount_micro_usd,
            "nonce_key": nonce_key,
            "nonce": nonce,
            "valid_before": valid_before,
        }
        raw = json.dumps(call, sort_keys=True).encode()
        return SignedSettlement(raw, tx_hash_of(raw), nonce_key, nonce, valid_before)

    async def send(self, raw: bytes) -> str | None:
        self._reach()
        self.before_sending(raw)
        call = json.loads(raw)
        versions = self.chain.sent.setdefault((call["nonce_key"], call["nonce"]), [])
        if raw not in versions:
            versions.append(raw)
        if call["nonce"] < self.chain.nonces.get(call["nonce_key"], 0):
            return "nonce too low"
        if raw in self.chain.waiting:
            return "already known"
        if not self.chain.loses_what_is_sent:
            self.chain.waiting.append(raw)
        return None

    async def find(
        self, signed: SignedSettlement, memo: bytes, payee: str, amount_micro_usd: int, from_block: int
    ) -> Finding:
        self._reach()
        assert json.loads(signed.raw)["payee"] == payee
        assert amount_micro_usd == 0
        chain = self.chain
        found: Any = next((it for it in chain.landed if it.tx_hash == signed.tx_hash), None) or next(
            (it for it in chain.landed if it.memo == memo.hex() and it.block >= from_block), None
        )
        if found is not None:
            return self._judge(found)
        if chain.nonces_in_finalized.get(signed.nonce_key, 0) > signed.nonce:
            return Superseded()
        return Dead() if chain.finalized_time >= signed.valid_before else Pending()

    def _judge(self, found: _Landed) -> Finding:
        if found.block > self.chain.finalized:
            return Included(found.tx_hash, found.block)
        match found.outcome:
            case "reverted":
                return Reverted(found.tx_hash, found.block)
            case "diverted":
                return Diverted(found.tx_hash, found.block)
        return Final(
            Anchor(
                chain_id=self.network.chain_id,
                tx_hash=found.tx_hash,
                block_number=found.block,
                block_hash="0x" + f"{found.block:064x}",
                block_timestamp=self.chain.time,
                log_index=0,
            )
        )

    async def lane_nonce(self, nonce_key: int) -> int:
        self._reach()
        return self.chain.nonces.get(nonce_key, 0)

    async def head(self) -> Head:
        self._reach()
        return Head(self.chain.number, self.chain.time)

    async def close(self) -> None:
        self.closed = True

    def _reach(self) -> None:
        if self.chain.away:
            raise ChainUnavailable("The chain's node did not answer.")


def tx_hash_of(raw: bytes) -> str:
    """The hash of a transaction is that of its bytes."""
    return "0x" + hashlib.sha256(raw).hexdigest()
