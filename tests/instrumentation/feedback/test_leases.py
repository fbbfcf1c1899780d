"""A lease is never overdrawn, whatever happens at the same time, and every call's way out frees what it took."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from p402.decisions import Measure, RateCard
from p402.instrumentation.feedback.leases import Hold, Lease
from p402.vocabulary import Usage

CARD = RateCard(decimals=0, rates=(2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0))
"""2 nano-USD for a token in, 10 for one out."""
FIVE_IN_THREE_OUT = Usage(input_tokens=5, output_tokens=3)


def a_lease(cost: int = 1_000, **more: int) -> Lease:
    granted = {Measure.COST: cost, **{Measure(name): amount for name, amount in more.items()}}
    return Lease("lease_1", granted, expires_at=100.0, now=0.0)


def taken(lease: Lease, **holds: int) -> Hold | None:
    return lease.take({Measure(name): amount for name, amount in holds.items()}, CARD, 1.0)


def test_a_finished_call_costs_what_it_used_and_gives_back_the_rest() -> None:
    lease = a_lease(requests=5, concurrency=1)
    hold = taken(lease, cost=400, requests=1, concurrency=1)
    assert hold is not None
    assert lease.available() == {Measure.COST: 600, Measure.REQUESTS: 4, Measure.CONCURRENCY: 0}
    assert taken(lease, cost=1, requests=1, concurrency=1) is None
    hold.finish(FIVE_IN_THREE_OUT)
    hold.finish(FIVE_IN_THREE_OUT)  # says nothing new
    assert lease.available() == {Measure.COST: 960, Measure.REQUESTS: 4, Measure.CONCURRENCY: 1}
    assert lease.state() == (1, {})


def test_a_call_that_was_not_billed_gives_back_everything() -> None:
    lease = a_lease(requests=5)
    hold = taken(lease, cost=400, requests=1)
    assert hold is not None
    hold.finish(None)
    assert lease.available() == {Measure.COST: 1_000, Measure.REQUESTS: 5}
    assert lease.state() == (0, {})


def test_a_call_that_was_served_at_another_price_counts_as_all_that_was_taken() -> None:
    lease = a_lease()
    hold = taken(lease, cost=400)
    assert hold is not None
    hold.finish(FIVE_IN_THREE_OUT, as_priced=False)
    assert lease.available() == {Measure.COST: 600}


def test_what_calls_under_way_need_is_kept_when_the_rest_goes_back() -> None:
    lease = a_lease()
    first, second = taken(lease, cost=400), taken(lease, cost=300)
    assert first is not None
    assert second is not None
    first.finish(FIVE_IN_THREE_OUT)
    lease.drain()
    assert lease.state() == (1, {Measure.COST: 300})
    assert taken(lease, cost=1) is None
    second.finish(FIVE_IN_THREE_OUT)
    assert lease.state() == (2, {})


def test_nothing_is_taken_when_the_lease_is_over() -> None:
    assert a_lease().take({Measure.COST: 1}, CARD, 100.0) is None


def test_it_is_low_when_less_than_a_quarter_is_left() -> None:
    lease = a_lease(concurrency=2)
    assert taken(lease, cost=740, concurrency=2) is not None
    assert not lease.is_low
    assert taken(lease, cost=20) is not None
    assert lease.is_low


@given(
    steps=st.lists(
        st.one_of(
            st.integers(1, 400),  # take so much
            st.tuples(
                st.integers(0, 20), st.one_of(st.none(), st.integers(0, 30))
            ),  # finish one of them with so many tokens
        ),
        max_size=60,
    )
)
def test_never_more_is_taken_and_spent_than_was_granted(steps: list[int | tuple[int, int | None]]) -> None:
    lease, under_way = a_lease(), list[tuple[Hold, int]]()
    spent = billed = 0
    for step in steps:
        if isinstance(step, int):
            hold = taken(lease, cost=step)
            assert (hold is not None) == (step <= 1_000 - spent - sum(bound for _, bound in under_way))
            if hold is not None:
                under_way.append((hold, step))
        elif under_way:
            place, tokens = step
            hold, bound = under_way.pop(place % len(under_way))
            if tokens is not None:
                tokens = min(tokens, bound // 10)  # a bound is one
                billed, spent = billed + 1, spent + 10 * tokens
            hold.finish(None if tokens is None else Usage(output_tokens=tokens))
    assert lease.available() == {Measure.COST: 1_000 - spent - sum(bound for _, bound in under_way)}
    assert lease.state()[0] == billed


def test_threads_together_never_take_more_than_was_granted() -> None:
    lease = a_lease(cost=10_000, concurrency=5)
    lock, at_once, most, spent = threading.Lock(), 0, 0, 0

    def call(seed: int) -> None:
        nonlocal at_once, most, spent
        chance = random.Random(seed)
        for _ in range(300):
            hold = taken(lease, cost=chance.randint(10, 300), concurrency=1)
            if hold is None:
                continue
            with lock:
                at_once += 1
                most = max(most, at_once)
            tokens = chance.choice([None, 0, 1])
            with lock:
                at_once -= 1
                spent += 10 * (tokens or 0)
            hold.finish(None if tokens is None else Usage(output_tokens=tokens))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(8)))
    assert most <= 5
    assert spent <= 10_000
    assert lease.available() == {Measure.COST: 10_000 - spent, Measure.CONCURRENCY: 5}
    assert lease.under_way == 0


def test_a_call_that_ends_while_this_thread_is_inside_is_accounted_for_a_moment_later() -> None:
    """As when a garbage collector ends a dropped stream in the middle of `take`."""
    lease = a_lease()
    hold = taken(lease, cost=400)
    assert hold is not None
    with lease._lock:
        hold.finish(FIVE_IN_THREE_OUT)
        assert lease._held[Measure.COST] == 400
    assert lease.available() == {Measure.COST: 960}
