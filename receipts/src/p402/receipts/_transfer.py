"""The log that proves a settlement: ``TransferWithMemo`` of a TIP-20 token, with exactly our values.

A transaction that succeeded is not enough: a receiver's policy can divert a transfer (TIP-1028), and then the call
succeeds without this log. Nor is a log of any contract: only addresses with the TIP-20 prefix are tokens of the
protocol, anything else can emit whatever it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from p402.receipts.errors import ChainUnavailable

__all__ = [
    "TRANSFER_WITH_MEMO",
    "ChainLog",
    "MemoTransfer",
    "TransactionReceipt",
    "address_topic",
    "parse_log",
    "parse_quantity",
]

TRANSFER_WITH_MEMO = "0x57bc7354aa85aed339e000bccffabbc529466af35f0772c8f8ee1145927de7f0"
"""keccak-256 of ``TransferWithMemo(address,address,uint256,bytes32)``."""

_TIP20_PREFIX = "0x20c000000000000000000000"
_LONGEST_QUANTITY = 66  # characters: 0x, and 256 bits


@dataclass(frozen=True, slots=True)
class ChainLog:
    """A log (event) of a contract. All hex digits are in lower case."""

    address: str
    topics: tuple[str, ...]
    data: str
    index: int
    """Within the block."""


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """What a node says became of a transaction."""

    tx_hash: str
    succeeded: bool
    block_number: int
    block_hash: str
    logs: tuple[ChainLog, ...]
    gas_used: int = 0
    gas_price: int = 0
    """What a unit of gas cost, in 10⁻¹⁸ USD."""

    @property
    def fee_micro_usd(self) -> int:
        """What the transaction cost its payer: gas times price, rounded up."""
        return -(-self.gas_used * self.gas_price // 10**12)

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read a receipt as JSON-RPC gives it; raise ChainUnavailable if something that belongs there is missing."""
        try:
            return cls(
                tx_hash=raw["transactionHash"].lower(),
                succeeded=parse_quantity(raw["status"]) == 1,
                block_number=parse_quantity(raw["blockNumber"]),
                block_hash=raw["blockHash"].lower(),
                logs=tuple(map(parse_log, raw["logs"])),
                gas_used=parse_quantity(raw.get("gasUsed", "0x0")),
                gas_price=parse_quantity(raw.get("effectiveGasPrice", "0x0")),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ChainUnavailable(f"The node's receipt of the transaction is incomplete: {error!r}.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoTransfer:
    """A transfer with a memo, as it must stand on the chain. Addresses are in lower case."""

    token: str
    payer: str
    payee: str
    amount_micro_usd: int
    memo: bytes

    @property
    def topics(self) -> tuple[str, ...]:
        """The log's topics: its event, and the three indexed values."""
        return (TRANSFER_WITH_MEMO, address_topic(self.payer), address_topic(self.payee), "0x" + self.memo.hex())

    def is_proved_by(self, log: ChainLog) -> bool:
        """Tell whether a log says exactly this."""
        return (
            self.token.startswith(_TIP20_PREFIX)
            and log.address == self.token
            and log.topics == self.topics
            and log.data == f"0x{self.amount_micro_usd:064x}"
        )


def parse_log(raw: Mapping[str, Any]) -> ChainLog:
    """Read a log as JSON-RPC gives it."""
    return ChainLog(
        address=raw["address"].lower(),
        topics=tuple(topic.lower() for topic in raw["topics"]),
        data=raw["data"].lower(),
        index=parse_quantity(raw["logIndex"]),
    )


def parse_quantity(text: str) -> int:
    """Read a number as JSON-RPC writes it, in hexadecimal; raise ValueError if it is none, or has over 256 bits."""
    if len(text) > _LONGEST_QUANTITY:
        raise ValueError("a number of over 256 bits")
    return int(text, 16)


def address_topic(address: str) -> str:
    """Write an address as a log's topic."""
    return "0x" + address.removeprefix("0x").rjust(64, "0")
