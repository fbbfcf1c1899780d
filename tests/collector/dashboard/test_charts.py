"""What charts show, and the part of the usage that an address asks for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from p402.collector.dashboard.charts import burn_down, stack_by_day
from p402.collector.dashboard.format import cents, change, gist, percent, share, someone
from p402.collector.dashboard.view import View
from p402.collector.forecast.project import project
from p402.collector.usage.slices import Dimension, Period, UsageSum
from p402.vocabulary import Attribution, Money

NOW = datetime(2026, 5, 15, 9, tzinfo=UTC)
DAY = 20_588  # 2026-05-15
USD = 1_000_000_000


def used(day: int, name: str, dollars: int) -> UsageSum:
    return UsageSum((day, name), Money(dollars * USD), 1, 0, 10, 5, 0)


def test_the_dearest_are_shown_and_the_rest_together() -> None:
    sums = [used(DAY - 1, f"d{number}", number) for number in range(1, 10)]
    chart = stack_by_day("x", "", sums, Period(date(2026, 5, 14), date(2026, 5, 15)), date(2026, 5, 15))
    assert chart.names == ["d9", "d8", "d7", "d6", "d5", "d4", "d3", "others"]
    [(first, amounts), (second, nothing)] = chart.days
    assert (first, second) == (DAY - 1, DAY)
    assert [amount.nano_usd // USD for amount in amounts] == [9, 8, 7, 6, 5, 4, 3, 3]
    assert not any(amount.nano_usd for amount in nothing)


def test_what_has_not_come_yet_is_not_drawn_and_nobody_is_called_unattributed() -> None:
    chart = stack_by_day("x", "", [used(DAY, "", 1)], Period(date(2026, 5, 14), date(2026, 5, 31)), date(2026, 5, 15))
    assert chart.names == ["unattributed"]
    assert [day for day, _ in chart.days] == [DAY - 1, DAY]


def test_lines_meet_today_and_end_at_what_is_expected() -> None:
    start, end = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    hourly = {int(start.timestamp()) // 3600 + 24 * day + 9: USD for day in range(14)}
    projection = project(hourly, start, end, ZoneInfo("UTC"), NOW, Money(20 * USD))
    chart = burn_down("x", "", projection)
    assert [column.style for column in chart.columns] == ["actual", "expected", "cap"]
    by_day = dict(chart.days)
    actual, expected, cap = by_day[DAY]
    assert actual == Money(14 * USD)
    assert expected is not None
    assert expected.nano_usd >= actual.nano_usd
    assert cap == Money(20 * USD)
    assert by_day[DAY - 1][1] is None
    assert by_day[DAY + 1][0] is None
    assert by_day[chart.days[-1][0]][1] == projection.forecast.projected


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("month", date(2026, 5, 1), date(2026, 5, 31)),
        ("2026-02", date(2026, 2, 1), date(2026, 2, 28)),
        ("today", date(2026, 5, 15), date(2026, 5, 15)),
        ("7d", date(2026, 5, 9), date(2026, 5, 15)),
    ],
)
def test_a_period_is_whole_days(asked: str, first: date, last: date) -> None:
    assert View(period=asked).days(NOW) == Period(first, last)


@pytest.mark.parametrize("asked", ["2026-13", "yesterday", "0000-01", ""])
def test_another_period_is_refused(asked: str) -> None:
    with pytest.raises(ValidationError):
        View(period=asked)


def test_a_slice_is_what_is_asked_for_as_far_as_it_may_be_seen() -> None:
    view = View(department="", model="gpt-4o")
    assert view.only == {Dimension.DEPARTMENT: "", Dimension.MODEL: "gpt-4o"}
    assert view.slice("acme", Attribution(), NOW).only == view.only
    assert view.slice("acme", Attribution(department="legal"), NOW).period.days == 0
    assert View().slice("acme", Attribution(employee="e-1"), NOW).only == {Dimension.EMPLOYEE: "e-1"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, {"department": "legal"}),
        ({"department": None}, {}),
        ({"client": ""}, {"department": "legal", "client": ""}),
    ],
)
def test_a_link_keeps_the_view(changed: Mapping[str, str | None], expected: Mapping[str, str]) -> None:
    assert View(department="legal").parameters(**changed) == expected


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "$0.00"),
        (1, "< $0.01"),
        (5_000_000, "< $0.01"),
        (15_000_000, "$0.02"),
        (264_235_000, "$0.26"),
        (1_234_565_000_000, "$1,234.56"),
        (-264_235_000, "−$0.26"),
    ],
)
def test_sums_are_rounded_half_even_to_the_cent(nano: int, shown: str) -> None:
    assert cents(Money(nano)) == shown


def test_shares_and_changes_are_whole_per_cents() -> None:
    assert percent(Money(1), Money(3)) == "33 %"
    assert percent(Money(2), Money(3)) == "67 %"
    assert percent(1, 1000) == "< 1 %"
    assert percent(0, 0) == "—"
    assert share(Money(1), Money(3)) == 333
    assert change(Money(112), Money(100)) == "+12 %"
    assert change(Money(97), Money(100)) == "−3 %"
    assert change(Money(5), Money(0)) == "new"
    assert change(Money(5), Money(5)) == "± 0 %"


def test_large_counts_are_given_about() -> None:
    assert [gist(number) for number in (7, 999, 12_847, 3_410_000)] == ["7", "999", "12.8 k", "3.41 M"]


def test_the_same_person_is_the_same_when_hidden() -> None:
    assert someone("e-1") == someone("e-1")
    assert someone("e-1") != someone("e-2")
    assert "e-1" not in someone("e-1")
