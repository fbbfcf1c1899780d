"""Puts settlement statements onto a chain, exactly once: the port, its values, and what may become of a transaction.

::

                    sign                send                                 block finalized
    statements ────────────▶ signed ─────────▶ Pending ──▶ Included ─────────────────────▶ Final
              bytes and hash are       (errors    │                 └──▶ Reverted   failed; the nonce is used up
              stored before the        say        ├──▶ Dead         can never land: sign again, same lane
              first send               nothing)   └──▶ Superseded   the nonce is used up by something unknown: ask a human

One transaction carries the transfers of several settlements, all or none; each has its own memo, and its proof is its
own log. A transfer of a final transaction that has no log was *diverted*: the receiver's policy holds the money back.

A *lane* is a nonce key of the payer: an independent sequence of nonces. Two versions of a transaction in the same
place of a lane can never both land; that, and asking the chain instead of believing what a send returned, is what
makes a settlement happen exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from p402.receipts._statement import Anchor
from p402.receipts.settlement._network import LOCAL, MAINNET, MODERATO, TempoNetwork

__all__ = [
    "LOCAL",
    "MAINNET",
    "MODERATO",
    "Dead",
    "Final",
    "Finding",
    "Head",
    "Included",
    "Lane",
    "MemoOnChain",
    "Obstacle",
    "ObstacleKind",
    "Pending",
    "Reverted",
    "Settler",
    "SignedTransaction",
    "Superseded",
    "TempoNetwork",
    "Transfer",
]


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block of the chain."""

    number: int
    timestamp: int
    """Seconds since 1970."""
    base_fee_per_gas: int = 0
    """In 10⁻¹⁸ USD: what a unit of gas costs at least."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A sequence of nonces; it costs gas once, so a few are used for ever."""

    nonce_key: int
    next_nonce: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer with a memo; token and payer are the settler's."""

    memo: bytes
    """32 bytes."""
    payee: str
    amount_micro_usd: int


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction, signed but perhaps never sent. Store it before sending it."""

    raw: bytes
    tx_hash: str
    nonce_key: int
    nonce: int
    valid_before: int
    """Seconds since 1970: no block from this time on can contain the transaction."""
    max_fee_per_gas: int
    """In 10⁻¹⁸ USD."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The chain does not have it yet; send the same bytes again."""


@dataclass(frozen=True, slots=True)
class Included:
    """It is in a block that could still vanish; ask again."""

    tx_hash: str
    block_number: int


@dataclass(frozen=True, slots=True)
class Final:
    """It succeeded in a finalized block."""

    tx_hash: str
    anchors: tuple[Anchor | None, ...]
    """Of each transfer, in their order; None where its exact log is missing: the receiver's policy diverted it."""
    fee_micro_usd: int


@dataclass(frozen=True, slots=True)
class Reverted:
    """It failed in a finalized block: nothing was paid but the fee, and the nonce is used up."""

    tx_hash: str
    block_number: int
    fee_micro_usd: int


@dataclass(frozen=True, slots=True)
class Dead:
    """It never landed and can never land: sign the same transfers again in the same lane."""

    next_nonce: int
    """What the lane goes on with: the nonce that was used, unless the chain knows a gap before it."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another transaction used its nonce, and neither it nor its memo is found. Paying again could pay twice."""


Finding = Pending | Included | Final | Reverted | Dead | Superseded
"""What became of a transaction."""


class ObstacleKind(StrEnum):
    """What keeps transfers from landing."""

    FUNDS = "funds"
    """The payer does not hold enough for the payments or for the fee."""
    LIMIT = "limit"
    """The access key may not spend as much before its limit is refilled."""
    KEY = "key"
    """The access key is unknown, expired or revoked."""
    REFUSED = "refused"
    """The token refuses the transfer: its policy, a pause, the receiver."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why transfers cannot land, and what to do about it."""

    kind: ObstacleKind
    sentence: str


@dataclass(frozen=True, slots=True)
class MemoOnChain:
    """A transfer with a memo that the chain has."""

    transfer: Transfer
    anchor: Anchor


class Settler(Protocol):
    """Signs transfers with a memo and finds out what became of them.

    All methods that ask the chain raise ChainUnavailable when it gives no useful answer, and WrongChain when its node
    serves another chain.
    """

    @property
    def network(self) -> TempoNetwork:
        """The chain and the token."""
        ...

    @property
    def payer(self) -> str:
        """The address that pays, in lower case."""
        ...

    def sign(
        self, transfers: Sequence[Transfer], place: Lane, valid_before: int, max_fee_per_gas: int
    ) -> SignedTransaction:
        """Sign one transaction with all of the transfers. The same arguments always give the same bytes."""
        ...

    async def send(self, raw: bytes) -> str | None:
        """Hand bytes to the chain; give what the node complained about, for the log. It says nothing about the outcome."""
        ...

    async def find(self, signed: SignedTransaction, transfers: Sequence[Transfer], from_block: int) -> Finding:
        """Find out what became of a transaction that was signed when the chain's head was at `from_block`."""
        ...

    async def obstacle(self, transfers: Sequence[Transfer], max_fee_per_gas: int) -> Obstacle | None:
        """Find out why the transfers cannot land now, or could not; None if nothing stands in their way."""
        ...

    async def lane_nonce(self, nonce_key: int) -> int:
        """Give the next nonce of a lane as the newest block has it: for taking a lane into use, not for signing."""
        ...

    async def head(self) -> Head:
        """Give the newest block: its time plus a lifetime is `valid_before`, its number is `from_block`."""
        ...

    async def finalized(self) -> int:
        """Give the number of the newest block that can no longer vanish."""
        ...

    async def transfers(self, first_block: int, last_block: int) -> list[MemoOnChain]:
        """Give every transfer with a memo that the payer made in a range of blocks, both ends included."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
