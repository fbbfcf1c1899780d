"""Money: exact, written one way, and never a float."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.vocabulary import Money

AMOUNTS = st.integers(-(2**63), 2**63 - 1).map(Money)


@given(AMOUNTS)
def test_an_amount_reads_back_as_it_was_written(amount: Money) -> None:
    assert Money.parse(str(amount)) == amount


@given(AMOUNTS)
def test_the_text_is_the_exact_decimal(amount: Money) -> None:
    assert Fraction(Decimal(str(amount))) == Fraction(amount.nano_usd, 10**9)
    assert not str(amount).endswith(".0")


@given(AMOUNTS, AMOUNTS)
def test_sums_and_differences_are_exact(one: Money, other: Money) -> None:
    assert (one + other).nano_usd == one.nano_usd + other.nano_usd
    assert one - other == one + -other
    assert (one < other) == (one.nano_usd < other.nano_usd)


@given(AMOUNTS)
def test_micro_dollars_are_rounded_down_and_the_rest_is_carried(amount: Money) -> None:
    micro, rest = amount.to_micro_usd()
    assert Money(micro * 1000) + rest == amount
    assert 0 <= rest.nano_usd < 1000


@pytest.mark.parametrize(
    ("text", "nano"),
    [("0.264235", 264_235_000), ("12", 12 * 10**9), ("-0.000000001", -1), ("0", 0), ("007", 7 * 10**9)],
)
def test_examples(text: str, nano: int) -> None:
    assert Money.parse(text) == Money(nano)


@pytest.mark.parametrize("text", ["", ".5", "1.", "1e3", "+1", " 1", "1\n", "0.0000000001", "NaN", "1,5", "$1"])
def test_other_texts_are_no_amounts(text: str) -> None:
    with pytest.raises(ValueError, match="decimal string"):
        Money.parse(text)


@pytest.mark.parametrize("value", [1.0, True, "1", None, Decimal(1)], ids=repr)
def test_only_whole_numbers_are_counted(value: Any) -> None:
    with pytest.raises(TypeError, match="whole nano-dollars"):
        Money(value)
