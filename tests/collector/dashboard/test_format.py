"""Figures as people read them."""

from __future__ import annotations

import pytest

from p402.collector.dashboard.format import count, priced, short, usd
from p402.vocabulary import Money


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (264_235_000, "$0.264235"),
        (1_234_500_000_000, "$1,234.50"),
        (1_000_000_000, "$1.00"),
        (1, "$0.000000001"),
        (0, "$0.00"),
        (-5_000_000, "−$0.005"),
    ],
)
def test_dollars_have_two_decimals_at_least_and_none_is_cut(nano: int, shown: str) -> None:
    assert usd(Money(nano)) == shown


def test_a_call_without_a_price_is_never_shown_as_free() -> None:
    assert usd(None) == "unpriced"
    assert priced("0", 2) == "2 unpriced"
    assert priced("0.5", 1) == "$0.50 + 1 unpriced"
    assert priced(Money(0), 0) == "$0.00"


def test_counts_and_hashes_are_readable() -> None:
    assert count(12_847) == "12,847"
    assert short("0123456789abcdef", 4) == "0123…"
    assert short("01234", 4) == "01234"
