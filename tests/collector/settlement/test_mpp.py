"""Payments to payees that speak MPP, with a chain in memory: challenges that end, doubts, a ledger that is compared."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from p402.collector.settlement.mpp import PayeeAnswer, PayeeAway
from p402.collector.settlement.ports import FailureKind, SettlementState
from p402.collector.settlement.reconcile import DiscrepancyKind
from p402.collector.settlement.rules import SettlementRules
from p402.receipts.errors import ChainUnavailable
from p402.receipts.settlement import LOCAL
from support.chain_twin import ChainTwin
from support.settling import PAY, PAYEE, Settling, settling

COST = 264_235  # µUSD, of each receipt
URL = "https://payee.example.com/pay"
RULES = SettlementRules(replace(PAY, payee_url=URL))


@dataclass
class PayeeTwin:
    """A payee in memory: it gives challenges by the clock of the chain, and takes what it is shown."""

    chain: ChainTwin
    seconds: int = 300
    away: bool = False
    status: int = 200
    reference: str | None = None
    """What its receipt is about; None: the transaction that it was shown."""
    is_last_call: bool = False
    """Whether the chain's node goes away when it was asked."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    async def call(self, url: str, body: bytes, headers: dict[str, str], *, allow_private: bool) -> PayeeAnswer:
        assert (url, allow_private) == (URL, False)
        if self.away:
            raise PayeeAway("no answer within 40 seconds")
        said = json.loads(body)
        if "Authorization" not in headers:
            self.asked.append(said)
            self.chain.away = self.is_last_call
            return PayeeAnswer(402, (self._challenge(said),))
        shown = json.loads(base64.urlsafe_b64decode(headers["Authorization"].removeprefix("Payment ") + "=="))
        self.shown.append(shown["payload"]["hash"])
        receipt = {"status": "success", "timestamp": "now", "reference": self.reference or self.shown[-1]}
        return PayeeAnswer(self.status, receipt=encoded(receipt), problem="No." if self.status != 200 else None)

    async def close(self) -> None:
        pass

    def _challenge(self, said: dict[str, Any]) -> str:
        micro = str(int(said["amount_usd"].replace(".", "").lstrip("0")))
        details = {"chainId": said["chain_id"]}
        request = {"amount": micro, "currency": said["token"], "recipient": said["payee"], "methodDetails": details}
        expires = datetime.fromtimestamp(self.chain.time + self.seconds, UTC).isoformat()
        number = len(self.asked)
        return (
            f'Payment id="ch-{number}", realm="payee.example.com", method="tempo", intent="charge", '
            f'request="{encoded(request)}", expires="{expires}"'
        )


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.fixture
async def paying(tmp_path: Path) -> AsyncIterator[Settling]:
    """One receipt, whose payee speaks MPP."""
    async with settling(tmp_path) as opened:
        opened.rules = RULES
        opened.payee = PayeeTwin(opened.chain)
        await opened.receipt()
        yield opened


def payee_of(paying: Settling) -> PayeeTwin:
    assert isinstance(paying.payee, PayeeTwin)
    return paying.payee


async def test_what_is_asked_names_the_amount_and_nobody(paying: Settling) -> None:
    await paying.settle()
    paid = await paying.only()
    assert payee_of(paying).asked == [
        {
            "amount_usd": "0.264235",
            "chain_id": LOCAL.chain_id,
            "payee": PAYEE,
            "settlement_id": paid.settlement_id,
            "token": LOCAL.token,
        }
    ]
    assert payee_of(paying).shown == [paid.tx_hash]
    assert (paid.state, paid.is_unconfirmed) == (SettlementState.FINAL, False)
    assert paying.chain.paid() == COST


async def test_a_challenge_that_ended_unpaid_is_followed_by_another_for_the_same_settlement(paying: Settling) -> None:
    paying.chain.loses_what_is_sent = True
    await paying.step()
    before = await paying.only()
    assert (before.state, before.mpp and before.mpp.asked) == (SettlementState.SIGNED, 1)
    [raw] = [raw for versions in paying.chain.sent.values() for raw in versions]
    assert json.loads(raw)["valid_before"] <= paying.chain.time + 300 - 15
    paying.chain.block(seconds=400)
    paying.chain.finalise()
    paying.chain.loses_what_is_sent = False
    await paying.step(2)
    await paying.settle()
    paid = await paying.only()
    assert (paid.settlement_id, paid.statement) == (before.settlement_id, before.statement)
    assert (paid.state, paid.mpp and paid.mpp.asked) == (SettlementState.FINAL, 2)
    assert len(payee_of(paying).asked) == 2
    assert paying.chain.paid() == COST


async def test_a_challenge_with_time_left_is_signed_for_again(paying: Settling) -> None:
    paying.chain.loses_what_is_sent = True
    await paying.step()
    paying.chain.block(seconds=130)
    paying.chain.finalise()
    paying.chain.loses_what_is_sent = False
    await paying.step()
    await paying.settle()
    assert (await paying.only()).state is SettlementState.FINAL
    assert len(payee_of(paying).asked) == 1


