"""Puts settlement statements onto a chain, exactly once: the port, its values, and what may become of a settlement.

::

                    sign                send                                 block finalized
    statement ─────────────▶ signed ─────────▶ Pending ──▶ Included ─────────────────────▶ Final
              bytes and hash are       (errors    │                 ├──▶ Reverted   failed; the nonce is used up
              stored before the        say        │                 └──▶ Diverted   succeeded, but not to the payee
              first send               nothing)   ├──▶ Dead         can never land: sign again, same lane and nonce
                                                  └──▶ Superseded   the nonce is used up by something unknown: ask a human

A *lane* is a nonce key of the payer: an independent sequence of nonces. Two versions of one settlement in the same
place of a lane can never both land; that, and asking the chain instead of believing what a send returned, is what
makes a settlement happen exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from p402.receipts._statement import Anchor
from p402.receipts.settlement._network import LOCAL, MAINNET, MODERATO, TempoNetwork

__all__ = [
    "LOCAL",
    "MAINNET",
    "MODERATO",
    "Dead",
    "Diverted",
    "Final",
    "Finding",
    "Head",
    "Included",
    "Lane",
    "Pending",
    "Reverted",
    "Settler",
    "SignedSettlement",
    "Superseded",
    "TempoNetwork",
]


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block of the chain."""

    number: int
    timestamp: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A sequence of nonces; it costs gas once, so a few are used for ever."""

    nonce_key: int
    next_nonce: int


@dataclass(frozen=True, slots=True)
class SignedSettlement:
    """A transaction, signed but perhaps never sent. Store it before sending it."""

    raw: bytes
    tx_hash: str
    nonce_key: int
    nonce: int
    valid_before: int
    """Seconds since 1970: no block from this time on can contain the transaction."""


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
    """The exact transfer is in a finalized block."""

    anchor: Anchor


@dataclass(frozen=True, slots=True)
class Reverted:
    """It failed in a finalized block: nothing was paid but the fee, and the nonce is used up."""

    tx_hash: str
    block_number: int


@dataclass(frozen=True, slots=True)
class Diverted:
    """It succeeded in a finalized block without the transfer's log: the receiver's policy holds the money back."""

    tx_hash: str
    block_number: int


@dataclass(frozen=True, slots=True)
class Dead:
    """It never landed and can never land: sign the settlement again with the same lane and nonce."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another transaction used its nonce, and neither it nor its memo is found. Paying again could pay twice."""


Finding = Pending | Included | Final | Reverted | Diverted | Dead | Superseded
"""What became of a settlement."""


class Settler(Protocol):
    """Signs transfers with a memo and finds out what became of them.

    All methods that ask the chain raise ChainUnavailable when it gives no useful answer.
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
        self, memo: bytes, payee: str, amount_micro_usd: int, nonce_key: int, nonce: int, valid_before: int
    ) -> SignedSettlement:
        """Sign a transfer. The same arguments always give the same bytes."""
        ...

    async def send(self, raw: bytes) -> str | None:
        """Hand bytes to the chain; give what the node complained about, for the log. It says nothing about the outcome."""
        ...

    async def find(
        self, signed: SignedSettlement, memo: bytes, payee: str, amount_micro_usd: int, from_block: int
    ) -> Finding:
        """Find out what became of a transfer that was signed when the chain's head was at `from_block`."""
        ...

    async def lane_nonce(self, nonce_key: int) -> int:
        """Give the next nonce of a lane as the newest block has it: for taking a lane into use, not for signing."""
        ...

    async def head(self) -> Head:
        """Give the newest block: its time plus a lifetime is `valid_before`, its number is `from_block`."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
