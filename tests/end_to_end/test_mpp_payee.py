"""A payee that speaks MPP is paid on a real node, with pympp's server as the payee: once, what was metered, and only that."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p402.collector.api.settlement_views import settlement_view
from p402.collector.settlement.ports import FailureKind, Settlement, SettlementState
from p402.collector.settlement.rules import SettlementRules
from p402.collector.storage.settlement_requests import NotInDoubt, Outcome, ask_for_settlement, resolve_settlement
from p402.collector.storage.settlements import settlements_page
from p402.receipts import TRANSFER_WITH_MEMO, ChainReader
from p402.receipts._on_chain import check_on_chain
from p402.receipts.errors import AnchorRefuted
from p402.receipts.settlement.mpp_http import read_receipt
from p402.vocabulary import Money
from support.anvil import Anvil, anvil_node
from support.clock import FakeClock
from support.interruption import Fuse, Fused, Stopped
from support.mpp_server import PAYEE, MppServer, mpp_server
from support.real_settling import balance, drive, settling_on, times_on_chain
from support.settling import PAY, Settling

pytestmark = pytest.mark.timeout(600)

COST = 264_235  # µUSD: the worked example, one receipt


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with anvil_node() as running:
        yield running


@pytest.fixture(scope="module")
def payee(node: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MppServer]:
    with mpp_server(node, tmp_path_factory.mktemp("payee")) as running:
        yield running


@pytest.fixture(scope="module")
def later_node() -> Iterator[Anvil]:
    """A node whose clock tests may set forward."""
    with anvil_node() as running:
        yield running


@pytest.fixture(scope="module")
def later_payee(later_node: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MppServer]:
    with mpp_server(later_node, tmp_path_factory.mktemp("payee")) as running:
        yield running


def asking(payee: MppServer, gate: str, kind: str = "pay") -> SettlementRules:
    """Everybody's usage is paid to the payee, as it asks there."""
    rule = replace(PAY, payee=PAYEE, payee_url=f"{payee.url}/{gate}/{kind}", allow_private=True)
    return SettlementRules(rule)


def payments_of(node: Anvil, settlement: Settlement) -> list[dict[str, Any]]:
    """What the chain has of a settlement's payment: logs with the memo that is bound to its challenge."""
    assert settlement.mpp is not None
    assert settlement.mpp.memo is not None
    topics = [TRANSFER_WITH_MEMO, None, None, "0x" + settlement.mpp.memo.hex()]
    found: list[dict[str, Any]] = node.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "topics": topics})
    return found


@pytest.fixture
def gate() -> str:
    """A path of the payee that no other test asks."""
    return secrets.token_hex(4)


