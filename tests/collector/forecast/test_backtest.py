"""The replay itself, and what it must show on organisations that never were. All figures: ``make bench-forecast``."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from p402.collector.forecast.backtest import Sight, accuracy, replay, sight_of
from p402.collector.forecast.series import hour_at_or_after, start_of_day
from p402.vocabulary import NANO_PER_USD, Money
from support.synthetic_spend import ZONE, SyntheticSpend, organisations

APRIL, MAY = start_of_day(date(2026, 4, 1), ZONE), start_of_day(date(2026, 5, 1), ZONE)
TEN_A_DAY = {hour_at_or_after(APRIL) + 24 * day: 10 * NANO_PER_USD for day in range(30)}


def usd(amount: int) -> Money:
    return Money(amount * NANO_PER_USD)


@pytest.fixture(scope="module")
def spends() -> dict[str, SyntheticSpend]:
    return {spend.kind: spend for spend in organisations(11)}


def test_a_replay_guesses_every_midnight_inside_the_period() -> None:
    replayed = replay(TEN_A_DAY, APRIL, MAY, ZONE, usd(205))
    assert [guess.days_left for guess in replayed.guesses] == list(range(29, 0, -1))
    assert [guess.projection.spent for guess in replayed.guesses] == [usd(10 * day) for day in range(1, 30)]
    assert (replayed.actual, replayed.passed_with_days_left) == (usd(300), 9)
    assert replay(TEN_A_DAY, APRIL, MAY, ZONE, usd(300)).passed_with_days_left is None
    found = accuracy(replayed.guesses)
    assert (found.guesses, found.velocity_error, found.velocity_relative) == (29, usd(0), 0)
    assert found.forecast_relative < 1e-9


def test_a_guess_knows_nothing_of_what_comes_after_it(spends: dict[str, SyntheticSpend]) -> None:
    spend = spends["office"]
    middle = start_of_day(date(2026, 4, 15), ZONE)
    other = {hour: nano for hour, nano in spend.hourly.items() if hour < hour_at_or_after(middle)}
    one, two = replay(spend.hourly, APRIL, MAY, ZONE), replay(other, APRIL, MAY, ZONE)
    assert [guess.projection for guess in one.guesses[:14]] == [guess.projection for guess in two.guesses[:14]]


def test_sight_is_first_when_it_is_said_first_and_lasting_when_it_is_not_taken_back_before_the_cap_is_passed() -> None:
    replayed = replay(TEN_A_DAY, APRIL, MAY, ZONE, usd(205))
    said = {25, 24, 15, 14, 13, 12, 11, 10}
    assert sight_of(replayed, lambda it: (MAY - it.now) // timedelta(days=1) in said) == Sight(25, 15)
    assert sight_of(replayed, lambda _: True) == Sight(29, 29)
    assert sight_of(replayed, lambda _: False) == Sight(None, None)


def test_synthetic_spend_is_the_same_for_the_same_seed() -> None:
    one, two, other = organisations(3)[0], organisations(3)[0], organisations(4)[0]
    assert one.hourly == two.hourly != other.hourly


def test_the_forecast_beats_velocity_on_an_office(spends: dict[str, SyntheticSpend]) -> None:
    found = accuracy(replay(spends["office"].hourly, APRIL, MAY, ZONE).guesses)
    assert found.forecast_relative < found.velocity_relative
    assert found.forecast_error < found.velocity_error


def test_an_overrun_of_a_growing_organisation_surfaces_two_weeks_early(spends: dict[str, SyntheticSpend]) -> None:
    spend = spends["growing"]
    march = spend.spent(start_of_day(date(2026, 3, 1), ZONE), APRIL)
    replayed = replay(spend.hourly, APRIL, MAY, ZONE, Money(march))
    cap = march
    assert replayed.passed_with_days_left is not None
    sight = sight_of(replayed, lambda said: said.forecast.projected.nano_usd * 10 > cap * 9)
    assert sight.lasting is not None
    assert sight.lasting >= 14


def test_a_jump_in_the_last_week_cannot_be_seen_before_it(spends: dict[str, SyntheticSpend]) -> None:
    spend = spends["late jumps"]
    jump = spend.regimes[-1].first
    start, end = start_of_day(date(2026, 5, 1), ZONE), start_of_day(date(2026, 6, 1), ZONE)
    before = start_of_day(jump, ZONE)
    usual = spend.foreseeable(start, before, end)
    cap = usual * 11 // 10
    assert spend.spent(start, end) > cap
    replayed = replay(spend.hourly, start, end, ZONE, Money(cap))
    sight = sight_of(replayed, lambda said: said.forecast.projected > (said.cap or Money(0)))
    assert sight.lasting is None or sight.lasting < 14
