"""A settlement as it is kept, and what settling needs from storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from p402.receipts import Anchor, PaidElsewhere, SettlementStatement
from p402.receipts.settlement import Final, Lane, SignedTransaction, Transfer
from p402.receipts.settlement.mpp_http import MppChallenge
from p402.vocabulary import Money

__all__ = [
    "Covered",
    "Failure",
    "FailureKind",
    "IsDue",
    "KeptTransaction",
    "Leadership",
    "MakeStatement",
    "MppPayment",
    "Settlement",
    "SettlementState",
    "SettlementStore",
    "Sign",
    "Standing",
]


class SettlementState(StrEnum):
    """Where a settlement is; it only moves down, or to FAILED, or with its whole batch back to PLANNED.

    ::

        PLANNED    statement and memo are fixed
           │ sign; bytes, hash, lane and nonce are stored before anything is sent
        SIGNED     sent as often as needed: the same bytes can land once only
           │ the exact log is in a finalized block
        FINAL
    """

    PLANNED = "planned"
    SIGNED = "signed"
    FINAL = "final"
    FAILED = "failed"


class FailureKind(StrEnum):
    """Why a settlement failed. Nothing was paid, but for those where the chain does not say so: see `Failure`."""

    REVERTED = "reverted"
    """The chain refused the transfer; only the fee was paid."""
    DIVERTED = "diverted"
    """The payee's receive policy holds the money back: it left the payer, and did not arrive."""
    DROPPED = "dropped"
    """The transaction was never mined, and never can be."""
    UNDERPRICED = "underpriced"
    """Gas costs more than the configuration allows."""
    OUT_OF_FUNDS = "out_of_funds"
    """The payer's balance, or the access key's limit, is too small for payment and fee."""
    ACCESS_KEY = "access_key"
    """The account does not know the key, or it is expired or revoked."""
    WRONG_CHAIN = "wrong_chain"
    """The node serves another chain."""
    SUPERSEDED = "superseded"
    """Another transaction used the nonce."""
    CONFIGURATION = "configuration"
    """The configuration names another chain, token, payer or payee now."""
    PAYEE_AWAY = "payee_away"
    """The payee speaks MPP, and could not be asked how it is to be paid."""
    PAYEE_DIFFERS = "payee_differs"
    """The payee asks for another amount, token, chain or account than was metered and configured."""
    UNRECONCILED = "unreconciled"
    """The payer made a transfer that the ledger does not know, which may have been this payment."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of a settlement that cannot succeed."""

    kind: FailureKind
    problem: str
    """What happened, and what a person must do."""
    in_doubt: bool = False
    """Whether a payment may have left: then the organisation is paid no more until somebody says what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MppPayment:
    """What a settlement pays to a payee that speaks MPP: by its transaction, beside the transfer with the memo."""

    payee: str
    amount_micro_usd: int
    url: str | None = None
    """Where it was asked; None: it was not yet, as all that follows."""
    challenge: MppChallenge | None = None
    memo: bytes | None = None
    """Of the payment; bound to the challenge."""
    asked: int = 0
    """How many challenges there have been."""
    tries: int = 0
    """How often the payee has been called in vain, for a challenge or with the credential."""
    try_at: datetime | None = None
    """When to call it next; None: at once, or once it is paid, no more."""
    confirmed_at: datetime | None = None
    """When the payee said that it has the money, or a person did."""
    receipt: str | None = None
    """The payee's ``Payment-Receipt``, as it came."""
    refusal: str | None = None
    """Why the payee does not say so although it was paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One settlement."""

    settlement_id: str
    organisation: str
    state: SettlementState
    checkpoint_size: int
    statement: SettlementStatement
    planned_at: datetime
    failure: FailureKind | None = None
    problem: str | None = None
    """Why it failed, or what keeps it waiting, and what a person must do."""
    in_doubt: bool = False
    """Whether nobody has said yet what became of its payment."""
    alone: bool = False
    """Whether it has a transaction of its own, because the one it shared with others failed."""
    tx_hash: str | None = None
    anchor: Anchor | None = None
    ended_at: datetime | None = None
    """When it was seen to be final, or failed."""
    fee_micro_usd: int | None = None
    """Its part of the transaction's fee."""
    receipts: int | None = None
    """How many receipts it anchors; known when it is final."""
    first_issued_at: datetime | None = None
    """Of the oldest of them."""
    mpp: MppPayment | None = None
    """None: nobody is paid so."""

    @property
    def transfer(self) -> Transfer:
        """What carries its memo on the chain."""
        return Transfer(self.statement.memo(), self.statement.payee, self.statement.amount_micro_usd)

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """All that stands on the chain for it: what pays, where that is another, and what carries its memo.

        What is to be paid to a payee that was not asked yet is not among it.
        """
        if self.mpp is None or self.mpp.memo is None:
            return (self.transfer,)
        return Transfer(self.mpp.memo, self.mpp.payee, self.mpp.amount_micro_usd), self.transfer

    @property
    def pays_micro_usd(self) -> int:
        """What it pays, in whichever way."""
        return self.statement.amount_micro_usd if self.mpp is None else self.mpp.amount_micro_usd

    @property
    def payee(self) -> str:
        """Who is paid; the payer if nobody is."""
        return self.statement.payee if self.mpp is None else self.mpp.payee

    @property
    def is_unconfirmed(self) -> bool:
        """Whether it paid a payee that speaks MPP, and that has not said that it has the money."""
        return self.state is SettlementState.FINAL and self.mpp is not None and self.mpp.confirmed_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTransaction:
    """A signed transaction that is under way, and the settlements whose transfers it carries."""

    transaction_id: str
    signed: SignedTransaction
    signed_at_block: int
    """The chain's head when the first version was signed that could still land: it is looked for from there."""
    attempt: int
    """1, and one more each time when what was signed had died."""
    settlements: tuple[Settlement, ...]

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """What it carries, in the order of the settlements."""
        return tuple(transfer for settlement in self.settlements for transfer in settlement.transfers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """What a new settlement is about: the newest checkpoint of a log, and receipts that are not yet anchored."""

    organisation: str
    checkpoint: str
    """Its text, without signatures."""
    since: datetime
    """End of the period before, or the first receipt."""
    until: datetime
    """When the checkpoint was signed."""
    accrued: Money
    """What the receipts that are not yet anchored came to."""
    previous: Settlement | None
    """The final settlement before it."""
    paid_elsewhere: tuple[PaidElsewhere, ...] = ()
    """What no settlement has stated yet, sorted."""
    unresolved: bool = False
    """Whether something speaks against paying: a payment in doubt, one that nobody knows, or a payee that could not be paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What speaks for settling an organisation now."""

    organisation: str
    new_entries: bool
    """Whether its log has entries that no final settlement covers."""
    receipts: int
    """How many of them are receipts."""
    accrued: Money
    """What those came to."""
    last_planned_at: datetime | None
    last_failed: bool
    flush_at: datetime | None
    """When somebody asked for it last."""


IsDue = Callable[[Standing], bool]
MakeStatement = Callable[[Covered], SettlementStatement]
Sign = Callable[[Sequence[Transfer], Lane], SignedTransaction]
"""Signs transfers for the next place of a lane."""


class Leadership(Protocol):
    """Sees to it that of several collectors one talks to the chain."""

    async def take(self) -> bool:
        """Tell whether it is us now."""
        ...

    async def resign(self) -> None:
        """Let another one begin at once."""
        ...


class SettlementStore(Protocol):
    """Where settlements are kept. Each method is one transaction of the database."""

    async def plan(self, is_due: IsDue, make: MakeStatement, at: datetime) -> list[Settlement]:
        """Plan a settlement for each organisation that is due and has none under way."""
        ...

    async def planned(self) -> list[Settlement]:
        """Give the settlements that are planned and not signed, the oldest first."""
        ...

    async def has_unknown_transfers(self) -> bool:
        """Tell whether a payer made transfers that the ledger does not know, and nobody has acknowledged them."""
        ...

    async def transactions(self) -> list[KeptTransaction]:
        """Give the transactions under way, the oldest first."""
        ...

    async def known_lanes(self, chain_id: int, payer: str) -> dict[int, Lane]:
        """Give the lanes that were used before, by nonce key."""
        ...

    async def sign(
        self, settlements: Sequence[Settlement], lanes: dict[int, Lane], sign: Sign, head_block: int, at: datetime
    ) -> KeptTransaction | None:
        """Take the next nonce of a free lane, sign, and store the bytes; nothing may be sent before that.

        Returns None when every lane carries a transaction under way, or another collector signed one of these. A lane
        goes on with what is given or with what is stored, whichever is more.
        """
        ...

    async def sign_again(
        self, transaction: KeptTransaction, place: Lane, sign: Sign, died_before: int | None = None
    ) -> KeptTransaction:
        """Replace a transaction by one for a place of the same lane: the same place, unless what was there has died.

        Args:
            transaction: what is replaced.
            place: where its successor stands.
            sign: signs that.
            died_before: the chain's head, when nothing that was signed so far can land any more.

        Returns:
            What is stored now, which another collector may have signed.
        """
        ...

    async def note(self, transaction: KeptTransaction, problem: str | None) -> None:
        """Note what keeps a transaction waiting."""
        ...

    async def finalise(self, transaction: KeptTransaction, final: Final, at: datetime) -> list[Settlement]:
        """Store the anchors, link the receipts to them, and append the settlement entries to the logs.

        A settlement without an anchor was diverted. Returns what changed; nothing if another collector did it.
        """
        ...

    async def split(self, transaction: KeptTransaction, fee_micro_usd: int, next_nonce: int, at: datetime) -> None:
        """End a transaction that can never land, and plan each of its settlements anew, alone.

        Args:
            transaction: what was reverted or has died.
            fee_micro_usd: what it cost.
            next_nonce: what its lane goes on with.
            at: now.
        """
        ...

    async def fail(self, settlements: Sequence[Settlement], failure: Failure, at: datetime) -> list[Settlement]:
        """End settlements that were never signed; gives those that changed."""
        ...

    async def fail_transaction(
        self, transaction: KeptTransaction, failure: Failure, fee_micro_usd: int, next_nonce: int, at: datetime
    ) -> list[Settlement]:
        """End a transaction and its settlements; gives those that changed."""
        ...
