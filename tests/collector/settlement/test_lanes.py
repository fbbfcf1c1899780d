"""Lanes and batches: what shares a transaction, how many are under way, and in which places."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from p402.collector.settlement.batches import batches, shares
from p402.collector.settlement.ports import FailureKind, Settlement, SettlementState
from p402.collector.settlement.rules import SettlementRules
from p402.receipts import SettlementMode
from p402.receipts.settlement import LOCAL
from support.chain_twin import FEE, PAYER
from support.sample_log import NINE, sample_log, sample_statement
from support.settling import ANCHOR, PAY, PAYEE, Settling

BAD_PAYEE = "0x" + "66" * 20


async def test_organisations_that_are_due_together_share_a_transaction(at_work: Settling) -> None:
    names = ["acme", "initech", "globex"]
    for name in names[1:]:
        await at_work.receipt(name)
    await at_work.settle()
    [[raw]] = at_work.chain.sent.values()
    assert len(json.loads(raw)["transfers"]) == 3
    settled = [settlement for name in names for settlement in await at_work.settlements(name)]
    assert {settlement.state for settlement in settled} == {SettlementState.FINAL}
    anchors = [settlement.anchor for settlement in settled]
    assert sorted(anchor.log_index for anchor in anchors if anchor) == [0, 1, 2]
    assert sum(settlement.fee_micro_usd or 0 for settlement in settled) == FEE
    for name in names:
        assert at_work.log(name) == ["session-receipt", "settlement"]


async def test_one_bad_payee_stops_nobody_else(at_work: Settling) -> None:
    at_work.rules = SettlementRules(ANCHOR, {"initech": replace(PAY, payee=BAD_PAYEE), "globex": PAY})
    at_work.chain.refused = {BAD_PAYEE}
    await at_work.receipt("initech")
    await at_work.receipt("globex")
    for _ in range(3):
        await at_work.settle()
    [acme], [initech], [globex] = [await at_work.settlements(name) for name in ("acme", "initech", "globex")]
    assert (acme.state, globex.state) == (SettlementState.FINAL, SettlementState.FINAL)
    assert (initech.state, initech.failure) == (SettlementState.FAILED, FailureKind.REVERTED)
    assert "PolicyForbids" in str(initech.problem)
    assert [len(landed.transfers) for landed in at_work.chain.landed] == [3, 1, 1, 1]
    assert at_work.chain.paid() == 264_235
    assert sorted(at_work.chain.sent) == [(1, 0), (1, 1), (2, 0), (3, 0)]


async def test_as_many_transactions_are_under_way_as_there_are_lanes(at_work: Settling) -> None:
    names = ["acme", *(f"org-{number}" for number in range(5))]
    for number, name in enumerate(names):
        await at_work.receipt(name)
        await at_work.step()
        assert len(at_work.chain.sent) == min(number + 1, 4)
    for _ in range(2):
        at_work.chain.block()
        at_work.chain.finalise()
        await at_work.step(2)
    for name in names:
        assert {settlement.state for settlement in await at_work.settlements(name)} == {SettlementState.FINAL}, name
    assert sorted(at_work.chain.sent) == [(1, 0), (1, 1), (2, 0), (3, 0), (4, 0)]


async def test_lanes_in_use_before_are_taken_up_where_the_chain_has_them(at_work: Settling) -> None:
    at_work.chain.nonces = {1: 7}
    at_work.chain.nonces_in_finalized = {1: 7}
    await at_work.settle()
    assert sorted(at_work.chain.sent) == [(1, 7)]
    assert (await at_work.only()).state is SettlementState.FINAL


async def test_a_lane_whose_chain_began_anew_is_taken_up_there(at_work: Settling) -> None:
    await at_work.settle()
    at_work.chain.nonces, at_work.chain.nonces_in_finalized = {}, {}  # a restored node, a new test network
    await at_work.receipt()
    at_work.chain.loses_what_is_sent = True
    await at_work.step()
    at_work.chain.block(seconds=121)
    at_work.chain.finalise()
    at_work.chain.loses_what_is_sent = False
    for _ in range(2):
        await at_work.settle()
    assert sorted(at_work.chain.sent) == [(1, 0), (1, 1)]
    assert {settlement.state for settlement in await at_work.settlements()} == {SettlementState.FINAL}
    assert at_work.books.rows("SELECT next_nonce FROM lanes") == [(1,)]


def planned(number: int, payee: str = PAYER, *, alone: bool = False) -> Settlement:
    statement = replace(sample_statement(sample_log(1)), settlement_id=f"stl_{number}")
    if payee != PAYER:
        amount, rest = statement.accrued.to_micro_usd()
        statement = replace(statement, mode=SettlementMode.PAY, payee=payee, amount_micro_usd=amount, carry_out=rest)
    return Settlement(
        settlement_id=statement.settlement_id,
        organisation="acme",
        state=SettlementState.PLANNED,
        checkpoint_size=1,
        statement=statement,
        planned_at=NINE,
        alone=alone,
    )


def test_at_most_a_hundred_share_a_transaction() -> None:
    together = list(batches([planned(number) for number in range(250)], LOCAL, PAYER))
    assert [len(batch) for batch in together] == [100, 100, 50]


def test_a_transaction_asks_for_no_more_gas_than_it_may() -> None:
    strangers = [planned(number, f"0x{number + 1:040x}") for number in range(100)]
    together = list(batches(strangers, LOCAL, PAYER))
    assert sum(len(batch) for batch in together) == 100
    assert max(LOCAL.gas_limit(len(batch), len(batch)) for batch in together) <= LOCAL.most_gas
    assert len(list(batches([planned(number, PAYEE) for number in range(100)], LOCAL, PAYER))) == 1


def test_what_failed_together_goes_alone() -> None:
    together = list(batches([planned(1), planned(2, alone=True), planned(3)], LOCAL, PAYER))
    assert sorted(len(batch) for batch in together) == [1, 2]


@pytest.mark.parametrize(("fee", "parts"), [(18, [6, 6, 6]), (20, [7, 7, 6]), (1, [1, 0, 0]), (0, [0, 0, 0])])
def test_the_parts_of_a_fee_add_up(fee: int, parts: list[int]) -> None:
    assert shares(fee, 3) == parts
