"""Asks payees that speak MPP how they are to be paid, and shows them that they were.

::

                 ask              store            sign, send             finalized              show
    PLANNED ────────────▶ challenge ─────▶ PLANNED ───────────▶ SIGNED ──────────────▶ FINAL ───────────▶ confirmed
       │ away: asked again, then failed      ▲                     │ dead, and the          │ refuses: paid, unconfirmed,
       └ asks otherwise: failed, unpaid      └─────────────────────┘ challenge too old      └ shown again

A challenge is stored before anything is signed for it, and paid after a restart as before it. Another one is asked for
only when what was signed for it can never land any more. What is signed for it can land only while it may be paid.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from p402.collector.settlement.ports import Failure, FailureKind, MppPayment, Settlement
from p402.collector.settlement.rules import SettlementRules
from p402.receipts import canonical
from p402.receipts.errors import Malformed
from p402.receipts.settlement import Settler
from p402.receipts.settlement.mpp_http import (
    MppChallenge,
    MppReceipt,
    MppTerms,
    credential,
    read_challenges,
    read_receipt,
)
from p402.vocabulary import NANO_PER_MICRO, Clock, Money

__all__ = [
    "ENOUGH_SECONDS",
    "MARGIN_SECONDS",
    "MppPayee",
    "MppPayer",
    "MppStore",
    "PayeeAnswer",
    "PayeeAway",
    "pay_before",
]

ENOUGH_SECONDS = 60
"""What is signed for a challenge has at least that long to land."""
MARGIN_SECONDS = 15
"""So long before a challenge ends, what is signed for it can land no more: the payee is still to be shown it."""
_NEVER = 2**62
_PATIENCE = timedelta(minutes=10)
_KEEP_SHOWING = timedelta(days=7)
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 3600.0  # seconds
_AT_ONCE = 10

log = structlog.get_logger(__name__)


class PayeeAway(Exception):
    """The payee gave no answer that could be used, so nothing is known."""


@dataclass(frozen=True, slots=True)
class PayeeAnswer:
    """What a payee answered."""

    status: int
    challenges: tuple[str, ...] = ()
    """Its ``WWW-Authenticate`` headers."""
    receipt: str | None = None
    """Its ``Payment-Receipt`` header."""
    problem: str | None = None
    """What it says is wrong."""


class MppPayee(Protocol):
    """Calls payees."""

    async def call(self, url: str, body: bytes, headers: dict[str, str], *, allow_private: bool) -> PayeeAnswer:
        """Send a POST.

        Raises:
            PayeeAway: saying what went wrong, without the address.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class MppStore(Protocol):
    """Where it is kept what payees said. Each method is one transaction of the database."""

    async def keep_challenge(
        self, settlement: Settlement, url: str, challenge: MppChallenge, memo: bytes
    ) -> Settlement | None:
        """Keep what is to be paid; None if the settlement is not planned any more, or has another challenge by now."""
        ...

    async def wait(self, settlement: Settlement, problem: str, try_at: datetime) -> None:
        """Note that a payee could not be asked, and when it is asked next."""
        ...

    async def unconfirmed(self, at: datetime) -> list[Settlement]:
        """Give the settlements that are final and whose payee is to be called now, the longest waiting first."""
        ...

    async def confirm(self, settlement: Settlement, receipt: str | None, at: datetime) -> None:
        """Keep that the payee has the money."""
        ...

    async def refuse(self, settlement: Settlement, refusal: str, try_at: datetime | None, at: datetime) -> None:
        """Keep why the payee does not say that it has the money, and tell of it the first time."""
        ...


def pay_before(settlement: Settlement) -> int:
    """Give the time of the chain from which on nothing may land for a settlement; far away if nobody asked for an end."""
    challenge = None if settlement.mpp is None else settlement.mpp.challenge
    return _NEVER if challenge is None else challenge.expires_at - MARGIN_SECONDS


