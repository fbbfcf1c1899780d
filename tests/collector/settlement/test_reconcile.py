"""The chain beside the ledger, both ways: what differs is named, told once, and kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from p402.collector.settlement.ports import FailureKind, Settlement, SettlementState
from p402.collector.settlement.reconcile import Checked, DiscrepancyKind, SettlementReconciler
from p402.collector.settlement.rules import SettlementRules
from p402.collector.storage.chain_checks import (
    KeptDiscrepancy,
    SqlChainChecks,
    acknowledge_discrepancy,
    discrepancies_page,
    last_check,
)
from p402.collector.storage.leaders import Leadership
from p402.collector.storage.settlement_requests import Outcome, resolve_settlement
from p402.receipts.errors import ChainUnavailable
from p402.receipts.settlement import Lane, MemoOnChain, Transfer
from support.chain_twin import ChainTwin, SettlerTwin
from support.settling import ANCHOR, PAY, PAYEE, Settling

COST = 264_235  # µUSD, of one receipt
STRANGERS_MEMO = bytes(range(32))


@pytest.fixture
def paying(at_work: Settling) -> Settling:
    at_work.rules = SettlementRules(PAY)
    return at_work


def reconciler(at_work: Settling, settler: SettlerTwin | None = None) -> SettlementReconciler:
    books = at_work.books
    checks = SqlChainChecks(books.database, "default")
    leadership = Leadership(books.database, "settlement-check", "a", books.clock)
    return SettlementReconciler(checks, leadership, settler or at_work.settler, books.metrics, books.clock)


async def check(at_work: Settling) -> Checked:
    return await reconciler(at_work).check()


async def kept_for(at_work: Settling, *, with_nobodys: bool) -> list[KeptDiscrepancy]:
    return await at_work.books.database.read(
        lambda connection: discrepancies_page(connection, "acme", 10, with_nobodys=with_nobodys)
    )


async def resolve(at_work: Settling, settlement: Settlement, outcome: Outcome) -> None:
    now = at_work.books.clock.now()
    await at_work.books.database.write(
        lambda connection: resolve_settlement(connection, settlement, outcome, None, "seen", now)
    )


def told(at_work: Settling) -> list[dict[str, str]]:
    rows = at_work.books.rows("SELECT payload FROM events WHERE type = 'settlement.failed' ORDER BY seq")
    return [json.loads(payload) for (payload,) in rows]


async def transfer_by_hand(at_work: Settling, transfer: Transfer) -> None:
    """Let somebody else use the payer's key, in a lane of their own."""
    chain: ChainTwin = at_work.chain
    nonce = chain.nonces.get(99, 0)
    signed = at_work.settler.sign(
        [transfer], Lane(99, nonce), chain.time + 100, at_work.settler.network.max_fee_per_gas
    )
    chain.waiting.append(signed.raw)
    chain.block()
    chain.finalise()


async def test_what_agrees_is_compared_once(paying: Settling) -> None:
    await paying.settle()
    first = await check(paying)
    assert (first.transfers, first.settlements, first.found) == (1, 1, ())
    again = await check(paying)
    assert (again.transfers, again.settlements) == (0, 0)
    assert again.first_block == first.last_block + 1
    assert told(paying) == []


async def test_a_transfer_that_no_settlement_asked_for_is_told_once(paying: Settling) -> None:
    await paying.settle()
    await transfer_by_hand(paying, Transfer(STRANGERS_MEMO, PAYEE, 7))
    found = await check(paying)
    assert [it.kind for it in found.found] == [DiscrepancyKind.UNKNOWN_MEMO]
    [event] = told(paying)
    assert (event["kind"], event["memo"]) == ("unknown_memo", STRANGERS_MEMO.hex())
    assert "see who else uses its key" in event["problem"]
    await paying.books.database.write(lambda connection: connection.exec_driver_sql("DELETE FROM chain_checks"))
    assert (await check(paying)).found == ()
    assert len(told(paying)) == 1
    [kept] = await kept_for(paying, with_nobodys=True)
    assert (kept.kind, kept.settlement_id) == ("unknown_memo", None)
    assert await kept_for(paying, with_nobodys=False) == []
    assert 'discrepancies_total{kind="unknown_memo"} 1.0' in paying.books.metrics.exposition().decode()


async def test_a_settlement_that_was_paid_twice_is_found(paying: Settling) -> None:
    await paying.settle()
    await transfer_by_hand(paying, (await paying.only()).transfer)
    found = await check(paying)
    assert [it.kind for it in found.found] == [DiscrepancyKind.PAID_TWICE]


async def test_a_transfer_of_another_amount_is_found(paying: Settling) -> None:
    await paying.settle()
    await transfer_by_hand(paying, replace((await paying.only()).transfer, amount_micro_usd=1))
    assert [it.kind for it in (await check(paying)).found] == [DiscrepancyKind.DIFFERENT]


async def test_a_failed_settlement_that_is_on_the_chain_is_found(paying: Settling) -> None:
    paying.chain.refused = {PAYEE}
    await paying.settle()
    paying.chain.refused = set()
    await transfer_by_hand(paying, (await paying.only()).transfer)
    assert [it.kind for it in (await check(paying)).found] == [DiscrepancyKind.NOT_FINAL]
    doubtful = await paying.only()
    assert (doubtful.in_doubt, doubtful.tx_hash) == (True, paying.chain.landed[-1].tx_hash)
    paying.books.clock.advance(minutes=10)
    await paying.settle()
    *_, successor = await paying.settlements()
    assert (successor.state, successor.statement.amount_micro_usd) == (SettlementState.FINAL, 0)
    await resolve(paying, doubtful, Outcome.PAID)
    await paying.receipt()
    await paying.settle()
    *_, next_one = await paying.settlements()
    assert [str(it.amount) for it in next_one.statement.paid_elsewhere] == ["0.264235"]
    assert paying.chain.paid() == 2 * COST


