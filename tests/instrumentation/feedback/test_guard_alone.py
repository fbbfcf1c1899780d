"""The guard by itself beside a collector, with a clock that the test holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from p402.decisions import AtCap, FailMode, Measure, Policy, Question, Rung
from p402.instrumentation.feedback.admission import Admission, Pending
from p402.instrumentation.feedback.client import Guard
from p402.instrumentation.feedback.fallback import Fallback
from p402.instrumentation.feedback.transport import Transport
from p402.vocabulary import Attribution, Usage
from support.feedback_server import Feedback, feedback_server
from support.metering import until

DOLLAR = 1_000_000_000
QUESTION = Question(
    attribution=Attribution("acme", "legal"), provider="openai", model="gpt-4o", input_tokens=1_000, output_tokens=1_000
)
"""It may cost $0.0125."""


class _Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def a_guard(feedback: Feedback, clock: Callable[[], float], mode: FailMode = FailMode.OPEN) -> Guard:
    at = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)
    return Guard(Transport(feedback.url, None), lambda: None, Fallback(mode, feedback.url), 20.0, clock, lambda: at)


def decided(found: Admission | Pending) -> Admission:
    return found if isinstance(found, Admission) else found.result()


def test_a_lease_goes_back_when_it_has_been_idle_for_five_seconds() -> None:
    clock = _Clock()
    with feedback_server(cap=100 * DOLLAR) as feedback:
        guard = a_guard(feedback, clock)
        decided(guard.decide(QUESTION)).finish(None)
        clock.seconds += 4.9
        guard._settling._look()
        assert feedback.held > 0
        clock.seconds += 0.1
        guard._settling._look()
        _wait(lambda: feedback.held == 0)
        guard.shutdown()


def test_a_lease_in_use_is_replaced_before_it_ends() -> None:
    clock = _Clock()
    with feedback_server(cap=100 * DOLLAR) as feedback:
        guard = a_guard(feedback, clock)
        decided(guard.decide(QUESTION)).finish(None)
        clock.seconds += 25.0
        decided(guard.decide(QUESTION)).finish(None)
        guard._settling._look()
        _wait(lambda: len(feedback.leases) == 2)
        _wait(lambda: feedback.open == 1)
        clock.seconds += 10.0
        assert isinstance(guard.decide(QUESTION), Admission)
        guard.shutdown()


def test_what_calls_under_way_need_is_kept_until_they_have_ended() -> None:
    clock = _Clock()
    with feedback_server(cap=100 * DOLLAR) as feedback:
        guard = a_guard(feedback, clock)
        admission = decided(guard.decide(QUESTION))
        clock.seconds += 6.0
        guard._settling._look()
        _wait(lambda: feedback.held == 12_500_000)
        admission.finish(None)
        _wait(lambda: feedback.held == 0)
        guard.shutdown()


def test_nothing_is_released_before_the_charges_have_come() -> None:
    with feedback_server(cap=100 * DOLLAR) as feedback:
        guard = a_guard(feedback, time.monotonic)
        admission = decided(guard.decide(QUESTION))
        admission.finish(Usage(input_tokens=1_000, output_tokens=1_000))
        feedback.tell("recall")
        assert admission.hold is not None
        guard._settling.give_back(admission.hold.lease)
        _wait(lambda: len(feedback.settled) > 1)
        assert feedback.held > 0
        span = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "p402.lease": "lease_0"}
        usage = {"gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 1_000}
        with feedback.lock:
            feedback.charge({**span, **usage})
        _wait(lambda: feedback.held == 0)
        guard.shutdown()


@pytest.mark.parametrize(
    ("cap", "verdict", "asked"), [(7_500_000, "clamp", 1), (10_500_000, "allow", 1), (400_000, "block", 2)]
)
def test_where_a_call_is_refused_it_is_asked_for_again_with_its_input_counted(
    cap: int, verdict: str, asked: int
) -> None:
    clamps = Policy(name="legal", at_cap=AtCap(rungs=(Rung.CLAMP,), least_output_tokens=100))
    with feedback_server(cap=cap, policy=clamps) as feedback:
        guard = a_guard(feedback, time.monotonic)
        bounded = replace(QUESTION, input_tokens=200, can_clamp=True)
        counted = replace(bounded, input_tokens=50)
        admission = decided(guard.decide(bounded, lambda _: counted))
        assert admission.decision.verdict == verdict
        assert [ask["question"]["input_tokens"] for ask in feedback.asked] == [200, 50][:asked]
        admission.finish(None)
        guard.shutdown()
        assert feedback.held == 0


def test_a_collector_that_fails_is_asked_less_and_less_often_and_again_when_it_is_back() -> None:
    clock = _Clock()
    with feedback_server(status=503) as feedback:
        guard = a_guard(feedback, clock)
        for _ in range(3):
            assert decided(guard.decide(QUESTION)).decision.code == "unguarded"
        assert isinstance(guard.decide(QUESTION), Admission)  # nobody waits any more
        clock.seconds += 1.0
        assert isinstance(tried := guard.decide(QUESTION), Pending)
        assert isinstance(guard.decide(QUESTION), Admission)  # one try is enough
        assert tried.result().decision.code == "unguarded"
        clock.seconds += 1.0
        assert isinstance(guard.decide(QUESTION), Admission)
        clock.seconds += 1.0
        feedback.status = 200
        assert decided(guard.decide(QUESTION)).decision.code == "no_budget"
        assert isinstance(guard.decide(QUESTION), Admission)
        guard.shutdown()


@pytest.mark.parametrize("is_older", [False, True])
def test_a_ceiling_holds_here_also_where_an_older_collector_tells_it_with_its_rules_only(*, is_older: bool) -> None:
    ceiling = {Measure.COST: 20_000_000}
    with feedback_server(
        cap=100 * DOLLAR, ceilings=ceiling, levels=("department", "session"), is_older=is_older
    ) as feedback:
        guard = a_guard(feedback, time.monotonic)
        for session in ("s-1", "s-2"):  # the second is not sent the rules again
            question = replace(QUESTION, attribution=Attribution("acme", "legal", session=session))
            decided(guard.decide(question)).finish(None)
            assert isinstance(found := guard.decide(replace(question, output_tokens=2_000)), Admission)
            assert found.decision.code == "request_ceiling"
        guard.shutdown()


def test_a_call_of_whose_path_nothing_was_told_counts_as_under_a_hard_budget_if_another_is() -> None:
    with feedback_server(cap=100 * DOLLAR, levels=("department", "session")) as feedback:
        guard = a_guard(feedback, time.monotonic)

        def code(session: str) -> str:
            asked = replace(QUESTION, attribution=Attribution("acme", "legal", session=session), output_tokens=20_000)
            admission = decided(guard.decide(asked))
            admission.finish(None)
            return admission.decision.code

        code("s-1")
        feedback.hard = True  # for the next one
        code("s-2")
        feedback.status = 503
        assert code("s-3") == "collector_unreachable"
        guard.shutdown()
        feedback.status = 200


def test_rules_count_as_current_for_half_a_minute_where_changes_are_not_heard_of() -> None:
    clock = _Clock()
    with feedback_server() as feedback:
        guard = a_guard(feedback, clock)
        guard._stream.close()
        decided(guard.decide(QUESTION))
        assert guard.is_free({"p402.organisation": "acme", "p402.department": "legal"})
        clock.seconds += 31.0
        assert not guard.is_free({"p402.organisation": "acme", "p402.department": "legal"})
        decided(guard.decide(QUESTION))
        assert feedback.asked[-1]["rules_version"] == 1
        assert guard.is_free({"p402.organisation": "acme", "p402.department": "legal"})
        guard.shutdown()


async def test_another_event_loop_than_asyncios_waits_too() -> None:
    with feedback_server() as feedback:
        guard = a_guard(feedback, time.monotonic)
        pending = guard.decide(QUESTION)
        assert isinstance(pending, Pending)
        assert (await pending._poll()).decision.code == "no_budget"
        guard.shutdown()


def _wait(condition: Callable[[], object]) -> None:
    asyncio.run(until(condition))
