"""Several collectors on one database: one settles, and if two do for a moment, each settlement is still made once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from p402.collector.settlement.ports import SettlementState
from p402.collector.settlement.rules import SettlementRules
from p402.collector.storage.leaders import LEASE, Leadership
from p402.receipts.settlement import Obstacle, ObstacleKind
from support.clock import FakeClock
from support.open_books import open_database
from support.settling import PAY, Settling, settling

BAD_PAYEE = "0x" + "66" * 20


async def test_one_leads_until_it_resigns_or_its_lease_is_over(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_database(tmp_path) as one, open_database(tmp_path) as two:
        first, second = Leadership(one, "settlement", "a", clock), Leadership(two, "settlement", "b", clock)
        assert sorted(await asyncio.gather(first.take(), second.take())) == [False, True]
        leader, other = (first, second) if await first.take() else (second, first)
        for _ in range(5):
            clock.advance(seconds=LEASE.total_seconds() * 0.6)
            assert await leader.take()
            assert not await other.take()
        clock.advance(seconds=LEASE.total_seconds())
        assert await other.take()
        assert not await leader.take()
        await leader.resign()  # what it has lost it cannot give away
        assert not await leader.take()
        await other.resign()
        assert await leader.take()


async def test_a_leader_that_died_after_its_clock_was_far_ahead_is_followed_all_the_same(tmp_path: Path) -> None:
    clock, ahead = FakeClock(), FakeClock()
    ahead.advance(hours=2)
    async with open_database(tmp_path) as database:
        assert await Leadership(database, "settlement", "a", ahead).take()
        assert await Leadership(database, "settlement", "b", clock).take()


async def test_clocks_that_differ_a_little_do_not_take_the_lead_away(tmp_path: Path) -> None:
    clock, ahead = FakeClock(), FakeClock()
    ahead.advance(minutes=1)
    async with open_database(tmp_path) as database:
        assert await Leadership(database, "settlement", "a", ahead).take()
        assert not await Leadership(database, "settlement", "b", clock).take()


async def test_tasks_have_leaders_of_their_own(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_database(tmp_path) as database:
        assert await Leadership(database, "settlement", "a", clock).take()
        assert await Leadership(database, "exports", "b", clock).take()


async def test_a_settlement_that_two_collectors_saw_planned_is_signed_by_one(at_work: Settling, tmp_path: Path) -> None:
    async with settling(tmp_path, at_work.chain, at_work.books.clock) as other:
        await asyncio.gather(at_work.worker.step(), other.worker.step())
        await asyncio.gather(at_work.worker.step(), other.worker.step())
        assert sorted(at_work.chain.sent) == [(1, 0)]
        assert len(set(at_work.chain.sent[1, 0])) == 1


async def test_a_settlement_that_two_collectors_saw_final_is_in_the_log_once(at_work: Settling, tmp_path: Path) -> None:
    async with settling(tmp_path, at_work.chain, at_work.books.clock) as other:
        await at_work.step()
        at_work.chain.block()
        at_work.chain.finalise()
        await asyncio.gather(at_work.worker.step(), other.worker.step())
        assert (await other.only()).state is SettlementState.FINAL
        assert at_work.log() == ["session-receipt", "settlement"]


async def test_a_dead_transaction_that_two_collectors_saw_is_replaced_once(at_work: Settling, tmp_path: Path) -> None:
    async with settling(tmp_path, at_work.chain, at_work.books.clock) as other:
        at_work.chain.loses_what_is_sent = True
        await at_work.step()
        at_work.chain.block(seconds=1000)
        at_work.chain.finalise()
        at_work.chain.loses_what_is_sent = False
        await asyncio.gather(at_work.worker.step(), other.worker.step())
        assert len(set(at_work.chain.sent[1, 0])) == 2  # the dead one, and its one replacement


async def test_a_batch_that_failed_is_split_once_by_two_collectors(at_work: Settling, tmp_path: Path) -> None:
    at_work.rules = SettlementRules(PAY, {"initech": replace(PAY, payee=BAD_PAYEE)})
    at_work.chain.refused = {BAD_PAYEE}
    await at_work.receipt("initech")
    async with settling(tmp_path, at_work.chain, at_work.books.clock) as other:
        other.rules = at_work.rules
        for _ in range(4):
            await asyncio.gather(at_work.worker.step(), other.worker.step())
            at_work.chain.block()
            at_work.chain.finalise()
        assert [len(landed.transfers) for landed in at_work.chain.landed] == [2, 1, 1]
        assert at_work.chain.paid() == 264_235
        assert (await at_work.only()).state is SettlementState.FINAL
        [bad] = await other.settlements("initech")
        assert bad.state is SettlementState.FAILED


async def test_what_two_collectors_saw_die_for_good_fails_once_and_its_place_is_used_again(
    at_work: Settling, tmp_path: Path
) -> None:
    at_work.rules = SettlementRules(PAY)
    at_work.chain.obstacle = Obstacle(ObstacleKind.FUNDS, "Send more.")
    async with settling(tmp_path, at_work.chain, at_work.books.clock) as other:
        other.rules = at_work.rules
        await at_work.step()
        at_work.chain.block(seconds=1000)
        at_work.chain.finalise()
        await asyncio.gather(at_work.worker.step(), other.worker.step())
        assert (await at_work.only()).state is SettlementState.FAILED
        assert at_work.books.rows("SELECT count(*) FROM events WHERE type = 'settlement.failed'") == [(1,)]
        at_work.chain.obstacle = None
        at_work.books.clock.advance(minutes=10)
        await at_work.settle()
        assert sorted(at_work.chain.sent) == [(1, 0)]
        assert at_work.chain.paid() == 264_235