async def test_a_payee_is_asked_paid_beside_the_anchor_and_its_receipt_is_kept(
    node: Anvil, payee: MppServer, gate: str, tmp_path: Path
) -> None:
    before = balance(node, PAYEE)
    async with settling_on(node, tmp_path, asking(payee, gate)) as at_work:
        await at_work.receipt()
        await drive(at_work)
        paid = await at_work.only()
        assert (paid.state, paid.is_unconfirmed, paid.pays_micro_usd) == (SettlementState.FINAL, False, COST)
        assert paid.mpp is not None
        assert paid.mpp.receipt is not None
        assert paid.anchor is not None
        assert read_receipt(paid.mpp.receipt).reference == paid.tx_hash
        [payment] = payments_of(node, paid)
        assert (payment["transactionHash"], times_on_chain(node, paid)) == (paid.anchor.tx_hash, 1)
        assert balance(node, PAYEE) - before == COST
        assert payee.answers(f"asked /{gate}") == [f"asked /{gate}/pay 402"]
        assert payee.answers(f"shown /{gate}") == [f"shown /{gate}/pay 200"]
        elsewhere = json.loads(paid.statement.canonical())["paid_elsewhere"]
        assert elsewhere == [{"kind": "mpp", "id": f"{PAYEE}:{paid.settlement_id}", "amount_usd": "0.264235"}]
        node.mine(3)
        assert (await at_work.reconciler.check()).found == ()
        shown = settlement_view(paid, None)
        assert (shown["amount_usd"], shown["payee"], shown["statement"]["amount_micro_usd"]) == ("0.264235", PAYEE, "0")
        assert shown["mpp"] is not None
        assert (shown["mpp"]["receipt"], shown["mpp"]["realm"]) == (paid.mpp.receipt, "payee.example.com")
        said = check_on_chain(paid.statement, paid.statement.memo(), paid.anchor, ChainReader(node.url))
        assert f"The same transaction paid {PAYEE} {COST} µUSD, for a challenge of MPP." in said
        claimed = replace(paid.statement.paid_elsewhere[0], amount=Money.parse("0.264236"))
        more = replace(paid.statement, paid_elsewhere=(claimed,), carry_out=Money.parse("-0.000001"))
        with pytest.raises(AnchorRefuted, match="does not pay"):
            check_on_chain(more, paid.statement.memo(), paid.anchor, ChainReader(node.url))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("dearer", "another amount"),
        ("token", "another token"),
        ("chain", "another chain"),
        ("recipient", "another payee"),
        ("short", "may be paid for"),
    ],
)
async def test_what_asks_otherwise_is_never_paid_and_the_log_is_anchored_all_the_same(
    node: Anvil, payee: MppServer, gate: str, tmp_path: Path, kind: str, says: str
) -> None:
    before = balance(node, PAYEE)
    async with settling_on(node, tmp_path, asking(payee, gate, kind)) as at_work:
        await at_work.receipt()
        await drive(at_work)
        failed = await at_work.only()
        assert (failed.state, failed.failure) == (SettlementState.FAILED, FailureKind.PAYEE_DIFFERS)
        assert says in (failed.problem or "")
        assert (failed.in_doubt, failed.tx_hash) == (False, None)
        at_work.books.clock.advance(minutes=11)
        await drive(at_work)
        _, anchored = await at_work.settlements()
        assert (anchored.state, anchored.pays_micro_usd) == (SettlementState.FINAL, 0)
        at_work.rules = asking(payee, gate)  # the payee's place is corrected
        await at_work.receipt()
        await drive(at_work)
        *_, paid = await at_work.settlements()
        assert (paid.state, paid.pays_micro_usd) == (SettlementState.FINAL, 2 * COST)
        assert balance(node, PAYEE) - before == 2 * COST


async def test_a_payee_that_is_away_is_asked_again_and_after_a_while_the_log_is_anchored_without_it(
    node: Anvil, payee: MppServer, gate: str, tmp_path: Path
) -> None:
    payee.leave(gate)
    async with settling_on(node, tmp_path, asking(payee, gate)) as at_work:
        await at_work.receipt()
        await drive(at_work, 1)
        waiting = await at_work.only()
        assert waiting.state is SettlementState.PLANNED
        assert "could not be asked how it is to be paid: HTTP 503" in (waiting.problem or "")
        asked = len(payee.answers(f"asked /{gate}"))
        await at_work.step()
        assert len(payee.answers(f"asked /{gate}")) == asked, "not before a while"
        at_work.books.clock.advance(minutes=11)
        await at_work.step()
        failed = await at_work.only()
        assert (failed.state, failed.failure) == (SettlementState.FAILED, FailureKind.PAYEE_AWAY)
        at_work.books.clock.advance(minutes=11)
        await drive(at_work)
        payee.come_back(gate)
        await at_work.receipt()
        await drive(at_work)
        _, anchored, paid = await at_work.settlements()
        assert [anchored.pays_micro_usd, paid.pays_micro_usd] == [0, 2 * COST]
        assert not paid.is_unconfirmed


