"""Between two changes of prices, every card is the same."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.collector.price_settings import NegotiatedPriceSettings
from p402.collector.pricing import PriceBook, load_price_book
from p402.collector.pricing.changes import PriceChanges

DAY = datetime(2026, 5, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "since", "until"),
    [
        ((0, 0), (0, 0), (0, 30)),
        ((0, 29), (0, 0), (0, 30)),
        ((0, 30), (0, 30), (16, 30)),
        ((16, 30), (16, 30), (24, 0)),
        ((23, 59), (16, 30), (24, 0)),
    ],
)
def test_prices_change_at_midnight_and_at_times_of_the_day(
    at: tuple[int, int], since: tuple[int, int], until: tuple[int, int]
) -> None:
    changes = PriceChanges([time(16, 30), time(2, 0, tzinfo=timezone(timedelta(hours=1, minutes=30)))])
    hours = [DAY + timedelta(hours=hour, minutes=minute) for hour, minute in (at, since, until)]
    assert changes.span(hours[0]) == tuple(hours[1:])
    assert changes.span(hours[0].astimezone(timezone(timedelta(hours=-7)))) == tuple(hours[1:])


@pytest.fixture(scope="module")
def agreed() -> PriceBook:
    item = {"provider": "deepseek", "model": "deepseek-v4-*", "discount_percent": 10, "since": "2026-10-01"}
    return load_price_book([NegotiatedPriceSettings.model_validate(item)])


@given(
    st.sampled_from(["deepseek-chat", "deepseek-reasoner", "deepseek-flash", "deepseek-v4-flash", "deepseek-v4-pro"]),
    st.integers(0, 180 * 24 * 60),
    st.floats(0, 1, exclude_max=True),
)
def test_no_card_of_the_list_changes_between_two_changes(
    agreed: PriceBook, model: str, minutes: int, part: float
) -> None:
    at = DAY + timedelta(minutes=minutes)
    since, until = agreed.span(at)
    assert since <= at < until
    other = min(since + (until - since) * part, until - timedelta(microseconds=1))
    assert agreed.card("deepseek", model, other) == agreed.card("deepseek", model, at)
