"""Modes, triggers and amounts: what is due when, and that nothing is lost or paid twice however often it is settled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.collector.settlement.ports import Covered, Settlement, SettlementState, Standing
from p402.collector.settlement.rules import PaymentPlace, SettlementRule, SettlementRules, make_statement
from p402.collector.storage.settlement_requests import note_payment, payments_page
from p402.receipts import PaidElsewhere, SettlementMode, SettlementStatement
from p402.vocabulary import NANO_PER_MICRO, Money
from support.chain_twin import PAYER
from support.sample_log import NINE, sample_log
from support.settling import ANCHOR, PAY, PAYEE, REFERENCE, TRIGGERS, Settling

PLACE = PaymentPlace(31337, "0x20c0000000000000000000000000000000000001", PAYER)
CHECKPOINT = str(sample_log(1).checkpoint())
NOTHING = Standing(
    organisation="acme",
    new_entries=True,
    receipts=0,
    accrued=Money(0),
    last_planned_at=NINE,
    last_failed=False,
    flush_at=None,
)
SOME = replace(NOTHING, receipts=1)


@pytest.mark.parametrize(
    ("standing", "after", "due"),
    [
        (SOME, timedelta(minutes=10), True),
        (SOME, timedelta(minutes=9), False),
        (replace(SOME, receipts=1000), timedelta(0), True),
        (replace(SOME, receipts=999), timedelta(0), False),
        (replace(SOME, accrued=Money.parse("100")), timedelta(0), True),
        (replace(SOME, accrued=Money.parse("99.999999999")), timedelta(0), False),
        (replace(SOME, last_planned_at=None), timedelta(0), True),
        (NOTHING, timedelta(hours=23), False),
        (NOTHING, timedelta(days=1), True),
        (replace(NOTHING, new_entries=False), timedelta(days=9), False),
        (replace(NOTHING, flush_at=NINE + timedelta(seconds=1)), timedelta(seconds=1), True),
        (replace(NOTHING, flush_at=NINE), timedelta(seconds=1), False),
        (replace(SOME, last_failed=True, receipts=1000), timedelta(minutes=9), False),
        (replace(SOME, last_failed=True), timedelta(minutes=10), True),
        (replace(SOME, last_failed=True, flush_at=NINE + timedelta(seconds=1)), timedelta(seconds=1), True),
    ],
)
def test_what_comes_first_makes_a_settlement_due(standing: Standing, after: timedelta, due: bool) -> None:  # noqa: FBT001
    assert TRIGGERS.fire(standing, NINE + after) is due


def settled(
    rule: SettlementRule,
    accrued: int,
    previous: SettlementStatement | None = None,
    elsewhere: int = 0,
    *,
    unresolved: bool = False,
) -> SettlementStatement:
    """State a settlement of so many nano-dollars, and so many paid elsewhere."""
    before = None
    if previous is not None:
        before = Settlement(
            settlement_id=previous.settlement_id,
            organisation="acme",
            state=SettlementState.FINAL,
            checkpoint_size=1,
            statement=previous,
            planned_at=NINE,
        )
    paid = (PaidElsewhere(kind="x402", id="0x1", amount=Money(elsewhere)),) if elsewhere else ()
    covered = Covered(
        organisation="acme",
        checkpoint=CHECKPOINT,
        since=NINE,
        until=NINE,
        accrued=Money(accrued),
        previous=before,
        paid_elsewhere=paid,
        unresolved=unresolved,
    )
    return make_statement(covered, rule, PLACE, "stl_2" if previous else "stl_1")


@given(st.lists(st.integers(0, 5_000_000_000), min_size=1, max_size=40), st.integers(0, 1_000_000_000))
def test_the_sum_of_payments_differs_from_the_sum_of_costs_by_less_than_a_micro_dollar_or_the_minimum(
    costs: list[int], minimum: int
) -> None:
    rule = replace(PAY, minimum_payout=Money(minimum))
    paid, statement = 0, None
    for number, cost in enumerate(costs, 1):
        statement = settled(rule, cost, statement)
        paid += statement.amount_micro_usd * NANO_PER_MICRO
        assert paid + statement.carry_out.nano_usd == sum(costs[:number])
        assert 0 <= statement.carry_out.nano_usd < max(NANO_PER_MICRO, minimum)
        assert statement.amount_micro_usd == 0 or statement.amount_micro_usd * NANO_PER_MICRO > minimum - NANO_PER_MICRO


@given(st.lists(st.integers(0, 1_500), min_size=1, max_size=200))
def test_remainders_below_a_micro_dollar_are_carried_and_none_is_lost(costs: list[int]) -> None:
    paid, statement = 0, None
    for cost in costs:
        statement = settled(replace(PAY, minimum_payout=Money(0)), cost, statement)
        paid += statement.amount_micro_usd
    assert statement is not None
    assert (paid, statement.carry_out.nano_usd) == divmod(sum(costs), NANO_PER_MICRO)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=40))
def test_with_payments_elsewhere_everything_still_adds_up(steps: list[tuple[int, int]]) -> None:
    paid, statement = 0, None
    for cost, elsewhere in steps:
        statement = settled(PAY, cost, statement, elsewhere)
        paid += statement.amount_micro_usd * NANO_PER_MICRO
    assert statement is not None
    assert paid + statement.carry_out.nano_usd == sum(cost for cost, _ in steps) - sum(paid for _, paid in steps)


def test_less_than_the_minimum_is_carried_over_and_the_log_anchored() -> None:
    statement = settled(PAY, 99_999_999)
    assert (statement.amount_micro_usd, statement.payee, statement.carry_out) == (0, PAYER, Money(99_999_999))
    assert settled(PAY, 1, statement).amount_micro_usd == 100_000


def test_a_payment_in_doubt_stops_payments_and_nothing_else() -> None:
    statement = settled(PAY, 10**9, unresolved=True)
    assert (statement.amount_micro_usd, statement.carry_out) == (0, Money(10**9))


def test_in_mode_reference_nothing_is_paid_and_the_statement_says_what_was_paid_elsewhere() -> None:
    statement = settled(REFERENCE, 10**9, elsewhere=4 * 10**8)
    assert (statement.mode, statement.amount_micro_usd) == (SettlementMode.REFERENCE, 0)
    assert [item.kind for item in statement.paid_elsewhere] == ["x402"]
    assert statement.carry_out == Money(6 * 10**8)


def test_in_mode_anchor_nothing_is_due() -> None:
    assert settled(ANCHOR, 10**9).carry_out == Money(0)
    assert settled(ANCHOR, 10**9, settled(PAY, 5)).carry_out == Money(5)


async def test_what_was_metered_is_paid_and_told_of(at_work: Settling) -> None:
    at_work.rules = SettlementRules(PAY)
    await at_work.settle()
    settlement = await at_work.only()
    assert (settlement.state, settlement.statement.payee) == (SettlementState.FINAL, PAYEE)
    assert at_work.chain.paid() == settlement.statement.amount_micro_usd == 264_235
    assert (settlement.receipts, settlement.fee_micro_usd) == (1, 18)
    [(payload,)] = at_work.books.rows("SELECT payload FROM events WHERE type = 'settlement.final'")
    for said in ('"amount_usd": "0.264235"', '"fee_usd": "0.000018"', '"receipts": 1', '"latency_seconds": 0.0'):
        assert said in payload


async def test_an_organisation_that_is_off_is_not_settled(at_work: Settling) -> None:
    at_work.rules = SettlementRules(ANCHOR, {"acme": None})
    await at_work.step(2)
    assert await at_work.settlements() == []


async def test_a_payment_elsewhere_is_stated_once_also_when_the_first_settlement_fails(at_work: Settling) -> None:
    at_work.rules = SettlementRules(REFERENCE)
    paid = PaidElsewhere(kind="x402", id="0xab", amount=Money.parse("0.2"))
    clock = at_work.books.clock
    await at_work.books.database.write(lambda connection: note_payment(connection, "acme", paid, None, clock.now()))
    await at_work.step()
    at_work.chain.block(outcome="reverted")
    at_work.chain.finalise()
    await at_work.step()
    clock.advance(minutes=10)
    await at_work.settle()
    await at_work.receipt()
    await at_work.settle()
    failed, first, second = await at_work.settlements()
    assert failed.state is SettlementState.FAILED
    assert (failed.statement.paid_elsewhere, first.statement.paid_elsewhere) == ((paid,), (paid,))
    assert second.statement.paid_elsewhere == ()
    assert (first.statement.carry_out, second.statement.carry_out) == (Money(64_235_000), Money(328_470_000))
    [noted] = await at_work.books.database.read(lambda connection: payments_page(connection, "acme", "", 10))
    assert noted.settlement_id == first.settlement_id
