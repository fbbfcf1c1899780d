"""The guard beside a collector that answers, is away, hangs, changes its mind or wants its money back."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import openai
import pytest

from p402.collector.demo.providers import MockProviders, Reply
from p402.decisions import Action, Condition, FailMode, Policy, Rule
from p402.instrumentation import attribution
from support.guarded import guarded
from support.metering import MESSAGES, Llm, Spans, until
from support.providers import providers_thread

DOLLAR = 1_000_000_000
IMPATIENT = {"P402_DECISION_TIMEOUT_MS": "50"}
BLOCKED = Policy(name="legal", version=4, rules=(Rule(name="stop", when=Condition(), then=Action(block="not now")),))


@pytest.fixture
def llm_thread() -> Iterator[Llm]:
    providers = MockProviders()
    with providers_thread(providers) as url:
        yield Llm(providers, url)


async def call(llm: Llm, **options: Any) -> None:
    async with llm.openai(max_retries=0) as client:
        await client.chat.completions.create(
            model="gpt-4o", messages=MESSAGES, **{"max_completion_tokens": 500, **options}
        )


def decisions(spans: Spans) -> list[tuple[str | None, str | None]]:
    told = [dict(span.attributes or {}) for span in spans.calls]
    return [(one.get("p402.decision.verdict"), one.get("p402.decision.code")) for one in told]  # type: ignore[misc]


# --- the ordinary day


async def test_where_no_budget_limits_the_collector_is_asked_once_for_each_department(llm: Llm) -> None:
    with guarded() as (feedback, spans):
        for _ in range(3):
            await call(llm)
        with attribution(department="sales"):
            await call(llm)
        assert [ask["question"]["department"] for ask in feedback.asked] == ["legal", "sales"]
    assert decisions(spans) == [("allow", "no_budget"), (None, None), (None, None), ("allow", "no_budget")]
    assert feedback.settled == []


async def test_many_calls_share_a_lease_and_all_of_it_comes_back_at_the_end(llm: Llm) -> None:
    with guarded(cap=100 * DOLLAR) as (feedback, spans):
        for _ in range(12):
            await call(llm)
        assert len(feedback.asked) == 1
    assert (feedback.held, feedback.spent) == (0, 12 * 400_000)
    # 60 in at $2.50, 40 cached at $1.25 and 20 out at $10 a million
    told = [dict(span.attributes or {}) for span in spans.calls]
    assert {one["p402.lease"] for one in told} == {"lease_0"}
    assert decisions(spans) == [("allow", "within_budget")] * 12


async def test_calls_that_name_no_department_are_under_the_rules_of_their_employee_s(llm: Llm) -> None:
    of_nobody = {"P402_DEPARTMENT": ""}
    with guarded(
        of_nobody,
        cap=100 * DOLLAR,
        directory={"ada": "legal", "bob": "sales", "cyd": "sales"},
        policies={"legal": BLOCKED},
    ) as (feedback, spans):
        for employee in ("bob", "ada", "cyd", "bob", "ada", "cyd"):
            with attribution(employee=employee), suppress(openai.PermissionDeniedError):
                await call(llm)
        asked = [ask["question"]["employee"] for ask in feedback.asked]
        assert (asked.count("bob"), asked.count("cyd")) == (1, 1)  # who is refused asks again
    verdicts = [verdict for verdict, _ in decisions(spans)]
    assert verdicts == ["allow", "block", "allow", "allow", "block", "allow"]
    assert (feedback.held, feedback.spent) == (0, 4 * 400_000)


async def test_who_moves_to_another_department_is_under_its_rules_from_then_on(llm: Llm) -> None:
    of_nobody, rules = {"P402_DEPARTMENT": ""}, {"directory": {"ada": "sales"}, "policies": {"legal": BLOCKED}}
    with guarded(of_nobody, cap=100 * DOLLAR, **rules) as (feedback, _), attribution(employee="ada"):
        await call(llm)
        await until(lambda: bool(feedback.streams))
        feedback.change(directory={"ada": "legal"})
        await until(lambda: feedback.held == 0)  # what was held by the old department has come back
        with pytest.raises(openai.PermissionDeniedError):
            await call(llm)


async def test_sessions_have_leases_of_their_own_where_sessions_have_budgets(llm: Llm) -> None:
    with guarded(cap=100 * DOLLAR, levels=("department", "session")) as (feedback, _):
        for session in ("s-1", "s-2", "s-1"):
            with attribution(session=session):
                await call(llm)
        assert [ask["question"]["session"] for ask in feedback.asked] == ["s-1", "s-2"]
        assert feedback.asked[1]["rules_version"] == 1  # what is known is not sent again
    assert feedback.held == 0


async def test_concurrent_calls_wait_for_one_answer(llm: Llm) -> None:
    with guarded(cap=100 * DOLLAR) as (feedback, spans):
        async with llm.openai() as client:
            create = client.chat.completions.create
            await asyncio.gather(
                *(create(model="gpt-4o", messages=MESSAGES, max_completion_tokens=500) for _ in range(10))
            )
        assert len(feedback.asked) == 1
    assert len(spans.calls) == 10
    assert feedback.held == 0


async def test_a_lease_is_renewed_before_it_is_used_up(llm: Llm) -> None:
    llm.providers.script = lambda _: Reply("x", 10, 500)
    with guarded(cap=100 * DOLLAR) as (feedback, spans):
        for _ in range(40):
            await call(llm)
        assert 3 <= len(feedback.asked) <= 6
    assert feedback.held == 0
    assert decisions(spans) == [("allow", "within_budget")] * 40


# --- every way out


@pytest.mark.parametrize("status", [400, 500])
async def test_a_call_that_fails_gives_back_what_it_took(llm: Llm, status: int) -> None:
    llm.providers.fail_next(status)
    with guarded(cap=100 * DOLLAR) as (feedback, _), pytest.raises(openai.APIStatusError):
        await call(llm)
    assert (feedback.held, feedback.spent) == (0, 0)


async def test_a_call_that_reaches_nobody_gives_back_what_it_took(llm: Llm) -> None:
    with guarded(cap=100 * DOLLAR) as (feedback, _):
        async with openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", max_retries=0) as client:
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert (feedback.held, feedback.spent) == (0, 0)
    assert llm.providers.requests == []


async def test_a_call_that_is_cancelled_gives_back_what_it_took(llm: Llm) -> None:
    llm.providers.answer_delay_seconds = 30
    with guarded(cap=100 * DOLLAR) as (feedback, _):
        task = asyncio.create_task(call(llm))
        await until(lambda: llm.providers.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (feedback.held, feedback.spent) == (0, 0)


async def test_a_call_that_is_cancelled_while_it_waits_for_a_decision_leaves_nothing_taken(llm: Llm) -> None:
    with guarded(cap=100 * DOLLAR) as (feedback, spans):
        feedback.answering.clear()
        task = asyncio.create_task(call(llm))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        feedback.answering.set()
        await until(lambda: feedback.leases)
        await call(llm)
        assert len(feedback.leases) == 1
    assert (feedback.held, feedback.spent) == (0, 400_000)
    assert len(spans.calls) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("how", ["read", "closed", "dropped"])
def test_a_stream_gives_back_what_it_did_not_use_however_it_ends(llm_thread: Llm, how: str) -> None:
    with guarded(cap=100 * DOLLAR) as (feedback, spans):

        def stream() -> None:
            body = {"model": "gpt-4o", "messages": MESSAGES, "stream": True, "max_tokens": 500}
            client = httpx2.Client(headers={"authorization": "Bearer k"})
            request = client.build_request("POST", f"{llm_thread.url}/v1/chat/completions", json=body)
            response = client.send(request, stream=True)
            if how == "read":
                response.read()
            elif how == "closed":
                response.close()

        def ended() -> bool:
            gc.collect()
            return bool(spans.calls)

        stream()
        asyncio.run(until(ended))
    assert feedback.held == 0
    assert feedback.spent > 0


# --- away


async def test_when_nobody_answers_calls_go_on_unguarded_and_it_is_said_once(
    llm: Llm, caplog: pytest.LogCaptureFixture
) -> None:
    with guarded(status=503) as (feedback, spans):
        for _ in range(6):
            await call(llm)
        assert feedback.asked == []
    assert decisions(spans) == [("allow", "unguarded")] * 6
    assert len(llm.providers.requests) == 6
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([line for line in lines if "could not ask" in line]) == 1


@pytest.mark.parametrize(
    ("environment", "values"),
    [
        ({"P402_FAIL_MODE": "closed"}, {}),
        ({}, {"policy": Policy(name="legal", fail_mode=FailMode.CLOSED)}),
        ({}, {"hard": True}),
    ],
    ids=["by the service", "by the policy", "by a hard budget"],
)
async def test_when_nobody_answers_and_the_mode_is_closed_calls_are_refused(
    llm: Llm, environment: dict[str, str], values: dict[str, Any]
) -> None:
    with guarded(environment, cap=100 * DOLLAR, **values) as (feedback, spans):
        await call(llm)
        await until(lambda: feedback.streams)
        feedback.status = 503
        feedback.change(version=2)  # who hears of it drops its leases
        with pytest.raises(openai.PermissionDeniedError, match="collector_unreachable"):
            await _until_refused(llm)
        feedback.status = 200
    assert decisions(spans)[-1] == ("block", "collector_unreachable")


async def _until_refused(llm: Llm) -> None:
    for _ in range(500):
        await call(llm)
        await asyncio.sleep(0.01)


async def test_a_policys_open_mode_comes_before_the_services_closed_one(llm: Llm) -> None:
    opened = Policy(name="legal", fail_mode=FailMode.OPEN)
    with guarded({"P402_FAIL_MODE": "closed"}, cap=100 * DOLLAR, policy=opened) as (feedback, spans):
        await call(llm)
        await until(lambda: feedback.streams)
        feedback.status = 503
        feedback.change()

        async def called() -> bool:
            await call(llm)
            return decisions(spans)[-1] == ("allow", "unguarded")

        while not await called():
            pass
        feedback.status = 200


async def test_what_is_held_is_used_while_nobody_answers(llm: Llm) -> None:
    with guarded(cap=100 * DOLLAR) as (feedback, spans):
        await call(llm)
        feedback.status = 503
        for _ in range(5):
            await call(llm)
        feedback.status = 200
    assert decisions(spans) == [("allow", "within_budget")] * 6
    assert feedback.held == 0


async def test_a_collector_that_hangs_holds_nobody_up_and_its_late_lease_is_of_use(llm: Llm) -> None:
    with guarded(IMPATIENT, cap=100 * DOLLAR) as (feedback, spans):
        feedback.answering.clear()
        await call(llm)
        assert decisions(spans) == [("allow", "unguarded")]
        feedback.answering.set()
        await until(lambda: feedback.leases)
        await asyncio.sleep(0.1)  # the answer is on its way
        await call(llm)
    assert feedback.held == 0
    assert decisions(spans)[1] in {("allow", "within_budget"), ("allow", "unguarded")}


# --- push


async def test_a_changed_policy_takes_effect_at_once(llm: Llm) -> None:
    with guarded(cap=100 * DOLLAR) as (feedback, spans):
        await call(llm)
        await until(lambda: feedback.streams)
        feedback.change(policy=BLOCKED)
        with pytest.raises(openai.PermissionDeniedError, match=r"rule=stop.*refused=not now"):
            await _until_refused(llm)
        assert decisions(spans)[-1] == ("block", "rule")
        await until(lambda: feedback.held == 0)  # what was held under the old rules has come back
        feedback.change(policy=Policy(name="none"))

        async def goes_on() -> bool:
            try:
                await call(llm)
            except openai.PermissionDeniedError:
                return False
            return True

        while not await goes_on():
            pass


async def test_calls_that_no_budget_limited_hear_of_a_new_one(llm: Llm) -> None:
    with guarded() as (feedback, _):
        await call(llm)
        await until(lambda: feedback.streams)
        feedback.change(cap=1)
        with pytest.raises(openai.PermissionDeniedError, match="budget_exhausted"):
            await _until_refused(llm)


async def test_idle_money_comes_back_when_somebody_waits_for_it(llm: Llm) -> None:
    with guarded(cap=100 * DOLLAR) as (feedback, _):
        await call(llm)
        await until(lambda: feedback.streams)
        await asyncio.sleep(0.3)
        assert feedback.held > 0
        feedback.tell("recall")
        await until(lambda: feedback.held == 0)


async def test_a_revoked_key_ends_leases_and_stream(llm: Llm) -> None:
    with guarded({"P402_FAIL_MODE": "closed"}, cap=100 * DOLLAR) as (feedback, spans):
        await call(llm)
        await until(lambda: feedback.streams)
        feedback.tell("revoked")
        with pytest.raises(openai.PermissionDeniedError, match="collector_unreachable"):
            await _until_refused(llm)
        assert len(feedback.streams) == 1
        assert decisions(spans)[-1] == ("block", "collector_unreachable")
