"""Acme's people work as people do, the same for the same seed, and spend about $2,400 a month by honest volumes."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from p402.collector.demo.acme.history import DAYS, SEED
from p402.collector.demo.acme.people import DEPARTMENTS, directory, people
from p402.collector.demo.acme.tasks import TASKS
from p402.collector.demo.acme.work import ZONE, is_working_day, work_of_day
from p402.collector.directory.scim_document import read_scim
from support.acme import cost_of, made_on, made_until

MONDAY = date(2026, 11, 2)
WEEK = [MONDAY + timedelta(days=number) for number in range(7)]
USD = 1_000_000_000


def test_a_hundred_people_work_at_acme() -> None:
    staff = people(SEED)
    assert len(staff) == len({person.id for person in staff}) == len({person.name for person in staff}) == 100
    listed = read_scim(json.dumps(directory(SEED)).encode())
    assert [(one.employee, one.display_name, one.department) for one in listed.people] == [
        (person.id, person.name, person.department.id) for person in staff
    ]
    assert [one.department for one in listed.departments] == [department.id for department in DEPARTMENTS]
    assert all(task in TASKS for department in DEPARTMENTS for task in department.tasks)


def test_the_same_seed_gives_the_same_calls_and_another_one_others() -> None:
    def calls(seed: int) -> list[tuple[object, ...]]:
        return [
            (call.trace_id, call.span_id, call.request, call.attribution, call.usage, call.started_at, call.luck)
            for call in work_of_day(seed, people(seed), MONDAY, MONDAY)
        ]

    assert calls(1) == calls(1)
    assert not {call[0] for call in calls(1)} & {call[0] for call in calls(2)}


def test_ids_are_used_once() -> None:
    calls = [call for day in WEEK for call in work_of_day(SEED, people(SEED), day, MONDAY)]
    for of in ("span_id", "request", "response"):
        assert len({getattr(call, of) for call in calls}) == len(calls)


def test_a_day_is_the_same_however_long_the_history_is() -> None:
    day, earlier = MONDAY + timedelta(days=1), MONDAY - timedelta(days=3)
    ids = [{call.span_id for call in work_of_day(SEED, people(SEED), day, first)} for first in (MONDAY, earlier)]
    assert ids[0] == ids[1]


def test_work_has_the_rhythm_of_working_days() -> None:
    counts = {day: len(work_of_day(SEED, people(SEED), day, MONDAY)) for day in WEEK}
    assert min(counts[day] for day in WEEK if is_working_day(day)) > 800
    assert max(counts[day] for day in WEEK if not is_working_day(day)) < 100
    hours = Counter(
        call.started_at.astimezone(ZONE).hour
        for call in work_of_day(SEED, people(SEED), MONDAY, MONDAY)
        if call.attribution.employee is not None
    )
    assert sum(hours[hour] for hour in range(9, 18)) > 0.8 * hours.total()
    assert hours[12] < min(hours[10], hours[14])
    assert not any(hours[hour] for hour in range(7))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("now", ["2026-11-26T13:00:00Z", "2026-08-23T20:00:00Z", "2027-02-11T18:00:00Z"])
def test_thirty_days_cost_about_2400_dollars_at_published_prices(now: str) -> None:
    until = datetime.fromisoformat(now)
    first = until.astimezone(ZONE).date() - timedelta(days=DAYS - 1)
    since = until - timedelta(days=30)
    calls = [made for made in made_until(SEED, first, until) if made.call.started_at >= since]
    assert 2_200 * USD < sum(map(cost_of, calls)) < 2_600 * USD
    assert 25_000 < len(calls) < 40_000
    assert 6_000 < len({made.call.attribution.session for made in calls}) < 10_000


def test_what_the_evaluator_finds_tells_equal_models_from_worse_ones() -> None:
    first = date(2026, 10, 1)
    days = [first + timedelta(days=number) for number in range(21)]
    scores: dict[tuple[str, str], list[float]] = {}
    for made in (made for day in days for made in made_on(SEED, day, first)):
        if made.score is not None:
            scores.setdefault((made.call.task.id, made.decision.model), []).append(made.score)
    mean = {place: sum(found) / len(found) for place, found in scores.items()}

    def loss(task: str, dear: str, cheap: str) -> float:
        return mean[task, dear] - mean[task, cheap]

    assert abs(loss("code_completion", "claude-opus-4-5", "claude-haiku-4-5")) < 0.02
    assert abs(loss("content_generation", "gpt-4o", "gpt-4o-mini")) < 0.02
    assert abs(loss("financial_qa", "gemini-2.5-pro", "gemini-2.5-flash")) < 0.02
    assert loss("complex_code_review", "claude-opus-4-5", "claude-sonnet-4-5") > 0.03
    assert loss("contract_analysis", "claude-opus-4-5", "claude-sonnet-4-5") > 0.03
    assert all(len(scores["code_completion", model]) > 100 for model in ("claude-opus-4-5", "claude-haiku-4-5"))


def test_nobody_works_in_the_future() -> None:
    now = datetime(2026, 11, 3, 10, 30, tzinfo=UTC)
    assert max(made.call.ended_at for made in made_until(SEED, MONDAY, now)) < now