async def test_a_node_that_never_mines_ends_it_although_challenges_change(paying: Settling) -> None:
    paying.chain.loses_what_is_sent = True
    payee_of(paying).seconds = 80
    for _ in range(20):
        await paying.step()
        paying.chain.block(seconds=100)
        paying.chain.finalise()
    failed = await paying.only()
    assert (failed.state, failed.failure) == (SettlementState.FAILED, FailureKind.DROPPED)
    assert len(payee_of(paying).asked) == 5


async def test_where_the_nonce_was_used_by_somebody_else_the_payment_is_in_doubt(paying: Settling) -> None:
    paying.chain.loses_what_is_sent = True
    await paying.step()
    paying.chain.use_up((await paying.under_way()).signed.nonce_key)
    paying.chain.finalise()
    await paying.step()
    failed = await paying.only()
    assert (failed.failure, failed.in_doubt) == (FailureKind.SUPERSEDED, True)
    await paying.receipt()
    paying.chain.loses_what_is_sent = False
    await paying.settle()
    _, anchored = await paying.settlements()
    assert (anchored.state, anchored.pays_micro_usd) == (SettlementState.FINAL, 0)


async def test_money_that_the_payees_policy_holds_back_is_in_doubt_though_the_log_is_anchored(paying: Settling) -> None:
    await paying.step()
    paying.chain.block(outcome="diverted")
    paying.chain.finalise()
    await paying.step()
    failed = await paying.only()
    assert (failed.failure, failed.in_doubt) == (FailureKind.DIVERTED, True)


async def test_both_transfers_are_known_when_the_chain_is_compared(paying: Settling) -> None:
    await paying.settle()
    for _ in range(3):
        paying.chain.block()
    paying.chain.finalise()
    checked = await paying.reconciler.check()
    assert (checked.transfers, checked.found) == (2, ())


async def test_a_payment_that_is_not_on_the_chain_is_missed_though_the_anchor_is_there(paying: Settling) -> None:
    await paying.settle()
    [landed] = paying.chain.landed
    other = replace(landed.transfers[0], memo=bytes(32))
    paying.chain.landed = [replace(landed, transfers=(other, landed.transfers[1]))]
    checked = await paying.reconciler.check()
    assert [found.kind for found in checked.found] == [DiscrepancyKind.UNKNOWN_MEMO, DiscrepancyKind.MISSING]


async def test_organisations_with_such_payees_share_no_transaction(paying: Settling) -> None:
    await paying.receipt("initech")
    await paying.settle()
    both = [*await paying.settlements(), *await paying.settlements("initech")]
    assert len({settlement.tx_hash for settlement in both}) == 2


@pytest.mark.parametrize("change", [{"payee_url": URL + "/new"}, {"payee_url": None}, {"payee": "0x" + "33" * 20}])
async def test_what_was_asked_is_not_paid_after_the_configuration_changed(
    paying: Settling, change: dict[str, Any]
) -> None:
    payee_of(paying).is_last_call = True
    with pytest.raises(ChainUnavailable):
        await paying.step()
    paying.chain.away = False
    waiting = await paying.only()
    assert (waiting.state, waiting.mpp and waiting.mpp.asked) == (SettlementState.PLANNED, 1)
    paying.rules = SettlementRules(replace(PAY, **{"payee_url": URL, **change}))
    await paying.step()
    assert (await paying.only()).failure is FailureKind.CONFIGURATION
    assert paying.chain.sent == {}


async def test_a_challenge_that_was_kept_is_paid_after_a_restart_without_asking_again(paying: Settling) -> None:
    payee_of(paying).is_last_call = True
    with pytest.raises(ChainUnavailable):
        await paying.step()
    paying.chain.away = False
    await paying.settle()
    assert (await paying.only()).state is SettlementState.FINAL
    assert len(payee_of(paying).asked) == 1


async def test_a_receipt_about_another_transaction_confirms_nothing(paying: Settling) -> None:
    payee_of(paying).reference = "0x" + "ab" * 32
    await paying.settle()
    paid = await paying.only()
    assert paid.mpp is not None
    assert (paid.is_unconfirmed, paid.mpp.refusal) == (True, "The payee's receipt is about another transaction.")
    payee_of(paying).reference = None
    paying.books.clock.advance(minutes=1)
    await paying.step()
    assert not (await paying.only()).is_unconfirmed


async def test_a_payee_is_shown_it_ever_more_seldom_and_after_a_week_no_more(paying: Settling) -> None:
    payee_of(paying).status = 403
    await paying.settle()
    for _ in range(40):
        paying.books.clock.advance(hours=6)
        await paying.step()
    shown = len(payee_of(paying).shown)
    assert 20 < shown < 40
    paying.books.clock.advance(days=30)
    await paying.step()
    assert len(payee_of(paying).shown) == shown
    assert (await paying.settlements())[0].is_unconfirmed
