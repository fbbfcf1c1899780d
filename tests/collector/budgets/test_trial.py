"""What a cap would have done to calls that were made."""

from __future__ import annotations

import random

import pytest

from p402.collector.budgets.trial import tried, tried_each

CALLS = [(1_000, 40), (2_000, 40), (3_000, 40), (4_000, 10)]


def test_a_call_that_does_not_fit_is_refused_and_takes_nothing() -> None:
    trial = tried(CALLS, 100)
    assert (trial.calls, trial.amount, trial.most) == (4, 130, 130)
    assert (trial.reached_at, trial.refused, trial.refused_amount) == (3_000, 1, 40)  # the last one still fits


def test_a_cap_that_is_reached_exactly_refuses_nothing() -> None:
    trial = tried(CALLS, 130)
    assert (trial.reached_at, trial.refused) == (None, 0)


def test_a_rolling_cap_has_room_again_when_what_was_spent_is_older_than_its_length() -> None:
    calls = [(0, 60), (500, 60), (1_000, 60), (1_400, 60)]
    trial = tried(calls, 100, length=1_000)
    assert (trial.refused, trial.reached_at) == (2, 500)  # at 1,000 the first is forgotten, at 1,400 the third is not
    assert trial.most == 180  # from 500 to 1,400, without the cap


def test_what_came_before_fills_a_rolling_period_and_is_not_counted() -> None:
    trial = tried([(0, 60), (500, 60)], 100, length=1_000, since=400)
    assert (trial.calls, trial.amount, trial.refused) == (1, 60, 1)


def test_a_ceiling_looks_at_each_call_alone() -> None:
    trial = tried_each(CALLS, 39)
    assert (trial.refused, trial.refused_amount, trial.most, trial.reached_at) == (3, 120, 40, 1_000)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("length", [None, 50])
def test_what_is_left_is_never_above_the_cap(seed: int, length: int | None) -> None:
    chance = random.Random(seed)
    at, calls = 0, []
    for _ in range(200):
        at += chance.randrange(10)
        calls.append((at, chance.randrange(20)))
    cap = chance.randrange(1, 200)
    trial = tried(calls, cap, length)
    assert trial.amount == sum(amount for _, amount in calls)
    kept: list[tuple[int, int]] = []
    for moment, amount in calls:
        counted = sum(one for then, one in kept if length is None or then > moment - length)
        if counted + amount <= cap:
            kept.append((moment, amount))
            assert counted + amount <= cap
    assert trial.refused == len(calls) - len(kept)
    assert trial.refused_amount == trial.amount - sum(amount for _, amount in kept)