class MppPayer:
    """Does all that needs a word with a payee."""

    def __init__(
        self, store: MppStore, payee: MppPayee, settler: Settler, rules: SettlementRules, clock: Clock
    ) -> None:
        self._store = store
        self._payee = payee
        self._settler = settler
        self._rules = rules
        self._clock = clock

    async def close(self) -> None:
        """Let go of connections."""
        await self._payee.close()

    async def ready(self, settlement: Settlement, chain_time: int) -> Settlement | Failure | None:
        """See that a planned settlement has a challenge that can be paid now.

        Returns:
            The settlement with it; why it cannot be paid; or None if the payee is to be asked again.
        """
        payment, now = settlement.mpp, self._clock.now()
        assert payment is not None, "others need no challenge"
        if payment.challenge is not None and chain_time + ENOUGH_SECONDS <= pay_before(settlement):
            return settlement
        if payment.try_at is not None and now < payment.try_at:
            return None
        rule = self._rules.of(settlement.organisation)
        assert rule is not None, "the worker has failed what the configuration does not want"
        assert rule.payee_url is not None, "the same"
        try:
            answer = await self._payee.call(
                rule.payee_url, _body(settlement), _headers(settlement), allow_private=rule.allow_private
            )
        except PayeeAway as error:
            problem = f"The payee could not be asked how it is to be paid: {error}."
            if now >= settlement.planned_at + _PATIENCE:
                return Failure(
                    FailureKind.PAYEE_AWAY, f"{problem} The log is anchored, and the payee asked anew after that."
                )
            await self._store.wait(settlement, problem, now + _pause(payment.tries))
            return None
        challenge = self._fitting(settlement, answer, chain_time)
        if isinstance(challenge, str):
            advice = "Nothing was paid: ask the payee, or correct its table [[settlement]]."
            return Failure(FailureKind.PAYEE_DIFFERS, f"{challenge} {advice}")
        # Imported here: the chain's libraries take most of a second, and most collectors pay nobody so.
        from p402.receipts.settlement.mpp import mpp_memo  # noqa: PLC0415

        memo = mpp_memo(challenge.id, challenge.realm)
        return await self._store.keep_challenge(settlement, rule.payee_url, challenge, memo)

    async def show(self) -> None:
        """Show payees what was paid and they have not confirmed."""
        due = await self._store.unconfirmed(self._clock.now())
        await asyncio.gather(*(self._show(settlement) for settlement in due[:_AT_ONCE]))

    async def _show(self, settlement: Settlement) -> None:
        payment, now = settlement.mpp, self._clock.now()
        assert payment is not None, "others are shown to nobody"
        receipt, refusal = await self._confirmation(settlement, payment)
        if refusal is None:
            log.info("settlement_confirmed", settlement=settlement.settlement_id)
            await self._store.confirm(settlement, receipt, now)
            return
        log.warning("settlement_unconfirmed", settlement=settlement.settlement_id, problem=refusal)
        try_at, last = now + _pause(payment.tries), (settlement.ended_at or now) + _KEEP_SHOWING
        await self._store.refuse(settlement, refusal, try_at if now <= last else None, now)

    async def _confirmation(self, settlement: Settlement, payment: MppPayment) -> tuple[str | None, str | None]:
        """Show a payee the transaction; give its receipt, and why it has not confirmed it, if it has not."""
        from p402.receipts.settlement.mpp import mpp_source  # noqa: PLC0415 - as above

        rule, tx_hash = self._rules.of(settlement.organisation), settlement.tx_hash
        if rule is None or payment.url is None or rule.payee_url != payment.url:
            return None, "The configuration does not name the place of this payee any more, so it is not called."
        assert payment.challenge is not None, "it was paid for one"
        assert tx_hash is not None, "it is final"
        source = mpp_source(settlement.statement.chain_id, settlement.statement.payer)
        name, value = credential(payment.challenge, tx_hash, source)
        headers = _headers(settlement) | {name: value}
        try:
            answer = await self._payee.call(payment.url, _body(settlement), headers, allow_private=rule.allow_private)
        except PayeeAway as error:
            return None, f"The payee could not be shown the payment: {error}."
        return answer.receipt, _refusal(answer, tx_hash)

    def _fitting(self, settlement: Settlement, answer: PayeeAnswer, chain_time: int) -> MppChallenge | str:
        """Choose the challenge that asks for exactly what is due, or say why none does."""
        assert settlement.mpp is not None
        if answer.status != 402:  # noqa: PLR2004 - what MPP asks to be paid with
            said = f": {answer.problem}" if answer.problem else ""
            return f"The payee answered with HTTP {answer.status} instead of a challenge{said}."
        statement = settlement.statement
        terms = MppTerms(
            chain_id=statement.chain_id,
            token=statement.token,
            payee=settlement.mpp.payee,
            amount_micro_usd=settlement.mpp.amount_micro_usd,
        )
        try:
            challenges = read_challenges(answer.challenges)
            differences = [challenge.differs(terms) for challenge in challenges]
        except Malformed as error:
            return str(error)
        for challenge, difference in zip(challenges, differences, strict=True):
            if difference is None:
                left = challenge.expires_at - chain_time
                is_enough = left >= ENOUGH_SECONDS + MARGIN_SECONDS
                return challenge if is_enough else f"The payee's challenge may be paid for {left} s only."
        return next((it for it in differences if it), "The payee answered without a challenge of MPP.")


def _refusal(answer: PayeeAnswer, tx_hash: str) -> str | None:
    """Say why an answer to a credential is none that confirms it."""
    if answer.status not in range(200, 300):
        said = f": {answer.problem}" if answer.problem else "."
        return f"The payee was paid and refused to say so, with HTTP {answer.status}{said}"
    if answer.receipt is None:
        return None
    try:
        receipt: MppReceipt = read_receipt(answer.receipt)
    except Malformed as error:
        return str(error)
    return None if receipt.reference.lower() == tx_hash else "The payee's receipt is about another transaction."


def _body(settlement: Settlement) -> bytes:
    """Say what is meant to be paid, the same in every call: a payee may bind its challenge to it."""
    assert settlement.mpp is not None
    statement, amount = settlement.statement, settlement.mpp.amount_micro_usd
    return canonical(
        {
            "amount_usd": str(Money(amount * NANO_PER_MICRO)),
            "chain_id": statement.chain_id,
            "payee": settlement.mpp.payee,
            "settlement_id": settlement.settlement_id,
            "token": statement.token,
        }
    )


def _headers(settlement: Settlement) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept-Payment": "tempo/charge",
        "Idempotency-Key": settlement.settlement_id,
        "User-Agent": "p402-collector",
    }


def _pause(tries: int) -> timedelta:
    return timedelta(seconds=min(_FIRST_PAUSE * 2 ** min(tries, 20), _LONGEST_PAUSE))
