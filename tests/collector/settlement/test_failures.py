"""Everything that a settlement can fail of: a clear end, a problem that names the remedy, an event, and nothing paid twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from p402.collector.settlement.ports import FailureKind, Settlement, SettlementState
from p402.collector.settlement.rules import SettlementRules
from p402.receipts.settlement import LOCAL, MODERATO, Obstacle, ObstacleKind
from p402.vocabulary import Money
from support.chain_twin import ChainTwin
from support.settling import PAY, PAYEE, Settling

COST = 264_235  # µUSD, of one receipt


@pytest.fixture
def paying(at_work: Settling) -> Settling:
    at_work.rules = SettlementRules(PAY)
    return at_work


async def fail(at_work: Settling) -> Settlement:
    """Let the settlement under way come to its end."""
    for _ in range(8):
        at_work.chain.block(seconds=121)
        at_work.chain.finalise()
        await at_work.step()
    return (await at_work.settlements())[0]


def told(at_work: Settling, kind: str) -> list[str]:
    return [payload for (payload,) in at_work.books.rows(f"SELECT payload FROM events WHERE type = '{kind}'")]


async def test_what_is_reverted_says_why_and_cost_its_fee(paying: Settling) -> None:
    paying.chain.refused = {PAYEE}
    await paying.settle()
    failed = await paying.only()
    assert (failed.state, failed.failure, failed.in_doubt) == (SettlementState.FAILED, FailureKind.REVERTED, False)
    assert f"Transaction {failed.tx_hash} was reverted. The transfer to {PAYEE} is refused" in str(failed.problem)
    assert failed.fee_micro_usd == 18
    [payload] = told(paying, "settlement.failed")
    assert '"kind": "reverted"' in payload
    assert paying.log() == ["session-receipt"]
    assert 'p402_settlements_total{state="failed"} 1.0' in paying.books.metrics.exposition().decode()


@pytest.mark.parametrize(
    ("obstacle", "kind"),
    [
        (ObstacleKind.FUNDS, FailureKind.OUT_OF_FUNDS),
        (ObstacleKind.LIMIT, FailureKind.OUT_OF_FUNDS),
        (ObstacleKind.KEY, FailureKind.ACCESS_KEY),
    ],
)
async def test_what_cannot_be_paid_fails_when_it_can_land_no_more(
    paying: Settling, obstacle: ObstacleKind, kind: FailureKind
) -> None:
    paying.chain.obstacle = Obstacle(obstacle, "Send at least 7 more.")
    await paying.step(2)
    waiting = await paying.only()
    assert (waiting.state, waiting.problem) == (SettlementState.SIGNED, "Send at least 7 more.")
    failed = await fail(paying)
    assert (failed.state, failed.failure, failed.problem) == (SettlementState.FAILED, kind, "Send at least 7 more.")
    assert len(told(paying, "settlement.failed")) == 1
    assert paying.books.rows("SELECT next_nonce FROM lanes") == [(0,)]  # the place was never used


async def test_money_that_comes_in_time_saves_the_settlement(paying: Settling) -> None:
    paying.chain.obstacle = Obstacle(ObstacleKind.FUNDS, "Send at least 7 more.")
    await paying.step(2)
    paying.chain.obstacle = None
    await paying.settle()
    await paying.settle()
    settled = await paying.only()
    assert (settled.state, settled.problem) == (SettlementState.FINAL, None)


async def test_what_is_never_mined_is_dropped_after_five_attempts(paying: Settling) -> None:
    paying.chain.loses_what_is_sent = True
    await paying.step()
    failed = await fail(paying)
    assert (failed.failure, failed.in_doubt) == (FailureKind.DROPPED, False)
    assert "5 times" in str(failed.problem)
    [versions] = paying.chain.sent.values()
    assert len(versions) == 5


async def test_what_is_too_cheap_is_replaced_in_its_place_and_paid_once(paying: Settling) -> None:
    await paying.step()
    cheap = (await paying.under_way()).signed
    paying.chain.base_fee = LOCAL.max_fee_per_gas + 1
    paying.chain.block()
    await paying.step()
    dearer = (await paying.under_way()).signed
    assert (dearer.nonce_key, dearer.nonce) == (cheap.nonce_key, cheap.nonce)
    assert dearer.max_fee_per_gas == 2 * paying.chain.base_fee
    await paying.settle()
    assert (await paying.only()).state is SettlementState.FINAL
    assert (len(paying.chain.landed), paying.chain.paid()) == (1, COST)


async def test_gas_that_is_dearer_than_allowed_fails_it(paying: Settling) -> None:
    paying.chain.base_fee = 4 * LOCAL.max_fee_per_gas + 1
    await paying.step(2)
    assert "P402_SETTLEMENT_MAX_FEE_PER_GAS" in str((await paying.only()).problem)
    failed = await fail(paying)
    assert failed.failure is FailureKind.UNDERPRICED


async def test_a_node_of_another_chain_fails_what_is_planned_and_keeps_what_is_signed(paying: Settling) -> None:
    await paying.step()
    paying.chain.serves_another_chain = True
    await paying.receipt("initech")
    await paying.step()
    [planned] = await paying.settlements("initech")
    assert (planned.state, planned.failure) == (SettlementState.FAILED, FailureKind.WRONG_CHAIN)
    signed = await paying.only()
    assert signed.state is SettlementState.SIGNED
    assert str(signed.problem) == str(planned.problem)
    assert "check its URL" in str(signed.problem)
    paying.chain.serves_another_chain = False
    await paying.settle()
    await paying.settle()
    assert (await paying.only()).state is SettlementState.FINAL


async def test_what_is_diverted_is_in_doubt_and_not_paid_again(paying: Settling) -> None:
    await paying.step()
    paying.chain.block(outcome="diverted")
    paying.chain.finalise()
    await paying.step()
    failed = await paying.only()
    assert (failed.failure, failed.in_doubt) == (FailureKind.DIVERTED, True)
    assert "receive policy" in str(failed.problem)
    await paying.receipt()
    await paying.settle()
    _, anchored = await paying.settlements()
    assert (anchored.state, anchored.statement.amount_micro_usd) == (SettlementState.FINAL, 0)
    assert anchored.statement.carry_out == Money(2 * COST * 1000)
    assert paying.chain.paid() == 0


async def test_a_place_taken_by_something_else_leaves_the_payment_in_doubt(paying: Settling) -> None:
    paying.chain.loses_what_is_sent = True
    await paying.step()
    paying.chain.use_up(1)
    paying.chain.finalise()
    await paying.step(3)
    failed = await paying.only()
    assert (failed.failure, failed.in_doubt) == (FailureKind.SUPERSEDED, True)
    assert "nothing else settles with this key" in str(failed.problem)


async def test_an_anchor_is_never_in_doubt(at_work: Settling) -> None:
    at_work.chain.loses_what_is_sent = True
    await at_work.step()
    at_work.chain.use_up(1)
    at_work.chain.finalise()
    await at_work.step()
    failed = await at_work.only()
    assert (failed.failure, failed.in_doubt) == (FailureKind.SUPERSEDED, False)


async def test_a_payee_that_the_configuration_names_no_more_is_not_paid(paying: Settling) -> None:
    paying.chain.away = True
    with pytest.raises(Exception, match="did not answer"):
        await paying.step()
    paying.chain.away = False
    paying.rules = SettlementRules(replace(PAY, payee="0x" + "33" * 20))
    await paying.step()
    failed = await paying.only()
    assert (failed.failure, failed.in_doubt) == (FailureKind.CONFIGURATION, False)
    assert paying.chain.sent == {}


async def test_a_payment_signed_for_another_chain_than_is_configured_is_in_doubt(paying: Settling) -> None:
    await paying.step()
    paying.settler.network = replace(MODERATO)
    await paying.step()
    failed = await paying.only()
    assert (failed.failure, failed.in_doubt) == (FailureKind.CONFIGURATION, True)


def reverts(chain: ChainTwin) -> None:
    chain.refused = {PAYEE}


def is_poor(chain: ChainTwin) -> None:
    chain.obstacle = Obstacle(ObstacleKind.FUNDS, "Send more.")


def loses(chain: ChainTwin) -> None:
    chain.loses_what_is_sent = True


@pytest.mark.parametrize("goes_wrong", [reverts, is_poor, loses])
async def test_after_a_failure_a_new_statement_pays_everything_once(
    paying: Settling, goes_wrong: Callable[[ChainTwin], None]
) -> None:
    goes_wrong(paying.chain)
    await paying.step()
    failed = await fail(paying)
    assert failed.state is SettlementState.FAILED
    paying.chain.refused, paying.chain.obstacle, paying.chain.loses_what_is_sent = set(), None, False
    await paying.receipt()
    for _ in range(2):
        await paying.settle()
    again = (await paying.settlements())[-1]
    assert again.state is SettlementState.FINAL
    assert again.statement.prev_settlement is None
    assert (again.statement.amount_micro_usd, paying.chain.paid()) == (2 * COST, 2 * COST)
