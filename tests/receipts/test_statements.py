"""Settlement statements: their memo, their arithmetic, and that they read back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.receipts import SettlementMode, SettlementStatement, canonical, normalise_address
from p402.receipts.errors import Malformed, NotCanonical, NotSealable
from p402.vocabulary import Money
from support.sample_log import NINE, reference_statement, sample_log, sample_statement

ANCHOR = sample_statement(sample_log(3))
PAYEE = "0x" + "70" * 20


def test_the_memo_is_the_hash_of_the_canonical_statement() -> None:
    assert ANCHOR.memo() == hashlib.sha256(canonical(json.loads(ANCHOR.canonical()))).digest()


def test_a_statement_contains_the_text_of_its_checkpoint() -> None:
    assert json.loads(ANCHOR.canonical())["checkpoint"] == str(sample_log(3).checkpoint())


@given(st.integers(0, 10**15), st.integers(0, 999))
def test_a_payment_and_what_is_carried_over_are_what_is_due(accrued: int, carried: int) -> None:
    micro, rest = Money(accrued + carried).to_micro_usd()
    statement = replace(
        ANCHOR,
        mode=SettlementMode.PAY,
        payee=PAYEE,
        amount_micro_usd=micro,
        accrued=Money(accrued),
        carry_in=Money(carried),
        carry_out=rest,
    )
    assert SettlementStatement.parse(statement.canonical()) == statement


REFERENCE = reference_statement(sample_log(3))
INVOICE, ON_CHAIN = REFERENCE.paid_elsewhere
CARRIED = replace(ANCHOR, version=2, mode=SettlementMode.PAY, carry_out=ANCHOR.accrued)


def test_what_is_paid_elsewhere_lowers_what_is_due() -> None:
    partly = replace(REFERENCE, mode=SettlementMode.PAY, payee=PAYEE, amount_micro_usd=71_175, carry_out=Money(0))
    ahead = replace(REFERENCE, carry_in=Money(0), carry_out=Money.parse("-0.428825"))
    for statement in (REFERENCE, CARRIED, partly, ahead):
        assert SettlementStatement.parse(statement.canonical()) == statement


@pytest.mark.parametrize(
    ("statement", "change"),
    [
        (REFERENCE, {"version": 1}),
        (REFERENCE, {"paid_elsewhere": (ON_CHAIN, INVOICE)}),
        (REFERENCE, {"paid_elsewhere": (INVOICE, INVOICE), "carry_out": Money.parse("-1.178825")}),
        (REFERENCE, {"paid_elsewhere": (INVOICE,)}),
        (REFERENCE, {"payee": PAYEE}),
        (REFERENCE, {"amount_micro_usd": 71_175, "payee": PAYEE, "carry_out": Money(0)}),
        (REFERENCE, {"mode": SettlementMode.ANCHOR, "carry_out": Money.parse("-1.25")}),
        (CARRIED, {"payee": PAYEE}),
        (CARRIED, {"amount_micro_usd": 1_321_175, "carry_out": Money(0)}),
        (CARRIED, {"version": 3}),
    ],
)
def test_a_statement_of_version_2_that_contradicts_itself_is_refused(
    statement: SettlementStatement, change: dict[str, Any]
) -> None:
    with pytest.raises(NotSealable):
        replace(statement, **change)


@pytest.mark.parametrize(
    "change", [{"kind": "Invoice"}, {"kind": "a" * 33}, {"id": ""}, {"amount": Money(-1)}], ids=str
)
def test_a_payment_elsewhere_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(NotSealable):
        replace(INVOICE, **change)


def test_an_anchor_reads_back() -> None:
    for statement in (ANCHOR, replace(ANCHOR, prev_settlement="stl_0")):
        assert SettlementStatement.parse(statement.canonical()) == statement


@pytest.mark.parametrize(
    "change",
    [
        {"amount_micro_usd": 1},
        {"amount_micro_usd": -1, "carry_out": Money(1000)},
        {"payee": PAYEE},
        {"carry_out": Money(1)},
        {"mode": SettlementMode.PAY},
        {"mode": SettlementMode.PAY, "amount_micro_usd": -1, "carry_out": Money(1_321_176_000)},
        {"mode": SettlementMode.PAY, "amount_micro_usd": 1_321_174},
        {"payer": ANCHOR.payer.upper()},
        {"token": "0x20c0"},
        {"settlement_id": ""},
        {"organisation": " acme"},
        {"period_to": NINE - timedelta(seconds=1)},
    ],
    ids=str,
)
def test_a_statement_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(NotSealable):
        replace(ANCHOR, **change)


def test_a_checkpoint_that_is_none_is_refused() -> None:
    with pytest.raises(Malformed):
        replace(ANCHOR, checkpoint="nothing")


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": 3},
        {"v": "1"},
        {"paid_elsewhere": []},
        {"chain_id": "31337"},
        {"chain_id": True},
        {"amount_micro_usd": 0},
        {"amount_micro_usd": "00"},
        {"amount_micro_usd": "\u0660"},
        {"accrued_usd": "1.3211750"},
        {"accrued_usd": "1e3"},
        {"period": ["2026-11-23T09:00:00.000Z"]},
        {"period": ["2026-11-23T09:00:00.000Z", "2026-11-23T10:00:00.000Z", "2026-11-23T10:00:00.000Z"]},
        {"period": ["2026-11-23T09:00:00Z", "2026-11-23T10:00:00.000Z"]},
        {"period": ["2026-11-23T09:00:00.000", "2026-11-23T10:00:00.000"]},
        {"period": [1, 2]},
        {"prev_settlement": 7},
        {"mode": "give"},
        {"unknown": 1},
        {"checkpoint": None},
    ],
    ids=str,
)
def test_other_fields_types_and_spellings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        SettlementStatement.parse(canonical(json.loads(ANCHOR.canonical()) | change))


@pytest.mark.parametrize("data", [b"[]", b"{}", b"1", b'"x"', b"null"])
def test_json_that_is_no_statement_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        SettlementStatement.parse(data)


def test_bytes_that_are_not_canonical_are_refused() -> None:
    with pytest.raises(NotCanonical):
        SettlementStatement.parse(ANCHOR.canonical() + b" ")


def test_an_address_is_written_in_lower_case() -> None:
    assert normalise_address("0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266") == ANCHOR.payer
    for text in ("f39f", "0x" + "g" * 40, "0x" + "1" * 41):
        with pytest.raises(Malformed):
            normalise_address(text)
