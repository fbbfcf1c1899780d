"""Projections: exact by velocity, sensible by rhythm, and never less than what is spent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p402.collector.forecast.project import Method, Projection, project
from p402.collector.forecast.series import days_between, hour_at_or_after, start_of_day
from p402.vocabulary import NANO_PER_USD, Money

UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
MAY, JUNE = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
MAY_15 = datetime(2026, 5, 15, tzinfo=UTC)


def usd(amount: int) -> Money:
    return Money(amount * NANO_PER_USD)


def every_day(
    dollars: Callable[[date], int], first: datetime, until: datetime, hour: int = 12, zone: ZoneInfo = UTC_ZONE
) -> dict[int, int]:
    """Whole dollars at one hour of each day."""
    spent = {}
    for day in days_between(first, until, zone):
        at = hour_at_or_after(day.begin) + hour
        if at < hour_at_or_after(until):
            spent[at] = dollars(day.date) * NANO_PER_USD
    return spent


def office(day: date) -> int:
    return 10 if day.weekday() < 5 else 0


def may(hourly: dict[int, int], now: datetime = MAY_15, cap: Money | None = None) -> Projection:
    return project(hourly, MAY, JUNE, UTC_ZONE, now, cap)


def test_velocity_is_the_speed_so_far_times_the_time_that_remains() -> None:
    found = may({hour_at_or_after(MAY): 700 * NANO_PER_USD}, MAY + timedelta(days=7))
    assert found.velocity.per_day == usd(100)
    assert found.velocity.projected == usd(3100)
    half_a_day_later = may({hour_at_or_after(MAY): 700 * NANO_PER_USD}, MAY + timedelta(days=7, hours=12))
    assert half_a_day_later.velocity.projected == Money(round(Fraction(700 * 31 * NANO_PER_USD * 2, 15)))


def test_velocity_counts_the_real_length_of_a_month_in_which_the_clock_changes() -> None:
    start, end = start_of_day(date(2026, 3, 1), BERLIN), start_of_day(date(2026, 4, 1), BERLIN)
    found = project({hour_at_or_after(start): 743}, start, end, BERLIN, start + timedelta(hours=1))
    assert found.velocity.projected == Money(743 * 743)  # 31 days less an hour


def test_with_little_history_the_forecast_is_the_velocity_and_says_so() -> None:
    hourly = every_day(lambda _: 10, MAY - timedelta(days=6), MAY_15)
    found = may(hourly, cap=usd(300))
    assert (found.forecast.method, found.forecast.basis_days) == (Method.VELOCITY, 20)
    assert found.forecast.projected == found.velocity.projected == usd(310)
    assert (found.forecast.low, found.forecast.high, found.forecast.cap_passed_probability) == (None, None, None)
    assert may({**hourly, hour_at_or_after(MAY) - 7 * 24: 1}).forecast.method is Method.RHYTHM


def test_a_weekday_pattern_is_carried_to_the_end_of_the_month() -> None:
    hourly = every_day(office, MAY - timedelta(days=80), MAY_15)
    found = may(hourly)  # May 2026 has 21 working days, ten of them before the 15th, a Friday
    assert (found.spent, found.forecast.method) == (usd(100), Method.RHYTHM)
    assert abs(found.forecast.projected.nano_usd - usd(210).nano_usd) < 1000
    assert found.velocity.projected == Money(round(Fraction(100 * 31 * NANO_PER_USD, 14)))
    expected = [round(day.expected.nano_usd / NANO_PER_USD, 3) for day in found.days if day.date >= date(2026, 5, 15)]
    assert expected[:5] == [10, 0, 0, 10, 10]


def test_the_rest_of_today_is_what_usually_comes_at_these_hours() -> None:
    hourly = every_day(lambda _: 10, MAY - timedelta(days=80), MAY_15 + timedelta(hours=23), hour=12)
    by_hour = [may({h: n for h, n in hourly.items() if h < hour_at_or_after(at)}, at) for at in
               (MAY_15 + timedelta(hours=hour) for hour in (0, 11, 14))]  # fmt: skip
    today = [found.days[14] for found in by_hour]
    assert [round(day.expected.nano_usd / NANO_PER_USD, 3) for day in today] == [10, 10, 0]
    assert [day.spent for day in today] == [usd(0), usd(0), usd(10)]


def test_a_new_level_is_followed_within_days() -> None:
    jump = date(2026, 5, 5)
    hourly = every_day(lambda day: 30 if day >= jump else 10, MAY - timedelta(days=120), MAY_15)
    found = may(hourly)
    assert found.spent == usd(340)
    assert usd(340 + 17 * 20) < found.forecast.projected < usd(340 + 17 * 30)


def test_growth_of_many_weeks_is_carried_on_in_part() -> None:
    def grown(day: date) -> int:
        return round(100 * 1.01 ** (day - date(2026, 1, 1)).days)

    found = may(every_day(grown, MAY - timedelta(days=120), MAY_15))
    last_weeks = sum(grown(MAY_15.date() - timedelta(days=ago)) for ago in range(1, 22)) / 21
    actual = sum(grown(date(2026, 5, day)) for day in range(1, 32))
    projected = found.forecast.projected.nano_usd / NANO_PER_USD
    assert found.spent.nano_usd / NANO_PER_USD + 17 * last_weeks < projected < actual


def test_the_cap_is_reached_on_the_day_on_which_the_sum_comes_to_it() -> None:
    hourly = every_day(lambda _: 10, MAY - timedelta(days=80), MAY_15)
    for cap, reached in ((usd(145), date(2026, 5, 15)), (usd(255), date(2026, 5, 26)), (usd(315), None)):
        found = may(hourly, cap=cap)
        assert found.forecast.cap_reached_on == found.velocity.cap_reached_on == reached, cap
    past = may(hourly, cap=usd(45))
    assert past.forecast.cap_reached_on == past.velocity.cap_reached_on == date(2026, 5, 5)
    assert past.forecast.cap_passed_probability == 1
    assert may(hourly).forecast.cap_reached_on is None


def test_the_chance_of_passing_a_cap_falls_as_the_cap_rises() -> None:
    hourly = every_day(lambda day: 5 + day.toordinal() * 7919 % 11, MAY - timedelta(days=150), MAY_15)
    chances = [may(hourly, cap=usd(cap)).forecast.cap_passed_probability for cap in range(200, 500, 20)]
    assert all(chance is not None and 0 <= chance <= 1 for chance in chances)
    assert chances == sorted(chances, key=lambda chance: -(chance or 0))
    projected = may(hourly).forecast.projected
    assert may(hourly, cap=projected).forecast.cap_passed_probability == pytest.approx(0.5)


def test_nothing_spent_is_nothing_projected() -> None:
    for now in (MAY, MAY_15, JUNE, JUNE + timedelta(days=9)):
        found = may({}, now, usd(1))
        assert found.spent == found.velocity.projected == found.forecast.projected == found.velocity.per_day == usd(0)
        assert found.forecast.basis_days == 0
        assert found.forecast.cap_reached_on is None


def test_a_period_that_has_just_begun_has_no_velocity_but_a_history() -> None:
    hourly = every_day(office, MAY - timedelta(days=80), MAY)
    found = may(hourly, MAY)
    assert (found.elapsed, found.spent, found.velocity.projected) == (timedelta(0), usd(0), usd(0))
    assert round(found.forecast.projected.nano_usd / NANO_PER_USD) == 210


def test_a_period_that_has_not_begun_is_projected_from_what_is_known() -> None:
    hourly = every_day(office, MAY - timedelta(days=80), MAY_15)
    july = datetime(2026, 7, 1, tzinfo=UTC)
    found = project(hourly, JUNE, july, UTC_ZONE, MAY_15)
    assert (found.spent, found.velocity.projected) == (usd(0), usd(0))
    assert round(found.forecast.projected.nano_usd / NANO_PER_USD) == 220


def test_a_period_that_is_over_came_to_what_it_came_to() -> None:
    hourly = every_day(office, MAY - timedelta(days=80), JUNE)
    found = may(hourly, JUNE, usd(205))
    assert found.forecast.method is Method.FINAL
    assert found.velocity.projected == found.forecast.low == found.forecast.projected == found.forecast.high == usd(210)
    assert (found.forecast.cap_passed_probability, found.forecast.cap_reached_on) == (1.0, date(2026, 5, 29))


def test_a_node_that_fell_silent_is_not_expected_to_go_on() -> None:
    hourly = every_day(lambda _: 10, MAY - timedelta(days=150), MAY - timedelta(days=62))
    found = may(hourly)
    assert (found.forecast.method, found.forecast.projected) == (Method.RHYTHM, usd(0))


def test_history_longer_than_half_a_year_ago_says_nothing() -> None:
    assert may({hour_at_or_after(MAY_15) - 190 * 24: NANO_PER_USD}).forecast.method is Method.VELOCITY


HISTORIES = st.dictionaries(st.integers(-200 * 24, 31 * 24), st.integers(0, 10**13), max_size=60)
OFFSETS = st.timedeltas(timedelta(days=-40), timedelta(days=40))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]).map(ZoneInfo)
LENGTHS = st.sampled_from([timedelta(hours=7), timedelta(days=1), timedelta(days=7), timedelta(days=31)])
CAPS = st.none() | st.integers(0, 10**14).map(Money)


@settings(deadline=None, max_examples=150)
@given(HISTORIES, st.sampled_from([office, lambda _: 0]), OFFSETS, LENGTHS, ZONES, CAPS)
def test_whatever_was_spent_the_parts_of_a_projection_fit_together(
    spent: dict[int, int],
    usual: Callable[[date], int],
    offset: timedelta,
    length: timedelta,
    zone: ZoneInfo,
    cap: Money | None,
) -> None:
    first = hour_at_or_after(MAY)
    base = every_day(usual, MAY - timedelta(days=150), MAY + max(offset, timedelta(0)))
    known = {first + hour: nano for hour, nano in spent.items()}
    found = project(base | known, MAY, MAY + length, zone, MAY + offset, cap)
    forecast = found.forecast
    assert found.velocity.projected >= found.spent
    assert forecast.projected >= found.spent
    assert sum((day.spent for day in found.days), Money(0)) == found.spent
    assert sum((day.spent + day.expected for day in found.days), Money(0)) == forecast.projected
    assert all(day.expected >= Money(0) for day in found.days)
    if forecast.low is not None:
        assert forecast.high is not None
        assert found.spent <= forecast.low <= forecast.projected <= forecast.high
    if cap is not None:
        assert (forecast.cap_reached_on is not None) == (forecast.projected >= cap)
        assert (found.velocity.cap_reached_on is not None) == (found.velocity.projected >= cap)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.integers(0, 400), st.integers(0, 10**13), max_size=20), min_size=1, max_size=6), OFFSETS
)
def test_velocities_of_nodes_add_up_to_that_of_their_sum_but_for_the_rounding(
    nodes: list[dict[int, int]], offset: timedelta
) -> None:
    first = hour_at_or_after(MAY)
    together: dict[int, int] = {}
    for node in nodes:
        for hour, nano in node.items():
            together[first + hour] = together.get(first + hour, 0) + nano
    now = MAY + offset
    apart = sum(
        may({first + hour: nano for hour, nano in node.items()}, now).velocity.projected.nano_usd for node in nodes
    )
    assert abs(apart - may(together, now).velocity.projected.nano_usd) <= (len(nodes) + 1) / 2
