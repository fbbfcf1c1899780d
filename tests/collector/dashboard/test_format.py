"""Figures as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from p402.collector.dashboard.format import count, in_path, lasting, priced, short, usd
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


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "< 1 s"), (40, "40 s"), (725, "12 min 5 s"), (3_600, "1 h"), (12_000, "3 h 20 min"), (187_300, "2 d 4 h")],
)
def test_a_time_span_has_two_units_at_most(seconds: float, shown: str) -> None:
    assert lasting(timedelta(seconds=seconds)) == shown


def test_no_id_leads_elsewhere_as_a_part_of_an_address() -> None:
    assert in_path("notes/draft 1?#%2F") == "notes%2Fdraft%201%3F%23%252F"
    assert in_path("..") == "%252E%252E"  # a browser would go up
    assert in_path("...") == "..."