async def test_a_payee_that_takes_the_money_and_no_credential_is_shown_it_again_and_paid_no_more(
    node: Anvil, payee: MppServer, gate: str, tmp_path: Path
) -> None:
    async with settling_on(node, tmp_path, asking(payee, gate, "deaf")) as at_work:
        await at_work.receipt()
        await drive(at_work)
        paid = await at_work.only()
        assert (paid.state, paid.is_unconfirmed) == (SettlementState.FINAL, True)
        assert paid.mpp is not None
        assert paid.mpp.refusal == (
            "The payee was paid and refused to say so, with HTTP 403: I have no money of yours."
        )
        shown = len(payee.answers(f"shown /{gate}"))
        at_work.books.clock.advance(minutes=1)
        await at_work.step()
        assert len(payee.answers(f"shown /{gate}")) == shown + 1
        await at_work.receipt()
        await drive(at_work)
        [_, anchored] = await at_work.settlements()
        assert anchored.pays_micro_usd == 0

        async def listed() -> list[str]:
            found = await at_work.books.database.read(
                lambda connection: settlements_page(connection, "acme", 9, unconfirmed=True)
            )
            return [settlement.settlement_id for settlement in found]

        assert await listed() == [paid.settlement_id]
        await resolve(at_work, paid, Outcome.PAID)
        assert await listed() == []
        events = at_work.books.rows("SELECT payload FROM events WHERE type = 'settlement.failed'")
        assert [json.loads(payload)["kind"] for (payload,) in events] == ["unconfirmed"]
        with pytest.raises(NotInDoubt):
            await resolve(at_work, await at_work.only_of(paid), Outcome.PAID)


async def resolve(at_work: Settling, settlement: Settlement, outcome: Outcome) -> None:
    now = at_work.books.clock.now()
    await at_work.books.database.write(
        lambda connection: resolve_settlement(connection, settlement, outcome, "key_1", "They say so by mail.", now)
    )


async def test_a_person_who_asks_for_a_settlement_has_the_payee_asked_anew_at_once(
    node: Anvil, payee: MppServer, gate: str, tmp_path: Path
) -> None:
    async with settling_on(node, tmp_path, asking(payee, gate, "dearer")) as at_work:
        await at_work.receipt()
        await drive(at_work, 1)
        at_work.rules = asking(payee, gate)
        at_work.books.clock.advance(seconds=1)
        now = at_work.books.clock.now()
        await at_work.books.database.write(lambda connection: ask_for_settlement(connection, "acme", None, now))
        await drive(at_work)
        _, paid = await at_work.settlements()
        assert (paid.state, paid.pays_micro_usd, paid.is_unconfirmed) == (SettlementState.FINAL, COST, False)


async def pay_with_a_stop(
    node: Anvil, payee: MppServer, folder: Path, points: int, *, dies_first: bool
) -> tuple[bool, Settlement, str]:
    """Pay; the power goes at a point, and comes back."""
    gate, clock, fuse = secrets.token_hex(4), FakeClock(), Fuse(points)
    rules = asking(payee, gate, "patient")
    async with settling_on(node, folder, rules, clock) as at_work:
        await at_work.receipt()
        at_work.store, at_work.settler = Fused(at_work.store, fuse), Fused(at_work.settler, fuse)
        at_work.payments, at_work.payee = Fused(at_work.payments, fuse), Fused(at_work.payee, fuse)
        with suppress(Stopped):
            if dies_first:
                await at_work.step()
                node.rpc("anvil_dropAllTransactions")
                node.advance(130)
                node.mine(3)
            await drive(at_work, 1)
    async with settling_on(node, folder, rules, clock) as at_work:
        await drive(at_work)
        return fuse.blew, await at_work.only(), gate


@pytest.mark.parametrize("dies_first", [False, True], ids=["sent", "lost and signed again"])
async def test_a_stop_at_any_point_asks_once_and_pays_once(
    later_node: Anvil, later_payee: MppServer, tmp_path: Path, *, dies_first: bool
) -> None:
    node, payee, unkept = later_node, later_payee, []
    for points in range(1, 100):
        (folder := tmp_path / str(points)).mkdir()
        before = balance(node, PAYEE)
        blew, paid, gate = await pay_with_a_stop(node, payee, folder, points, dies_first=dies_first)
        assert paid.state is SettlementState.FINAL, points
        assert (len(payments_of(node, paid)), times_on_chain(node, paid)) == (1, 1), points
        assert balance(node, PAYEE) - before == COST, points
        asked, shown = payee.answers(f"asked /{gate}"), payee.answers(f"shown /{gate}")
        if len(asked) > 1:
            unkept.append(points)  # the challenge came, and nobody had kept it
        assert f"shown /{gate}/patient 200" in shown, points
        assert paid.is_unconfirmed == (len(shown) > 1), points  # pympp takes a transaction once
        if not blew:
            break
    assert 20 < points < 99
    assert len(unkept) == 2, unkept  # after its answer, and before it was stored
