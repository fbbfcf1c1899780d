"""Lanes: how many settlements can be under way, and in which places."""

from __future__ import annotations

from p402.collector.settlement.ports import SettlementState
from support.settling import Settling


async def test_each_organisation_has_a_lane_of_its_own_while_there_are_lanes(at_work: Settling) -> None:
    names = ["acme", *(f"org-{number}" for number in range(5))]
    for name in names[1:]:
        await at_work.receipt(name)
    await at_work.step()
    states = {name: (await at_work.settlements(name))[0].state for name in names}
    assert sorted(at_work.chain.sent) == [(1, 0), (2, 0), (3, 0), (4, 0)]
    assert list(states.values()).count(SettlementState.PLANNED) == 2
    for _ in range(2):
        at_work.chain.block()
        at_work.chain.finalise()
        await at_work.step(2)
    for name in names:
        assert [settlement.state for settlement in await at_work.settlements(name)] == [SettlementState.FINAL], name
        assert at_work.log(name) == ["session-receipt", "settlement"]


async def test_lanes_in_use_before_are_taken_up_where_the_chain_has_them(at_work: Settling) -> None:
    at_work.chain.nonces = {1: 7}
    at_work.chain.nonces_in_finalized = {1: 7}
    await at_work.settle()
    assert sorted(at_work.chain.sent) == [(1, 7)]
    assert (await at_work.only()).state is SettlementState.FINAL
