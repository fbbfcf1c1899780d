"""Settlement on a real node: every way in which it can be interrupted or refused, and that each settlement lands once.

``pytest -s`` prints what was tried and what the chain has of it.
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from p402.collector.settlement.ports import FailureKind, Settlement, SettlementState
from p402.collector.settlement.reconcile import SettlementReconciler
from p402.collector.settlement.rules import SettlementRules
from p402.collector.storage.chain_checks import SqlChainChecks
from p402.collector.storage.leaders import Leadership
from p402.receipts import ChainReader, Outcome, Trust, verify
from p402.receipts.settlement import LOCAL, Lane, Transfer
from p402.receipts.settlement.access_key import Authorisation, authorise, new_key
from p402.receipts.settlement.tempo import TempoSettler, address_of_key
from p402.vocabulary import Money
from support.anvil import DEV_KEYS, Anvil, anvil_node
from support.clock import FakeClock
from support.collector import RunningCollector, eventually, running_collector
from support.databases import kept_in
from support.interruption import Fuse, Fused, Stopped
from support.otlp import ASpan, request_of
from support.real_settling import balance, drive, new_address, paying, settling_on, times_on_chain
from support.sabotaged_collector import SEND, SENT, sabotaged
from support.settling import ANCHOR, ANCHOR_ALL, PAY, Settling

pytestmark = pytest.mark.timeout(400)

COST = 264_235  # µUSD: the worked example, one receipt
OWNER = address_of_key(DEV_KEYS[0])


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with anvil_node() as running:
        yield running


@pytest.fixture(scope="module")
def tried() -> Iterator[list[tuple[str, ...]]]:
    """What was tried; printed at the end."""
    rows: list[tuple[str, ...]] = []
    yield rows
    table = Table("what happens", "ends as", "on the chain", "paid µUSD", title="Settlement on anvil, hardfork T4")
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table)


# --- interrupted


async def settle_with_a_stop(node: Anvil, folder: Path, points: int, *, dies_first: bool) -> tuple[bool, list[int]]:
    """Pay two organisations' usage in one batch; the power goes at a point, and comes back.

    Tells whether it went before the end, and how often each settlement is on the chain.
    """
    payees = {"acme": new_address(), "initech": new_address()}
    rules = SettlementRules(ANCHOR, {name: replace(PAY, payee=payee) for name, payee in payees.items()})
    clock, fuse = FakeClock(), Fuse(points)
    async with settling_on(node, folder, rules, clock) as at_work:
        for name in payees:
            await at_work.receipt(name)
        at_work.store, at_work.settler = Fused(at_work.store, fuse), Fused(at_work.settler, fuse)
        with suppress(Stopped):
            if dies_first:
                await at_work.step()
                node.rpc("anvil_dropAllTransactions")
                node.advance(130)
                node.mine(3)
            await drive(at_work, 1)
    async with settling_on(node, folder, rules, clock) as at_work:
        await drive(at_work)
        settled = [(await at_work.settlements(name)) for name in payees]
        assert [[item.state for item in items] for items in settled] == [[SettlementState.FINAL]] * 2, points
        for name, payee in payees.items():
            assert balance(node, payee) == COST, points
            assert at_work.log(name) == ["session-receipt", "settlement"], points
        return fuse.left <= 0, [times_on_chain(node, items[0]) for items in settled]


@pytest.mark.parametrize("dies_first", [False, True], ids=["sent", "lost and signed again"])
async def test_a_stop_at_any_point_pays_two_organisations_once_in_one_batch(
    node: Anvil, tmp_path: Path, tried: list[tuple[str, ...]], *, dies_first: bool
) -> None:
    for points in range(1, 100):
        (folder := tmp_path / str(points)).mkdir()
        blew, times = await settle_with_a_stop(node, folder, points, dies_first=dies_first)
        assert times == [1, 1], points
        if not blew:
            break
    assert 20 < points < 99
    what = "a transaction that died and was signed again" if dies_first else "a batch of two organisations"
    tried.append((f"{what}, stopped at each of {points - 1} points", "final", "each once", f"2 × {COST} each time"))


MOMENTS = {
    "planned, not committed": "INSERT INTO settlements|COMMIT",
    "planned": "INSERT INTO settlements|COMMIT|INSERT INTO settlement_transactions",
    "signed, not committed": "INSERT INTO settlement_transactions|COMMIT",
    "signed, not sent": f"INSERT INTO settlement_transactions|{SEND}",
    "sent, nobody knows": f"{SEND}|{SENT}",
    "final on the chain": "UPDATE settlement_transactions",
    "final, not committed": "UPDATE settlement_transactions|COMMIT",
}


def settlement_settings(node: Anvil, folder: Path, payee: str) -> dict[str, str]:
    key = folder / "settlement.key"
    key.write_text(DEV_KEYS[0])
    return {
        "P402_SETTLEMENT_MODE": "pay",
        "P402_SETTLEMENT_PAYEE": payee,
        "P402_SETTLEMENT_NETWORK": "local",
        "P402_SETTLEMENT_RPC_URL": node.url,
        "P402_SETTLEMENT_KEY_FILE": str(key),
        "P402_SETTLEMENT_INTERVAL_SECONDS": "0",
        "P402_RECEIPT_ORIGIN": "logs.example.com",
    }


@pytest.fixture(scope="module")
def mining() -> Iterator[Anvil]:
    """A node that makes blocks by itself."""
    with anvil_node(block_time=0.25) as running:
        yield running


def anchored(collector: RunningCollector) -> dict[str, Any] | None:
    receipts: list[dict[str, Any]] = collector.get("/v1/receipts", organisation="acme")["receipts"]
    return next((receipt for receipt in receipts if receipt["tempo_tx_hash"]), None)


@pytest.mark.parametrize("moment", list(MOMENTS.values()), ids=list(MOMENTS))
def test_a_collector_that_is_killed_pays_once_after_its_next_start(
    mining: Anvil, tmp_path: Path, tried: list[tuple[str, ...]], moment: str
) -> None:
    payee = new_address()
    settings = settlement_settings(mining, tmp_path, payee)
    with running_collector(tmp_path / "data", settings, sabotaged("die-before", moment)) as collector:
        assert collector.export(request_of([ASpan()])).status_code == 200
        with suppress(Exception):  # it may be dead already
            collector.post("/v1/sessions/review-7/close", organisation="acme")
        assert collector.process.wait(timeout=120) == -signal.SIGKILL
    kept_in(tmp_path / "data").run("DELETE FROM leaders")  # half a minute passes: its lease is over
    with running_collector(tmp_path / "data", settings) as collector:
        collector.post("/v1/sessions/review-7/close", organisation="acme")
        receipt = eventually(lambda: anchored(collector), 120)
        [settlement] = [it for it in settlements_of(collector) if it["state"] == "final" and it["amount_usd"] != "0"]
        bundle = collector.text(f"/v1/receipts/{receipt['receipt_id']}.json")
        key = collector.get("/.well-known/receipt-keys", organisation="acme")["keys"][0]["vkey"]
    assert balance(mining, payee) == COST
    topics = [None, None, None, "0x" + settlement["memo"]]
    assert len(mining.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "topics": topics})) == 1
    report = verify(bundle.encode(), Trust((key,), ChainReader(mining.url), payer=OWNER, token=LOCAL.token))
    assert report.outcome is Outcome.VERIFIED, report.to_json()
    assert (receipt["settlement"]["fee_usd"], receipt["settlement"]["latency_seconds"] > 0) == (
        settlement["fee_usd"],
        True,
    )
    name = next(name for name, value in MOMENTS.items() if value == moment)
    tried.append((f"kill -9: {name}", "final", "once", str(COST)))


def settlements_of(collector: RunningCollector) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = collector.get("/v1/settlements", organisation="acme")["settlements"]
    return found


# --- refused


class Outcomes:
    """Runs one settlement into something, and notes how it ended."""

    def __init__(self, node: Anvil, rows: list[tuple[str, ...]]) -> None:
        self.node, self.rows = node, rows

    def note(self, what: str, settlement: Settlement, paid: int) -> None:
        times = times_on_chain(self.node, settlement)
        ends = settlement.failure.value if settlement.failure else settlement.state.value
        self.rows.append((what, ends, f"{times} ×", str(paid)))


@pytest.fixture
def outcomes(node: Anvil, tried: list[tuple[str, ...]]) -> Outcomes:
    return Outcomes(node, tried)


@pytest.fixture
async def at_work(node: Anvil, tmp_path: Path) -> AsyncIterator[Settling]:
    """One receipt, to be paid to a new address."""
    async with settling_on(node, tmp_path, paying(new_address())) as opened:
        await opened.receipt()
        yield opened


async def die(at_work: Settling, times: int = 1) -> None:
    """Let what is under way die."""
    for _ in range(times):
        at_work.chain.rpc("anvil_dropAllTransactions")
        at_work.chain.advance(130)
        at_work.chain.mine(3)
        await at_work.step()


async def pays_once_afterwards(at_work: Settling, payee: str) -> None:
    """After the pause a new statement pays what the failed one did not, and that once."""
    at_work.books.clock.advance(minutes=10)
    await drive(at_work)
    *_, again = await at_work.settlements()
    assert again.state is SettlementState.FINAL
    assert (balance(at_work.chain, payee), times_on_chain(at_work.chain, again)) == (COST, 1)


async def test_a_transfer_that_the_token_refuses_is_reverted_and_says_why(
    at_work: Settling, outcomes: Outcomes
) -> None:
    at_work.rules = paying(LOCAL.token)  # a token takes no tokens
    await drive(at_work, 1)
    failed = await at_work.only()
    assert (failed.failure, failed.fee_micro_usd is not None) == (FailureKind.REVERTED, True)
    assert f"Transaction {failed.tx_hash} was reverted" in str(failed.problem)
    assert "InvalidRecipient" in str(failed.problem)
    outcomes.note("the token refuses the payee", failed, 0)
    at_work.rules = paying(payee := new_address())
    await pays_once_afterwards(at_work, payee)


async def test_a_bad_payee_in_a_batch_stops_nobody_else(node: Anvil, tmp_path: Path, outcomes: Outcomes) -> None:
    good = new_address()
    rules = SettlementRules(ANCHOR, {"acme": replace(PAY, payee=LOCAL.token), "initech": replace(PAY, payee=good)})
    async with settling_on(node, tmp_path, rules) as at_work:
        for name in ("acme", "initech", "globex"):
            await at_work.receipt(name)
        await drive(at_work, 4)
        [bad], [paid], [anchored] = [await at_work.settlements(name) for name in ("acme", "initech", "globex")]
        assert bad.failure is FailureKind.REVERTED
        assert (paid.state, anchored.state) == (SettlementState.FINAL, SettlementState.FINAL)
        assert (balance(node, good), times_on_chain(node, paid), times_on_chain(node, bad)) == (COST, 1, 0)
    outcomes.note("a batch of three with one bad payee: the others", paid, COST)


async def test_a_transaction_that_the_node_drops_five_times_is_dropped(at_work: Settling, outcomes: Outcomes) -> None:
    await at_work.step()
    await die(at_work, 5)
    failed = await at_work.only()
    assert (failed.state, failed.failure) == (SettlementState.FAILED, FailureKind.DROPPED)
    assert times_on_chain(at_work.chain, failed) == 0
    outcomes.note("the node takes it and drops it, five times", failed, 0)
    await pays_once_afterwards(at_work, failed.statement.payee)


def set_base_fee(node: Anvil, fee: int) -> None:
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(fee))
    node.mine()


async def test_an_underpriced_transaction_is_replaced_in_its_place(at_work: Settling, outcomes: Outcomes) -> None:
    await at_work.step()
    cheap = (await at_work.under_way()).signed
    set_base_fee(at_work.chain, 2 * LOCAL.max_fee_per_gas)
    assert (await at_work.only()).state is SettlementState.SIGNED
    await at_work.step()
    dearer = (await at_work.under_way()).signed
    assert (dearer.nonce_key, dearer.nonce) == (cheap.nonce_key, cheap.nonce)
    assert dearer.max_fee_per_gas > cheap.max_fee_per_gas
    await drive(at_work)
    settled = await at_work.only()
    assert (settled.state, settled.tx_hash) == (SettlementState.FINAL, dearer.tx_hash)
    assert balance(at_work.chain, settled.statement.payee) == COST
    outcomes.note("gas gets dearer while it waits: replaced in its place", settled, COST)
    set_base_fee(at_work.chain, 1_000_000_000)


async def test_gas_that_is_dearer_than_allowed_fails_it(at_work: Settling, outcomes: Outcomes) -> None:
    await at_work.step()
    for _ in range(3):
        set_base_fee(at_work.chain, 6 * LOCAL.max_fee_per_gas)
        await at_work.step()
    assert "P402_SETTLEMENT_MAX_FEE_PER_GAS" in str((await at_work.only()).problem)
    at_work.chain.rpc("evm_increaseTime", 130)
    for _ in range(3):
        set_base_fee(at_work.chain, 6 * LOCAL.max_fee_per_gas)
    await at_work.step()
    failed = await at_work.only()
    assert failed.failure is FailureKind.UNDERPRICED
    outcomes.note("gas is dearer than the configuration allows", failed, 0)
    set_base_fee(at_work.chain, 1_000_000_000)
    await pays_once_afterwards(at_work, failed.statement.payee)


async def send_money(node: Anvil, account: str, amount: int) -> None:
    """Let the development account send an account some money."""
    rich = TempoSettler(replace(LOCAL, rpc_url=node.url), DEV_KEYS[1])
    head, lane = await rich.head(), 4020
    place = Lane(lane, await rich.lane_nonce(lane))
    signed = rich.sign([Transfer(bytes(32), account, amount)], place, head.timestamp + 600, LOCAL.max_fee_per_gas)
    assert await rich.send(signed.raw) is None
    node.mine()
    await rich.close()
    assert balance(node, account) >= amount


@pytest.mark.parametrize("held", [0, 100_000], ids=["not even the fee", "the fee, but not the payment"])
async def test_a_payer_without_money_is_out_of_funds_and_pays_when_it_has_some(
    node: Anvil, tmp_path: Path, outcomes: Outcomes, held: int
) -> None:
    key, payee = new_key(), new_address()
    if held:
        await send_money(node, address_of_key(key), held)
    async with settling_on(node, tmp_path, paying(payee), key=key) as at_work:
        await at_work.receipt()
        await drive(at_work, 1)
        await die(at_work)
        failed = await at_work.only()
        assert (failed.state, failed.failure) == (SettlementState.FAILED, FailureKind.OUT_OF_FUNDS)
        assert f"The payer {at_work.settler.payer} holds" in str(failed.problem)
        outcomes.note(f"the payer holds {held} µUSD", failed, 0)
        await send_money(node, at_work.settler.payer, 1_000_000)
        await pays_once_afterwards(at_work, payee)


async def test_an_access_key_whose_limit_is_used_up_is_out_of_funds(
    mining: Anvil, tmp_path: Path, tried: list[tuple[str, ...]]
) -> None:
    key, payee = new_key(), new_address()
    network = replace(LOCAL, rpc_url=mining.url)
    ends = int(mining.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 86_400  # noqa: FBT003
    allowed = Authorisation(payees=[payee], payments_micro_usd=1000, fees_micro_usd=100_000, expires_at=ends)
    await authorise(network, DEV_KEYS[0], address_of_key(key), allowed)
    async with settling_on(mining, tmp_path, paying(payee), key=key, payer=OWNER) as at_work:
        await at_work.receipt()
        await drive(at_work, 1)
        await die(at_work)
        failed = await at_work.only()
        assert (failed.failure, balance(mining, payee)) == (FailureKind.OUT_OF_FUNDS, 0)
        assert "may still spend" in str(failed.problem)
    Outcomes(mining, tried).note("the access key's limit is used up", failed, 0)


async def test_a_node_of_another_chain_is_told_of(node: Anvil, tmp_path: Path, outcomes: Outcomes) -> None:
    async with settling_on(node, tmp_path, ANCHOR_ALL, chain_id=4217) as at_work:
        await at_work.receipt()
        await at_work.step()
        failed = await at_work.only()
        assert failed.failure is FailureKind.WRONG_CHAIN
        assert "serves chain 31337, not 4217" in str(failed.problem)
    outcomes.note("the node serves another chain", failed, 0)


async def test_a_nonce_that_something_else_used_leaves_the_payment_in_doubt(
    at_work: Settling, outcomes: Outcomes
) -> None:
    await at_work.step()
    signed = (await at_work.under_way()).signed
    at_work.chain.rpc("anvil_dropAllTransactions")
    place = Lane(signed.nonce_key, signed.nonce)
    other = at_work.settler.sign([Transfer(bytes(32), OWNER, 0)], place, signed.valid_before, LOCAL.max_fee_per_gas)
    await at_work.settler.send(other.raw)
    at_work.chain.mine(4)
    await at_work.step()
    failed = await at_work.only()
    assert (failed.failure, failed.in_doubt) == (FailureKind.SUPERSEDED, True)
    outcomes.note("something else uses the nonce", failed, 0)


# --- amounts


async def test_what_is_less_than_a_micro_dollar_is_carried_until_it_is_one(
    node: Anvil, tmp_path: Path, tried: list[tuple[str, ...]]
) -> None:
    payee, total = new_address(), Money(0)
    async with settling_on(node, tmp_path, paying(payee, minimum_payout=Money(0))) as at_work:
        for number in range(1, 8):
            await at_work.books.send(cheap_call(number, at_work.books.clock))
            await at_work.books.sealer.catch_up()
            at_work.books.clock.advance(hours=1)
            await at_work.books.sealer.catch_up()
            await drive(at_work, 1)
            settlement = (await at_work.settlements())[-1]
            total += settlement.statement.accrued
            assert settlement.state is SettlementState.FINAL
            paid = balance(node, payee)
            assert Money(paid * 1000) + settlement.statement.carry_out == total
            assert settlement.statement.carry_out.nano_usd < 1000
        assert total == Money(at_work.books.value("SELECT sum(cost_nano_usd) FROM receipts"))
    tried.append((f"seven settlements of ${total} together", "final", "each once", f"{paid}, the rest carried"))


def cheap_call(number: int, clock: FakeClock) -> ASpan:
    """A call of some 150s of nano-dollars: $0.15 a million tokens of input."""
    model = {"gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "gpt-4o-mini"}
    usage = {"gen_ai.usage.input_tokens": 3 * number + 1, "gen_ai.usage.output_tokens": 0}
    session = {"p402.session": f"s-{number}", "gen_ai.provider.name": "openai"}
    return ASpan.of({**model, **usage, **session}, started_ns=int(clock.now().timestamp()) * 10**9)


async def test_chain_and_ledger_agree_and_what_is_foreign_is_found(at_work: Settling) -> None:
    books = at_work.books
    leadership = Leadership(books.database, "settlement-check", "a", books.clock)
    checks = SqlChainChecks(books.database, "default")
    reconciler = SettlementReconciler(checks, leadership, at_work.settler, books.metrics, books.clock)
    await drive(at_work)
    assert (await at_work.only()).state is SettlementState.FINAL
    agreed = await reconciler.check()
    assert (agreed.transfers, agreed.settlements, agreed.found) == (1, 1, ())
    head, lane = await at_work.settler.head(), 4021
    place = Lane(lane, await at_work.settler.lane_nonce(lane))
    foreign = at_work.settler.sign(
        [Transfer(b"\x01" * 32, OWNER, 0)], place, head.timestamp + 600, LOCAL.max_fee_per_gas
    )
    await at_work.settler.send(foreign.raw)
    at_work.chain.mine(4)
    found = await reconciler.check()
    assert [(it.kind.value, it.tx_hash) for it in found.found] == [("unknown_memo", foreign.tx_hash)]
    [(payload,)] = books.rows("SELECT payload FROM events WHERE type = 'settlement.failed'")
    assert json.loads(payload)["kind"] == "unknown_memo"
