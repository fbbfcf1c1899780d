"""Anchors checkpoints: plans settlements and moves each one on until it is final, exactly once.

Whatever happens between two steps, the next run finds the settlement where it was stored last: bytes are stored before
they are sent, and what became of them is asked of the chain, never concluded from the answer to sending.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import assert_never

import structlog

from p402.collector.settlement.ports import Covered, Leadership, Settlement, SettlementState, SettlementStore, Sign
from p402.exporters.prometheus import CollectorMetrics
from p402.receipts import SettlementMode, SettlementStatement
from p402.receipts.settlement import (
    Dead,
    Diverted,
    Final,
    Included,
    Lane,
    Pending,
    Reverted,
    Settler,
    SignedSettlement,
    Superseded,
)
from p402.vocabulary import Clock, IdFactory, Money, Transient

__all__ = ["LANES", "SettlementWorker"]

LANES = (1, 2, 3, 4)
"""The nonce keys in use. A new one costs 250,000 gas, so there are few and they are used for ever."""

_LIFETIME_SECONDS = 120  # chain time in which a signed transaction can land; then it is dead for certain
_POLL_SECONDS = 1.0
_PAUSE_AFTER_FAILURE = timedelta(minutes=10)  # a reverted transaction costs its fee; a person should look first

log = structlog.get_logger(__name__)


class SettlementWorker:
    """Moves settlements on. Of the workers of a payer one is at work, in whichever collector."""

    def __init__(
        self,
        store: SettlementStore,
        leadership: Leadership,
        settler: Settler,
        interval: timedelta,
        metrics: CollectorMetrics,
        clock: Clock,
        new_id: IdFactory,
    ) -> None:
        self._store = store
        self._leadership = leadership
        self._settler = settler
        self._interval = interval
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id

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

    async def step(self) -> None:
        """Plan what is to be settled, and move every settlement on by one step.

        Raises:
            Transient: when the chain or the database is away; nothing is lost, the next step goes on.
        """
        now = self._clock.now()
        pause = max(self._interval, _PAUSE_AFTER_FAILURE)
        for planned in await self._store.plan(self._make_statement, now - self._interval, now - pause, now):
            log.info("settlement_planned", settlement=planned.settlement_id, size=planned.checkpoint_size)
        for settlement in await self._store.under_way():
            if not self._is_ours(settlement.statement):
                await self._fail(settlement, "It is for another chain, token or payer than the configuration says now.")
            elif settlement.signed is None:
                await self._sign(settlement)
            else:
                await self._follow(settlement, settlement.signed)

    def _make_statement(self, covered: Covered) -> SettlementStatement:
        payer = self._settler.payer
        network = self._settler.network
        carried = covered.previous.statement.carry_out if covered.previous else Money(0)
        return SettlementStatement(
            mode=SettlementMode.ANCHOR,
            settlement_id=self._new_id("stl", self._clock.now()),
            organisation=covered.organisation,
            checkpoint=covered.checkpoint,
            chain_id=network.chain_id,
            token=network.token,
            payer=payer,
            payee=payer,
            amount_micro_usd=0,
            period_from=covered.since,
            period_to=covered.until,
            accrued=covered.accrued,
            carry_in=carried,
            carry_out=carried,
            prev_settlement=covered.previous.settlement_id if covered.previous else None,
        )

    def _is_ours(self, statement: SettlementStatement) -> bool:
        network = self._settler.network
        place = (network.chain_id, network.token, self._settler.payer)
        return (statement.chain_id, statement.token, statement.payer) == place

    async def _sign(self, settlement: Settlement) -> None:
        head = await self._settler.head()
        lanes = await self._store.known_lanes(self._settler.network.chain_id, self._settler.payer)
        for nonce_key in LANES:
            if nonce_key not in lanes:
                lanes[nonce_key] = Lane(nonce_key, await self._settler.lane_nonce(nonce_key))
        signed = await self._store.sign(settlement, lanes, self._signer(head.timestamp), head.number)
        if signed is not None:
            await self._send(signed)

    async def _follow(self, settlement: Settlement, signed: SignedSettlement) -> None:
        statement = settlement.statement
        finding = await self._settler.find(
            signed, statement.memo(), statement.payee, statement.amount_micro_usd, settlement.signed_at_block or 0
        )
        match finding:
            case Pending():
                await self._send(settlement)
            case Included():
                pass
            case Final(anchor):
                await self._store.finalise(settlement, anchor, self._clock.now())
                self._metrics.settlement(SettlementState.FINAL)
                log.info("settlement_final", settlement=settlement.settlement_id, tx=anchor.tx_hash)
            case Dead():
                head = await self._settler.head()
                await self._send(await self._store.sign_again(settlement, self._signer(head.timestamp)))
            case Reverted(tx_hash):
                await self._fail(
                    settlement, f"Transaction {tx_hash} was reverted: check the payer's balance and limits."
                )
            case Diverted(tx_hash):
                await self._fail(settlement, f"Transaction {tx_hash} was diverted by the payee's receive policy.")
            case Superseded():
                await self._fail(settlement, "Another transaction used its nonce: does something else use this key?")
            case _:
                assert_never(finding)

    def _signer(self, chain_time: int) -> Sign:
        def sign(settlement: Settlement, lane: Lane) -> SignedSettlement:
            statement = settlement.statement
            return self._settler.sign(
                statement.memo(),
                statement.payee,
                statement.amount_micro_usd,
                lane.nonce_key,
                lane.next_nonce,
                chain_time + _LIFETIME_SECONDS,
            )

        return sign

    async def _send(self, settlement: Settlement) -> None:
        assert settlement.signed is not None
        complaint = await self._settler.send(settlement.signed.raw)
        if complaint is not None:
            log.info("settlement_send_complaint", settlement=settlement.settlement_id, complaint=complaint)

    async def _fail(self, settlement: Settlement, problem: str) -> None:
        await self._store.fail(settlement, problem)
        self._metrics.settlement(SettlementState.FAILED)
        log.error("settlement_failed", settlement=settlement.settlement_id, problem=problem)
