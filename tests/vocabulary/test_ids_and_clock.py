"""Ids sort by time; times are written one way."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from p402.vocabulary import SystemClock, new_id, rfc3339

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is beside it


@given(MOMENTS, MOMENTS)
def test_ids_sort_by_their_milliseconds(one: datetime, other: datetime) -> None:
    if int(one.timestamp() * 1000) < int(other.timestamp() * 1000):
        assert new_id("rcpt", one) < new_id("rcpt", other)


@given(MOMENTS)
def test_an_id_is_a_prefix_and_26_characters(moment: datetime) -> None:
    assert re.fullmatch(r"sess_[0-9A-HJKMNP-TV-Z]{26}", new_id("sess", moment))


def test_ids_of_one_instant_differ() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert len({new_id("rcpt", now) for _ in range(1000)}) == 1000


def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    new_id("rcpt", now)  # random numbers are drawn ahead
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, new_id("rcpt", now).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode() != new_id("rcpt", now)
    os.close(reader)
    os.close(writer)


def test_times_are_utc_with_milliseconds() -> None:
    moment = datetime(2026, 11, 23, 10, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=1)))
    assert rfc3339(moment) == "2026-11-23T09:00:00.123Z"


@given(MOMENTS)
def test_a_written_time_reads_back_to_the_millisecond(moment: datetime) -> None:
    back = datetime.fromisoformat(rfc3339(moment))
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


def test_the_systems_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