async def test_what_was_said_to_be_paid_is_not_doubted_again(paying: Settling) -> None:
    paying.chain.refused = {PAYEE}
    await paying.settle()
    paying.chain.refused = set()
    await paying.books.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE settlements SET in_doubt = 1")
    )
    failed = await paying.only()
    await resolve(paying, failed, Outcome.PAID)
    await transfer_by_hand(paying, failed.transfer)
    assert [it.kind for it in (await check(paying)).found] == [DiscrepancyKind.NOT_FINAL]
    assert not (await paying.only()).in_doubt


async def test_a_planned_settlement_that_the_chain_has_is_not_paid_again(paying: Settling) -> None:
    await paying.settle()
    await paying.receipt()
    paying.chain.away = True
    with pytest.raises(ChainUnavailable):
        await paying.step()
    paying.chain.away = False
    _, planned = await paying.settlements()
    await transfer_by_hand(paying, planned.transfer)  # what was done after the backup that was put back
    await paying.step()
    _, failed = await paying.settlements()
    assert (failed.state, failed.failure, failed.in_doubt) == (SettlementState.FAILED, FailureKind.SUPERSEDED, True)
    assert failed.tx_hash == paying.chain.landed[-1].tx_hash
    assert paying.chain.waiting == []
    assert paying.chain.paid() == 2 * COST


async def test_while_a_transfer_is_unknown_nothing_is_paid_and_everything_is_anchored(paying: Settling) -> None:
    paying.rules = SettlementRules(PAY, {"initech": ANCHOR})
    await paying.settle()
    await transfer_by_hand(paying, Transfer(STRANGERS_MEMO, PAYEE, 7))
    await paying.receipt()
    await paying.receipt("initech")
    await paying.settle()
    _, failed = await paying.settlements()
    assert (failed.failure, failed.in_doubt) == (FailureKind.UNRECONCILED, False)
    [anchored] = await paying.settlements("initech")
    assert anchored.state is SettlementState.FINAL
    paying.books.clock.advance(minutes=10)
    await paying.settle()
    *_, waiting = await paying.settlements()
    assert (waiting.state, waiting.statement.amount_micro_usd) == (SettlementState.FINAL, 0)
    assert not await acknowledge(paying, with_nobodys=False)
    assert await acknowledge(paying, with_nobodys=True)
    await paying.receipt()
    await paying.settle()
    assert paying.chain.paid() == 3 * COST + 7
    assert await kept_for(paying, with_nobodys=True) == []


async def acknowledge(at_work: Settling, *, with_nobodys: bool) -> bool:
    [known] = await kept_for(at_work, with_nobodys=True)
    now = at_work.books.clock.now()
    return await at_work.books.database.write(
        lambda connection: acknowledge_discrepancy(
            connection, known.discrepancy_id, "acme", None, "seen", now, with_nobodys=with_nobodys
        )
    )


async def test_a_final_settlement_that_the_chain_does_not_have_is_found(paying: Settling) -> None:
    await paying.settle()
    paying.chain.landed.clear()
    found = await check(paying)
    assert [it.kind for it in found.found] == [DiscrepancyKind.MISSING]
    [event] = told(paying)
    assert event["settlement_id"] == (await paying.only()).settlement_id


async def test_what_is_under_way_is_looked_at_later(paying: Settling) -> None:
    await paying.settle()
    await check(paying)
    await paying.receipt()
    await paying.step()
    paying.chain.block()
    paying.chain.finalise()  # it has landed, and the worker does not know yet
    early = await check(paying)
    assert early.last_block < paying.chain.number
    assert early.found == ()
    await paying.step()
    late = await check(paying)
    assert (late.transfers, late.settlements, late.found) == (1, 1, ())


async def test_nothing_is_compared_before_anything_was_settled(at_work: Settling) -> None:
    await transfer_by_hand(at_work, Transfer(STRANGERS_MEMO, PAYEE, 7))
    checked = await check(at_work)
    assert (checked.found, checked.transfers) == ((), 0)
    assert await at_work.books.database.read(last_check) is None


class ShortSighted(SettlerTwin):
    """Refuses ranges of more than a hundred blocks, as some nodes do."""

    def __init__(self, chain: ChainTwin) -> None:
        super().__init__(chain)
        self.asked: list[int] = []

    async def transfers(self, first_block: int, last_block: int) -> list[MemoOnChain]:
        self.asked.append(last_block - first_block + 1)
        if self.asked[-1] > 100:
            raise ChainUnavailable("query exceeds max block range")
        return await super().transfers(first_block, last_block)


async def test_a_long_range_is_asked_for_in_parts_as_long_as_the_node_answers(paying: Settling) -> None:
    await paying.settle()
    paying.chain.number += 1_000
    paying.chain.finalise()
    node = ShortSighted(paying.chain)
    checked = await reconciler(paying, node).check()
    assert (checked.transfers, checked.settlements, checked.found) == (1, 1, ())
    assert max(node.asked) > 100 >= node.asked[-1]


async def test_it_is_compared_every_day(paying: Settling) -> None:
    await paying.settle()
    at_night = reconciler(paying)
    assert await at_night._is_due()
    await at_night.check()
    assert not await at_night._is_due()
    paying.books.clock.advance(seconds=timedelta(days=1).total_seconds())
    assert await at_night._is_due()
