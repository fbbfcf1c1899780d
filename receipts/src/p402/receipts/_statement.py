"""What a settlement states, and how it gets onto the chain: the memo is the SHA-256 of the statement.

The chain sees 32 bytes that reveal nothing. Whoever has the statement can compute them, and the statement contains the
text of a checkpoint: so the block's time bounds from above when every receipt under that checkpoint existed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from p402.receipts._canonical import canonical, member, parse_canonical
from p402.receipts._note import Checkpoint
from p402.receipts.errors import Malformed, NotSealable
from p402.vocabulary import NANO_PER_MICRO, Money, is_valid_id, rfc3339

__all__ = ["Anchor", "PaidElsewhere", "SettlementMode", "SettlementStatement", "mpp_payment_id", "normalise_address"]

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_KIND = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_VERSIONS = (1, 2)


class SettlementMode(StrEnum):
    """What a settlement moves."""

    ANCHOR = "anchor"
    """Nothing: a transfer of zero from the payer to itself that carries the memo."""
    PAY = "pay"
    """The metered amount, to a payee; too little for a payment is carried over, and the log anchored all the same."""
    REFERENCE = "reference"
    """Nothing: the usage is paid elsewhere, and the statement says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidElsewhere:
    """A payment outside of this settlement, for the same usage; it lowers what is due."""

    kind: str
    """``mpp``, ``x402``, ``p402``, ``provider-invoice``, ``tempo``, or another word of small letters and hyphens."""
    id: str
    """Its transaction hash, invoice number, or whatever finds it there."""
    amount: Money

    def __post_init__(self) -> None:
        if not (_KIND.fullmatch(self.kind) and is_valid_id(self.id)):
            raise NotSealable("A payment elsewhere has a kind of small letters and hyphens, and an id.")
        if self.amount < Money(0):
            raise NotSealable("A payment elsewhere is not negative.")

    def to_json(self) -> dict[str, str]:
        """Give the JSON value that stands in a statement."""
        return {"kind": self.kind, "id": self.id, "amount_usd": str(self.amount)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Where on the chain the memo of a statement stands."""

    chain_id: int
    tx_hash: str
    """0x and 64 lower-case hex digits, like `block_hash`."""
    block_number: int
    block_hash: str
    block_timestamp: int
    """Seconds since 1970, as the block says."""
    log_index: int
    """Of the TransferWithMemo log within the block."""


def mpp_payment_id(payee: str, settlement_id: str) -> str:
    """Name a payment that the transaction of a settlement makes to a payee that speaks MPP."""
    return f"{payee}:{settlement_id}"


def normalise_address(text: str) -> str:
    """Give an address in the one spelling that statements use: lower case.

    Raises:
        Malformed: if it is not 0x and 40 hex digits.
    """
    address = text.lower()
    if not _ADDRESS.fullmatch(address):
        raise Malformed(f"{text[:80]!r} is not an address: 0x and 40 hex digits.")
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementStatement:
    """One settlement: which state of the log, which period, who pays whom how much, and what is carried over.

    In the modes *pay* and *reference*, ``carry_in + accrued = amount + paid elsewhere + carry_out``. In mode *anchor*
    nothing is due and the carry stays. Version 1 knows neither *reference* nor payments elsewhere.

    Raises:
        NotSealable: if the amounts do not add up so, or another field cannot be.
    """

    mode: SettlementMode
    settlement_id: str
    organisation: str
    checkpoint: str
    """The text of the checkpoint without its signatures."""
    chain_id: int
    token: str
    payer: str
    payee: str
    amount_micro_usd: int
    period_from: datetime
    period_to: datetime
    accrued: Money
    """What the period's receipts cost."""
    carry_in: Money
    """What earlier settlements left unpaid."""
    carry_out: Money
    prev_settlement: str | None
    """Id of the organisation's settlement before this one."""
    version: int = 1
    paid_elsewhere: tuple[PaidElsewhere, ...] = ()
    """Sorted by kind, then id; each once."""

    def __post_init__(self) -> None:
        Checkpoint.parse(self.checkpoint)
        if not (is_valid_id(self.settlement_id) and is_valid_id(self.organisation)):
            raise NotSealable("A statement names its settlement and its organisation by their ids.")
        for address in (self.token, self.payer, self.payee):
            if not _ADDRESS.fullmatch(address):
                raise NotSealable(f"A statement writes addresses in lower case; got {address!r}.")
        if self.period_from > self.period_to:
            raise NotSealable("The period of a statement ends before it begins.")
        due = self.carry_in + (Money(0) if self.mode is SettlementMode.ANCHOR else self.accrued)
        paid = sum((item.amount for item in self.paid_elsewhere), Money(self.amount_micro_usd * NANO_PER_MICRO))
        if self.amount_micro_usd < 0 or paid + self.carry_out != due:
            raise NotSealable(
                "The amounts of the statement do not add up: what is due is neither paid nor carried over."
            )
        self._check_transfer()
        self._check_version()

    def _check_transfer(self) -> None:
        moves_nothing = self.amount_micro_usd == 0 and self.payer == self.payee
        if self.mode is not SettlementMode.PAY and not moves_nothing:
            raise NotSealable("An anchor is a transfer of zero from the payer to itself.")
        if self.version > 1 and (self.amount_micro_usd == 0) != (self.payer == self.payee):
            raise NotSealable("A transfer from the payer to itself pays nothing, and what pays nothing is one.")

    def _check_version(self) -> None:
        if self.version not in _VERSIONS:
            raise NotSealable(f"Statements are of version 1 or 2, not {self.version}.")
        if self.version == 1 and (self.mode is SettlementMode.REFERENCE or self.paid_elsewhere):
            raise NotSealable("A statement of version 1 says nothing of payments elsewhere.")
        if self.mode is SettlementMode.ANCHOR and self.paid_elsewhere:
            raise NotSealable("An anchor owes nothing, so nothing of it can be paid elsewhere.")
        places = [(item.kind, item.id) for item in self.paid_elsewhere]
        if places != sorted(set(places)):
            raise NotSealable("Payments elsewhere are sorted by kind and id, and each is named once.")

    @property
    def mpp_payment(self) -> tuple[str, int] | None:
        """Payee and micro-dollars that the settlement's own transaction pays in a way of MPP, beside the transfer with the memo.

        It stands among what is paid elsewhere, as of kind ``mpp``, under `mpp_payment_id`.
        """
        for item in self.paid_elsewhere:
            payee, _, settlement_id = item.id.partition(":")
            if item.kind == "mpp" and settlement_id == self.settlement_id and _ADDRESS.fullmatch(payee):
                return payee, item.amount.to_micro_usd()[0]
        return None

    def canonical(self) -> bytes:
        """Encode the statement; this is what is published, stored and hashed."""
        elsewhere = {"paid_elsewhere": [item.to_json() for item in self.paid_elsewhere]} if self.version > 1 else {}
        return canonical(
            {
                **elsewhere,
                "v": self.version,
                "mode": self.mode.value,
                "settlement_id": self.settlement_id,
                "organisation": self.organisation,
                "checkpoint": self.checkpoint,
                "chain_id": self.chain_id,
                "token": self.token,
                "payer": self.payer,
                "payee": self.payee,
                "amount_micro_usd": str(self.amount_micro_usd),
                "period": [rfc3339(self.period_from), rfc3339(self.period_to)],
                "accrued_usd": str(self.accrued),
                "carry_in_usd": str(self.carry_in),
                "carry_out_usd": str(self.carry_out),
                "prev_settlement": self.prev_settlement,
            }
        )

    def memo(self) -> bytes:
        """Give the 32 bytes that go onto the chain."""
        return hashlib.sha256(self.canonical()).digest()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a statement from its canonical bytes.

        Raises:
            NotCanonical: if the bytes are not canonical JSON.
            Malformed: if they are not a statement of this version.
            NotSealable: if the statement contradicts itself.
        """
        value = parse_canonical(data)
        try:
            statement = cls._from_json(value)
        except (ValueError, OverflowError) as error:
            raise Malformed(f"This is not a settlement statement: {error}") from error
        if statement.canonical() != data:  # other fields, other versions, other spellings of amounts and times
            raise Malformed(f"The statement says more or other things than version {statement.version} allows.")
        return statement

    @classmethod
    def _from_json(cls, value: Any) -> Self:
        begin, end = (*member(value, "period", list), None, None)[:2]
        previous = value.get("prev_settlement")
        if (version := member(value, "v", int)) not in _VERSIONS:
            raise Malformed(f"The statement is of version {version}; this release reads 1 and 2.")
        return cls(
            version=version,
            paid_elsewhere=tuple(map(_paid_elsewhere, member(value, "paid_elsewhere", list))) if version > 1 else (),
            mode=SettlementMode(member(value, "mode", str)),
            settlement_id=member(value, "settlement_id", str),
            organisation=member(value, "organisation", str),
            checkpoint=member(value, "checkpoint", str),
            chain_id=member(value, "chain_id", int),
            token=member(value, "token", str),
            payer=member(value, "payer", str),
            payee=member(value, "payee", str),
            amount_micro_usd=int(member(value, "amount_micro_usd", str)),
            period_from=_parse_time(begin),
            period_to=_parse_time(end),
            accrued=Money.parse(member(value, "accrued_usd", str)),
            carry_in=Money.parse(member(value, "carry_in_usd", str)),
            carry_out=Money.parse(member(value, "carry_out_usd", str)),
            prev_settlement=previous if previous is None else str(previous),
        )


def _paid_elsewhere(value: Any) -> PaidElsewhere:
    return PaidElsewhere(
        kind=member(value, "kind", str),
        id=member(value, "id", str),
        amount=Money.parse(member(value, "amount_usd", str)),
    )


def _parse_time(text: object) -> datetime:
    """Read a time, in UTC; raise ValueError or OverflowError if there is none such."""
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} is a time without a zone.")
    return moment.astimezone(UTC)
