"""Periods: when they begin and end, wherever the clocks are, and that a rolling one forgets nothing too early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.collector.budgets.period import Period, PeriodKind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CALENDAR = [PeriodKind.DAY, PeriodKind.WEEK, PeriodKind.MONTH]
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Havana",  # midnight comes twice
    "America/Sao_Paulo",  # midnight was skipped
    "America/Caracas",  # half an hour was skipped
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # clocks change by half an hour
    "Pacific/Apia",  # 30 December 2011 was skipped
    "Pacific/Kiritimati",
]
MOMENTS = st.datetimes(datetime(1995, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
LENGTHS = st.integers(1, 366 * 86_400).map(lambda seconds: timedelta(seconds=seconds)) | st.sampled_from(
    [timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=12), timedelta(hours=24), timedelta(days=30)]
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "zone", "at", "start", "end"),
    [
        ("month", "UTC", "2026-02-14 10:00", "2026-02-01 00:00", "2026-03-01 00:00"),
        ("month", "UTC", "2026-12-31 23:59", "2026-12-01 00:00", "2027-01-01 00:00"),
        ("month", "Europe/Berlin", "2026-03-31 21:59", "2026-02-28 23:00", "2026-03-31 22:00"),  # summer time begins
        ("month", "Europe/Berlin", "2026-03-31 22:00", "2026-03-31 22:00", "2026-04-30 22:00"),
        ("day", "Europe/Berlin", "2026-03-29 12:00", "2026-03-28 23:00", "2026-03-29 22:00"),  # 23 hours
        ("day", "Europe/Berlin", "2026-10-25 12:00", "2026-10-24 22:00", "2026-10-25 23:00"),  # 25 hours
        ("week", "UTC", "2026-06-07 23:59", "2026-06-01 00:00", "2026-06-08 00:00"),  # a Sunday
        ("week", "UTC", "2026-06-08 00:00", "2026-06-08 00:00", "2026-06-15 00:00"),
        ("week", "UTC", "2027-01-01 00:00", "2026-12-28 00:00", "2027-01-04 00:00"),
        ("month", "Asia/Kolkata", "2026-05-31 18:30", "2026-05-31 18:30", "2026-06-30 18:30"),
        ("day", "Asia/Kathmandu", "2026-05-31 18:14", "2026-05-30 18:15", "2026-05-31 18:15"),
        ("day", "America/Sao_Paulo", "2018-11-04 12:00", "2018-11-04 03:00", "2018-11-05 02:00"),
        ("day", "America/Havana", "2026-11-01 04:30", "2026-11-01 04:00", "2026-11-02 05:00"),
        ("day", "Pacific/Apia", "2011-12-30 09:59", "2011-12-29 10:00", "2011-12-30 10:00"),
        ("day", "Pacific/Apia", "2011-12-30 10:00", "2011-12-30 10:00", "2011-12-31 10:00"),
    ],
)
def test_a_calendar_period_begins_and_ends_at_local_midnight(
    kind: str, zone: str, at: str, start: str, end: str
) -> None:
    window = Period(kind=PeriodKind(kind), time_zone=zone).window(utc(at))
    assert (window.start, window.end) == (utc(start), utc(end))


@given(at=MOMENTS, kind=st.sampled_from(CALENDAR), zone=st.sampled_from(ZONES))
def test_every_moment_lies_in_one_period_and_the_next_begins_where_it_ends(
    at: datetime, kind: PeriodKind, zone: str
) -> None:
    period = Period(kind=kind, time_zone=zone)
    window = period.window(at)
    assert window.end is not None
    assert window.start <= at < window.end
    assert period.window(window.start) == window
    assert period.window(window.end - timedelta(microseconds=1)) == window
    assert period.window(window.end).start == window.end
    assert period.account(at) == period.account(window.start) == period.held_in(at) == period.accounts_since(at)
    last = (window.end - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
    assert (last + timedelta(days=1)).day == 1 or kind is not PeriodKind.MONTH


@given(at=MOMENTS)
def test_a_total_has_one_account_and_no_end(at: datetime) -> None:
    period = Period(kind=PeriodKind.TOTAL)
    assert (period.account(at), period.window(at).end) == (0, None)


@given(at=MOMENTS, length=LENGTHS, ago=st.data())
def test_a_rolling_period_counts_all_of_its_span_and_never_two_slices_more(
    at: datetime, length: timedelta, ago: Any
) -> None:
    period = Period(kind=PeriodKind.ROLLING, length=length)
    inside = at - timedelta(microseconds=ago.draw(st.integers(0, length // timedelta(microseconds=1))))
    assert period.account(inside) >= period.accounts_since(at)
    assert period.slice_millis is not None
    slice_ = timedelta(milliseconds=period.slice_millis)
    assert period.account(at - length - slice_) < period.accounts_since(at)
    assert slice_ <= max(length / 12, timedelta(seconds=1))


@given(at=MOMENTS, length=LENGTHS, later=st.integers(0, 10**9))
def test_what_a_rolling_period_has_forgotten_never_comes_back(at: datetime, length: timedelta, later: int) -> None:
    period = Period(kind=PeriodKind.ROLLING, length=length)
    assert period.accounts_since(at) <= period.accounts_since(at + timedelta(seconds=later))
