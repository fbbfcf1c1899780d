"""Settles: plans settlements, puts them into transactions, and moves each on until it is final, exactly once.

Whatever happens between two steps, the next run finds everything where it was stored last: bytes are stored before they
are sent, and what became of them is asked of the chain, never concluded from the answer to sending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import assert_never

import structlog

from p402.collector.observed_work import Observe, unobserved
from p402.collector.settlement.batches import batches
from p402.collector.settlement.mpp import ENOUGH_SECONDS, MppPayer, pay_before
from p402.collector.settlement.ports import (
    Covered,
    Failure,
    FailureKind,
    KeptTransaction,
    Leadership,
    Settlement,
    SettlementState,
    SettlementStore,
    Sign,
    Standing,
)
from p402.collector.settlement.reconcile import SettlementReconciler
from p402.collector.settlement.rules import PaymentPlace, SettlementRules, Triggers, make_statement
from p402.collector.settlement.verdicts import failure_of, never_mined, refused_price
from p402.exporters.prometheus import CollectorMetrics
from p402.receipts import SettlementStatement
from p402.receipts.errors import ChainUnavailable, WrongChain
from p402.receipts.settlement import (
    Dead,
    Final,
    Head,
    Included,
    Lane,
    Pending,
    Reverted,
    Settler,
    SignedTransaction,
    Superseded,
    Transfer,
)
from p402.vocabulary import Clock, IdFactory, Transient

__all__ = ["LANES", "SettlementWorker"]

LANES = (1, 2, 3, 4)
"""The nonce keys in use. A new one costs 250,000 gas, so there are few and they are used for ever."""

_LIFETIME_SECONDS = 120  # chain time in which a signed transaction can land; then it is dead for certain
_POLL_SECONDS = 1.0
_MOST_ATTEMPTS = 5
_HARMLESS = ("already", "nonce too low")  # what nodes say to what they have: then nothing needs to be looked for
_LEAST_RAISE = 10  # per cent: nodes replace a transaction in its place only by one that pays so much more

log = structlog.get_logger(__name__)


class SettlementWorker:
    """Moves settlements on. Of the workers of a payer one is at work, in whichever collector."""

    def __init__(
        self,
        store: SettlementStore,
        leadership: Leadership,
        settler: Settler,
        reconciler: SettlementReconciler,
        payees: MppPayer,
        rules: SettlementRules,
        triggers: Triggers,
        metrics: CollectorMetrics,
        clock: Clock,
        new_id: IdFactory,
        max_fee_per_gas: int | None = None,
        observe: Observe = unobserved,
    ) -> None:
        """Take what it works with; `max_fee_per_gas` is the most that is ever paid, by default four times the usual."""
        self._store = store
        self._leadership = leadership
        self._settler = settler
        self._reconciler = reconciler
        self._payees = payees
        self._rules = rules
        self._triggers = triggers
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._observe = observe
        self._max_fee_per_gas = max_fee_per_gas or 4 * settler.network.max_fee_per_gas
        self._lanes_are_known = False
        self._compare_through: int | None = None
        self._is_compared = False
        network = settler.network
        self._place = PaymentPlace(network.chain_id, network.token, settler.payer)

    async def run(self) -> None:
        """Plan and move on until cancelled."""
        while True:
            try:
                if await self._leadership.take():
                    await self.step()
            except Transient as error:
                log.warning("settlement_waits", problem=str(error))
            await asyncio.sleep(_POLL_SECONDS)

    async def close(self) -> None:
        """Let go of the chain, and let another collector go on."""
        with suppress(Transient):
            await self._leadership.resign()
        await self._settler.close()
        await self._payees.close()

    async def step(self) -> None:
        """Plan what is to be settled, and move everything on by one step.

        Raises:
            Transient: when the chain or the database is away; nothing is lost, the next step goes on.
        """
        with self._observe("settle") as work:
            for planned in await self._store.plan(self._is_due, self._make_statement, self._clock.now()):
                log.info("settlement_planned", settlement=planned.settlement_id, size=planned.checkpoint_size)
            planned_before = await self._store.planned()
            try:
                transactions = await self._store.transactions()
                if planned_before or transactions:
                    work.did(planned=len(planned_before), transactions=len(transactions))
                for transaction in transactions:
                    await self._try_to_move_on(transaction)
                await self._sign_what_may_be(await self._ours(planned_before))
                await self._payees.show()
            except WrongChain as error:
                await self._on_wrong_chain(str(error))

    # --- planning

    def _is_due(self, standing: Standing) -> bool:
        return self._rules.of(standing.organisation) is not None and self._triggers.fire(standing, self._clock.now())

    def _make_statement(self, covered: Covered) -> SettlementStatement:
        rule = self._rules.of(covered.organisation)
        assert rule is not None, "what is not settled is not due"
        return make_statement(covered, rule, self._place, self._new_id("stl", self._clock.now()))

    async def _ours(self, planned: Sequence[Settlement]) -> list[Settlement]:
        """Fail what the configuration does not want any more; give the rest."""
        ours = []
        for settlement in planned:
            if self._is_ours(settlement):
                ours.append(settlement)
            else:
                await self._fail([settlement], _OTHER_CONFIGURATION)
        return ours

    def _is_ours(self, settlement: Settlement) -> bool:
        rule, payment = self._rules.of(settlement.organisation), settlement.mpp
        may_pay = rule is not None and rule.payee == settlement.payee and (rule.payee_url is None) == (payment is None)
        if may_pay and rule is not None and payment is not None and payment.url is not None:
            may_pay = payment.url == rule.payee_url
        return (may_pay or settlement.pays_micro_usd == 0) and self._is_here(settlement.statement)

    def _is_here(self, statement: SettlementStatement) -> bool:
        return PaymentPlace(statement.chain_id, statement.token, statement.payer) == self._place

    # --- signing

    async def _sign_what_may_be(self, planned: Sequence[Settlement]) -> None:
        """Sign; anchors also while payments wait for the comparison."""
        payments = [settlement for settlement in planned if settlement.pays_micro_usd > 0]
        waits = None
        may_pay = False
        try:
            may_pay = bool(payments) and await self._may_pay(payments)
        except ChainUnavailable as error:
            waits = error
        signable = planned if may_pay else [settlement for settlement in planned if settlement not in payments]
        asked = [settlement for settlement in signable if settlement.mpp is not None]
        others = [settlement for settlement in signable if settlement.mpp is None]
        for batch in batches(others, self._settler.network, self._settler.payer):
            await self._sign(batch)
        for settlement in await self._with_challenge(asked):
            await self._sign([settlement])
        if waits is not None:
            raise waits

    async def _with_challenge(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Ask the payees that are to be asked; give what can be signed now."""
        if not settlements:
            return []
        head = await self._settler.head()
        ready = await asyncio.gather(*(self._payees.ready(settlement, head.timestamp) for settlement in settlements))
        for settlement, found in zip(settlements, ready, strict=True):
            if isinstance(found, Failure):
                await self._fail([settlement], found)
        return [found for found in ready if isinstance(found, Settlement)]

    async def _may_pay(self, payments: Sequence[Settlement]) -> bool:
        """Tell whether the ledger knows what the payer has paid so far; if it does not, payments fail.

        A database that was put back from a backup may have lost payments, or that they were made: so the chain is compared
        with it before the first payment of each process, through the block that was the last when that was due.
        """
        if not self._is_compared:
            if self._compare_through is None:
                self._compare_through = await self._settler.finalized() - 1
            checked = await self._reconciler.check()
            self._is_compared = checked.last_block >= self._compare_through  # else something older is still under way
        if self._is_compared and await self._store.has_unknown_transfers():
            await self._fail(payments, _UNRECONCILED)
            return False
        return self._is_compared

    async def _sign(self, batch: Sequence[Settlement]) -> None:
        head = await self._settler.head()
        lanes = await self._store.known_lanes(self._settler.network.chain_id, self._settler.payer)
        for nonce_key in LANES:
            if nonce_key not in lanes or not self._lanes_are_known:
                lanes[nonce_key] = Lane(nonce_key, await self._settler.lane_nonce(nonce_key))
        usable = {nonce_key: lanes[nonce_key] for nonce_key in LANES}
        self._lanes_are_known = True
        sign = self._signer(head, batch)
        signed = await self._store.sign(batch, usable, sign, head.number, self._clock.now())
        if signed is not None:
            await self._send(signed)

    def _signer(self, head: Head, settlements: Sequence[Settlement], at_least: int = 0) -> Sign:
        """Sign with the price of now, so that it lives for a while; `at_least` it lives as long as what it replaces."""
        valid_before = min(max(head.timestamp + _LIFETIME_SECONDS, at_least), *map(pay_before, settlements))

        def sign(transfers: Sequence[Transfer], place: Lane) -> SignedTransaction:
            return self._settler.sign(transfers, place, valid_before, self._price(head))

        return sign

    def _price(self, head: Head) -> int:
        usual = self._settler.network.max_fee_per_gas
        return min(max(usual, 2 * head.base_fee_per_gas), max(usual, self._max_fee_per_gas))

    async def _send(self, transaction: KeptTransaction) -> str | None:
        complaint = await self._settler.send(transaction.signed.raw)
        if complaint is not None:
            log.info("settlement_send_complaint", transaction=transaction.transaction_id, complaint=complaint)
        return complaint

    # --- following

    async def _try_to_move_on(self, transaction: KeptTransaction) -> None:
        """Move a transaction on; one that a fault keeps where it is holds up no others, and is tried again."""
        try:
            await self._move_on(transaction)
        except (Transient, WrongChain):
            raise
        except Exception:  # such as a log of another key
            log.exception("settlement_fault", transaction=transaction.transaction_id)

    async def _move_on(self, transaction: KeptTransaction) -> None:
        if not all(self._is_here(settlement.statement) for settlement in transaction.settlements):
            await self._give_up(transaction, _OTHER_CONFIGURATION, in_doubt=True)
            return
        signed = transaction.signed
        finding = await self._settler.find(signed, transaction.transfers, transaction.signed_at_block)
        match finding:
            case Pending():
                await self._wait(transaction)
            case Included():
                pass
            case Final():
                self._report(await self._store.finalise(transaction, finding, self._clock.now()))
            case Dead(next_nonce):
                await self._after_death(transaction, next_nonce)
            case Reverted(tx_hash, _, fee_micro_usd):
                await self._after_revert(transaction, tx_hash, fee_micro_usd)
            case Superseded():
                self._lanes_are_known = False
                failure = Failure(
                    FailureKind.SUPERSEDED,
                    f"Another transaction used nonce {signed.nonce} of lane {signed.nonce_key}: see that nothing else "
                    "settles with this key.",
                )
                await self._give_up(transaction, failure, in_doubt=True)
            case _:
                assert_never(finding)

    async def _wait(self, transaction: KeptTransaction) -> None:
        """Send the bytes again; where they are too cheap by now, dearer ones for the same place."""
        head, signed = await self._settler.head(), transaction.signed
        problem = None
        if head.base_fee_per_gas > signed.max_fee_per_gas:
            dearer = 100 * self._price(head) >= (100 + _LEAST_RAISE) * signed.max_fee_per_gas
            if dearer:
                sign = self._signer(head, transaction.settlements, signed.valid_before)
                place = Lane(signed.nonce_key, signed.nonce)
                transaction = await self._store.sign_again(transaction, place, sign)
            else:
                problem = refused_price(head.base_fee_per_gas, signed.max_fee_per_gas).problem
        complaint = await self._send(transaction)
        if complaint is not None and problem is None and not any(said in complaint for said in _HARMLESS):
            obstacle = await self._settler.obstacle(transaction.transfers, transaction.signed.max_fee_per_gas)
            problem = None if obstacle is None else obstacle.sentence
        await self._store.note(transaction, problem)

    async def _after_death(self, transaction: KeptTransaction, next_nonce: int) -> None:
        """Sign again what can never land, unless something stands in its way."""
        head, signed = await self._settler.head(), transaction.signed
        obstacle = await self._settler.obstacle(transaction.transfers, self._price(head))
        failure = None
        if obstacle is not None:
            failure = failure_of(obstacle)
        elif head.base_fee_per_gas > self._price(head):
            failure = refused_price(head.base_fee_per_gas, self._price(head))
        elif transaction.attempt + _asked_anew(transaction) >= _MOST_ATTEMPTS:
            failure = never_mined(transaction)
        is_too_late = any(head.timestamp + ENOUGH_SECONDS > pay_before(it) for it in transaction.settlements)
        if failure is None and is_too_late:
            await self._store.split(transaction, 0, next_nonce, self._clock.now())  # its payee is asked anew
        elif failure is None:
            sign, place = self._signer(head, transaction.settlements), Lane(signed.nonce_key, next_nonce)
            await self._send(await self._store.sign_again(transaction, place, sign, head.number))
        elif len(transaction.settlements) > 1:
            await self._store.split(transaction, 0, next_nonce, self._clock.now())
        else:
            await self._give_up(transaction, failure, next_nonce=next_nonce)

    async def _after_revert(self, transaction: KeptTransaction, tx_hash: str, fee_micro_usd: int) -> None:
        """Give every settlement of a batch that failed a transaction of its own; a single one has failed."""
        next_nonce = transaction.signed.nonce + 1
        if len(transaction.settlements) > 1:
            await self._store.split(transaction, fee_micro_usd, next_nonce, self._clock.now())
            self._metrics.settlement_fee(fee_micro_usd)
            log.warning("settlements_go_alone", transaction=transaction.transaction_id, tx=tx_hash)
            return
        obstacle = await self._settler.obstacle(transaction.transfers, transaction.signed.max_fee_per_gas)
        failure = failure_of(obstacle, f"Transaction {tx_hash} was reverted. ")
        await self._give_up(transaction, failure, fee_micro_usd=fee_micro_usd, next_nonce=next_nonce)

    # --- ends

    async def _give_up(
        self,
        transaction: KeptTransaction,
        failure: Failure,
        *,
        fee_micro_usd: int = 0,
        next_nonce: int | None = None,
        in_doubt: bool = False,
    ) -> None:
        ended = Failure(failure.kind, failure.problem, in_doubt)
        following = transaction.signed.nonce + 1 if next_nonce is None else next_nonce
        now = self._clock.now()
        self._report(await self._store.fail_transaction(transaction, ended, fee_micro_usd, following, now))

    async def _fail(self, settlements: Sequence[Settlement], failure: Failure) -> None:
        self._report(await self._store.fail(settlements, failure, self._clock.now()))

    async def _on_wrong_chain(self, problem: str) -> None:
        """Fail what was not signed yet. What was signed for the right chain waits until its node is back."""
        await self._fail(await self._store.planned(), Failure(FailureKind.WRONG_CHAIN, problem))
        for transaction in await self._store.transactions():
            await self._store.note(transaction, problem)

    def _report(self, ended: Sequence[Settlement]) -> None:
        for settlement in ended:
            self._metrics.settlement(settlement.state)
            self._metrics.settlement_fee(settlement.fee_micro_usd or 0)
            name, tx_hash = settlement.settlement_id, settlement.tx_hash
            if settlement.state is SettlementState.FINAL:
                log.info("settlement_final", settlement=name, tx=tx_hash)
            else:
                log.error("settlement_failed", settlement=name, kind=settlement.failure, problem=settlement.problem)


def _asked_anew(transaction: KeptTransaction) -> int:
    """Count the challenges of MPP that ended before they were paid."""
    return sum(max(settlement.mpp.asked - 1, 0) for settlement in transaction.settlements if settlement.mpp is not None)


_UNRECONCILED = Failure(
    FailureKind.UNRECONCILED,
    "The payer made a transfer that the ledger does not know, so nothing is paid: note with POST /v1/settlements/references "
    "what it paid, then `p402 settle acknowledge` what `p402 settle reconcile` shows the default organisation.",
)
_OTHER_CONFIGURATION = Failure(
    FailureKind.CONFIGURATION,
    "It is for another chain, token, payer or payee than the configuration says now: its successor follows the new one.",
)
