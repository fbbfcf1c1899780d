"""From a checkpoint to an anchor: every finding, and what the worker makes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from p402.collector.settlement.ports import SettlementState
from p402.collector.settlement.rules import SettlementRules
from p402.collector.storage.receipts import receipts_page
from p402.collector.tracing.spans import observer
from p402.receipts import open_checkpoint, parse_checkpoint
from p402.receipts.errors import ChainUnavailable
from p402.receipts.settlement import MODERATO
from p402.vocabulary import Attribution, Money
from support.settling import REFERENCE, TRIGGERS, Settling

NOBODY = Attribution()


async def test_a_receipt_is_anchored_and_the_anchor_is_in_the_log(at_work: Settling) -> None:
    await at_work.step()
    assert (await at_work.only()).state is SettlementState.SIGNED
    at_work.chain.block()
    await at_work.step()
    assert (await at_work.only()).state is SettlementState.SIGNED
    at_work.chain.finalise()
    await at_work.step()
    settlement = await at_work.only()
    assert (settlement.state, settlement.problem) == (SettlementState.FINAL, None)
    assert settlement.anchor is not None
    assert settlement.anchor.tx_hash == at_work.chain.landed[0].tx_hash
    [receipt] = await at_work.books.database.read(lambda connection: receipts_page(connection, "acme", NOBODY, -1, 10))
    assert receipt.settlement == settlement
    assert at_work.log() == ["session-receipt", "settlement"]
    entry = at_work.books.entries()[1]
    assert entry["settlement_id"] == settlement.settlement_id
    assert entry["statement_sha256"] == settlement.statement.memo().hex() == at_work.chain.landed[0].memo
    assert entry["tx_hash"] == settlement.anchor.tx_hash
    assert 'p402_settlements_total{state="final"} 1.0' in at_work.books.metrics.exposition().decode()


async def test_a_step_that_moves_something_is_traced_and_an_idle_one_is_not(at_work: Settling) -> None:
    provider, ended = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(ended))
    at_work.observe = observer(provider.get_tracer("test"))
    await at_work.settle()
    await at_work.step(3)
    assert [(span.name, dict(span.attributes or {})) for span in ended.get_finished_spans()] == [
        ("settle", {"p402.work.planned": 1, "p402.work.transactions": 0}),
        ("settle", {"p402.work.planned": 0, "p402.work.transactions": 1}),
    ]


async def test_the_statement_says_what_the_receipts_came_to_and_moves_nothing(at_work: Settling) -> None:
    await at_work.receipt()
    await at_work.step()
    statement = (await at_work.only()).statement
    assert statement.accrued == Money.parse("0.52847")
    assert (statement.amount_micro_usd, statement.carry_in, statement.carry_out) == (0, Money(0), Money(0))
    assert statement.payer == statement.payee == at_work.settler.payer
    key = at_work.books.signers.signer("acme").verifier_key
    [(note,)] = at_work.books.rows("SELECT note FROM checkpoints WHERE size = 2")
    assert statement.checkpoint == str(open_checkpoint(note, [key])) == str(parse_checkpoint(note))


async def test_a_settlement_entry_alone_is_settled_once_a_day(at_work: Settling) -> None:
    await at_work.settle()
    at_work.books.clock.advance(days=1, milliseconds=-1)
    await at_work.step(3)
    assert len(await at_work.settlements()) == 1
    at_work.books.clock.advance(milliseconds=1)
    await at_work.settle()
    _, daily = await at_work.settlements()
    assert (daily.checkpoint_size, daily.statement.accrued, daily.receipts) == (2, Money(0), 0)


async def test_the_next_settlement_begins_where_the_last_one_ended(at_work: Settling) -> None:
    await at_work.settle()
    await at_work.receipt()
    await at_work.settle()
    first, second = await at_work.settlements()
    assert second.statement.prev_settlement == first.settlement_id
    assert second.statement.period_from == first.statement.period_to
    assert (first.checkpoint_size, second.checkpoint_size) == (1, 3)
    assert second.statement.accrued == Money.parse("0.264235")
    assert at_work.log() == ["session-receipt", "settlement", "session-receipt", "settlement"]


async def test_a_receipt_sealed_after_the_plan_waits_for_the_next_anchor(at_work: Settling) -> None:
    await at_work.step()
    await at_work.receipt()
    at_work.chain.block()
    at_work.chain.finalise()
    await at_work.step()
    linked = at_work.books.rows("SELECT seq, settlement_id IS NOT NULL FROM receipts ORDER BY seq")
    assert linked == [(0, 1), (1, 0)]


async def test_nothing_is_planned_before_the_interval_is_over(at_work: Settling) -> None:
    await at_work.settle()
    planned_at = (await at_work.only()).planned_at
    await at_work.books.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE receipts SET settlement_id = NULL")
    )
    at_work.books.clock.advance(minutes=10, milliseconds=-1)
    await at_work.step()
    assert len(await at_work.settlements()) == 1
    at_work.books.clock.advance(milliseconds=1)
    await at_work.step()
    _, second = await at_work.settlements()
    assert (second.planned_at - planned_at).total_seconds() == 600


async def test_what_was_lost_on_the_way_is_sent_again_unchanged(at_work: Settling) -> None:
    at_work.chain.loses_what_is_sent = True
    await at_work.step(3)
    at_work.chain.loses_what_is_sent = False
    await at_work.step()
    [versions] = at_work.chain.sent.values()
    assert len(versions) == 1
    at_work.chain.block()
    at_work.chain.finalise()
    await at_work.step()
    assert (await at_work.only()).state is SettlementState.FINAL


async def test_what_is_included_is_waited_for_and_not_sent_again(at_work: Settling) -> None:
    await at_work.step()
    at_work.chain.block()
    await at_work.step(3)
    assert at_work.chain.waiting == []
    assert (await at_work.only()).state is SettlementState.SIGNED


async def test_what_died_is_signed_again_for_the_same_place(at_work: Settling) -> None:
    at_work.chain.loses_what_is_sent = True
    await at_work.step()
    dead = (await at_work.under_way()).signed
    at_work.chain.block(seconds=121)
    at_work.chain.finalise()
    at_work.chain.loses_what_is_sent = False
    await at_work.step()
    kept = await at_work.under_way()
    again = kept.signed
    assert (again.nonce_key, again.nonce) == (dead.nonce_key, dead.nonce) == (1, 0)
    assert (kept.signed_at_block, kept.attempt) == (101, 2)  # what is dead is not looked for any more
    assert (again.raw != dead.raw, again.valid_before) == (True, at_work.chain.time + 120)
    at_work.chain.block()
    at_work.chain.finalise()
    await at_work.step()
    assert [landed.tx_hash for landed in at_work.chain.landed] == [again.tx_hash]
    assert (await at_work.only()).state is SettlementState.FINAL


async def test_what_may_still_land_is_not_signed_again(at_work: Settling) -> None:
    at_work.chain.loses_what_is_sent = True
    await at_work.step()
    at_work.chain.block(seconds=500)  # not finalized: an earlier block may still become the newest again
    await at_work.step(2)
    assert [len(versions) for versions in at_work.chain.sent.values()] == [1]


async def test_after_a_failure_the_receipts_are_settled_anew_in_another_place(at_work: Settling) -> None:
    await at_work.step()
    at_work.chain.block(outcome="reverted")
    at_work.chain.finalise()
    await at_work.step()
    at_work.books.clock.advance(minutes=10, milliseconds=-1)
    await at_work.step()
    assert len(await at_work.settlements()) == 1
    at_work.books.clock.advance(milliseconds=1)
    await at_work.settle()
    failed, final = await at_work.settlements()
    assert (failed.state, final.state) == (SettlementState.FAILED, SettlementState.FINAL)
    assert sorted(at_work.chain.sent) == [(1, 0), (1, 1)]
    assert at_work.books.rows("SELECT settlement_id FROM receipts") == [(final.settlement_id,)]


async def test_a_log_whose_key_is_not_at_hand_holds_up_the_settlements_of_no_others(at_work: Settling) -> None:
    await at_work.receipt()
    await at_work.step()
    vkey = at_work.books.value("SELECT vkey FROM log_keys")
    at_work.books.kept.run("UPDATE log_keys SET vkey = 'of another collector'")
    await at_work.receipt("initech")
    await at_work.settle()
    await at_work.settle()
    assert [one.state for one in await at_work.settlements("initech")] == [SettlementState.FINAL]
    assert (await at_work.only()).state is SettlementState.SIGNED
    at_work.books.kept.run(f"UPDATE log_keys SET vkey = '{vkey}' WHERE organisation = 'acme'")
    await at_work.step()
    assert (await at_work.only()).state is SettlementState.FINAL


async def test_a_chain_that_is_away_loses_nothing(at_work: Settling) -> None:
    at_work.chain.away = True
    for _ in range(3):
        with pytest.raises(ChainUnavailable):
            await at_work.step()
    assert (await at_work.only()).state is SettlementState.PLANNED
    at_work.chain.away = False
    await at_work.settle()
    assert (await at_work.only()).state is SettlementState.FINAL


async def test_a_clock_that_was_set_back_holds_nothing_up(at_work: Settling) -> None:
    await at_work.step()
    await at_work.receipt("initech")
    at_work.books.clock.advance(minutes=-30)  # before initech's first receipt was issued
    at_work.chain.block()
    at_work.chain.finalise()
    await at_work.step()
    assert (await at_work.only()).state is SettlementState.FINAL
    [planned] = await at_work.settlements("initech")
    assert planned.statement.period_from == planned.statement.period_to > planned.planned_at


async def test_what_came_before_is_known_by_the_log_and_not_by_clocks_that_differ(at_work: Settling) -> None:
    at_work.rules = SettlementRules(REFERENCE)
    at_work.triggers = replace(TRIGGERS, receipts=1)
    for hours in (0, 5, -9):
        at_work.books.clock.advance(hours=hours)
        await at_work.receipt()
        await at_work.settle()
    first, second, third = sorted(await at_work.settlements(), key=lambda settlement: settlement.checkpoint_size)
    assert third.planned_at < second.planned_at
    assert [second.statement.prev_settlement, third.statement.prev_settlement] == [
        first.settlement_id,
        second.settlement_id,
    ]
    assert third.statement.carry_in == second.statement.carry_out
    await at_work.receipt()
    await at_work.settle()
    *_, fourth = sorted(await at_work.settlements(), key=lambda settlement: settlement.checkpoint_size)
    assert fourth.statement.prev_settlement == third.settlement_id


@pytest.mark.parametrize("change", ["network", "payer"])
async def test_a_settlement_planned_for_another_chain_or_payer_is_not_signed(at_work: Settling, change: str) -> None:
    at_work.chain.away = True
    with pytest.raises(ChainUnavailable):
        await at_work.step()
    at_work.chain.away = False
    if change == "network":
        at_work.settler.network = replace(MODERATO)
    else:
        at_work.settler.payer = "0x" + "22" * 20
    await at_work.step()
    failed = await at_work.only()
    assert failed.state is SettlementState.FAILED
    assert "configuration" in str(failed.problem)
    assert at_work.chain.sent == {}


async def test_what_is_on_the_chain_commits_to_the_statement_alone(at_work: Settling) -> None:
    await at_work.settle()
    statement = (await at_work.only()).statement
    [[raw]] = at_work.chain.sent.values()
    assert [transfer["memo"] for transfer in json.loads(raw)["transfers"]] == [statement.memo().hex()]
    assert b"acme" not in raw
