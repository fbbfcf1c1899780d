"""Hours of UTC become days of a zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.collector.forecast.series import HOUR, days_between, hour_at_or_after, spent_between, start_of_day

BERLIN, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Asia/Beirut"]
).map(ZoneInfo)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def hours_of(day: date, zone: ZoneInfo) -> float:
    [found] = days_between(start_of_day(day, zone), start_of_day(day + timedelta(days=1), zone), zone)
    assert found.date == day
    return (found.end - found.begin) / HOUR


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 28), 24), (date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 10, 26), 24)],
)
def test_a_day_in_which_the_clock_changes_is_an_hour_shorter_or_longer(day: date, hours: int) -> None:
    assert hours_of(day, BERLIN) == hours
    begin = start_of_day(day, BERLIN)
    an_hour_each = dict.fromkeys(range(hour_at_or_after(begin) - 100, hour_at_or_after(begin) + 200), 1)
    assert spent_between(an_hour_each, begin, start_of_day(day + timedelta(days=1), BERLIN)) == hours


def test_a_month_with_a_change_of_the_clock_has_all_its_days() -> None:
    march = list(days_between(start_of_day(date(2026, 3, 1), BERLIN), start_of_day(date(2026, 4, 1), BERLIN), BERLIN))
    assert [day.date.day for day in march] == list(range(1, 32))
    assert sum((day.end - day.begin for day in march), timedelta()) == 31 * 24 * HOUR - HOUR


def test_a_day_begins_when_the_clock_skips_midnight() -> None:
    assert start_of_day(date(2025, 3, 30), ZoneInfo("Asia/Beirut")) == datetime(2025, 3, 29, 22, tzinfo=UTC)
    assert hours_of(date(2025, 3, 30), ZoneInfo("Asia/Beirut")) == 23


def test_a_day_that_a_zone_left_out_is_left_out() -> None:
    apia = ZoneInfo("Pacific/Apia")
    days = days_between(start_of_day(date(2011, 12, 29), apia), start_of_day(date(2012, 1, 1), apia), apia)
    assert [day.date.day for day in days] == [29, 31]


def test_where_days_begin_within_an_hour_the_hour_counts_for_the_day_that_ends() -> None:
    midnight = start_of_day(date(2026, 5, 2), KATHMANDU)  # 18:15 UTC
    assert midnight == datetime(2026, 5, 1, 18, 15, tzinfo=UTC)
    hour = hour_at_or_after(midnight)
    assert spent_between({hour - 1: 5, hour: 7}, midnight, midnight + HOUR * 24) == 7


@given(
    MOMENTS,
    st.timedeltas(timedelta(0), timedelta(days=70)),
    ZONES,
    st.dictionaries(st.integers(0, 1700), st.integers(1)),
)
def test_days_are_a_seamless_row_and_no_hour_is_lost_or_counted_twice(
    start: datetime, length: timedelta, zone: ZoneInfo, spent: dict[int, int]
) -> None:
    hourly = {hour_at_or_after(start) + offset: nano for offset, nano in spent.items()}
    days = list(days_between(start, start + length, zone))
    edges = [start, *(day.end for day in days)]
    assert [day.begin for day in days] == edges[:-1]
    assert edges[-1] == start + length
    assert [day.begin.astimezone(zone).date() for day in days] == [day.date for day in days]
    assert len({day.date for day in days}) == len(days)
    by_day = sum(spent_between(hourly, day.begin, day.end) for day in days)
    assert by_day == spent_between(hourly, start, start + length)
