"""A real collector's budgets and policies as the real SDKs see them, and how soon a change takes effect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from p402.collector.demo.providers import MockProviders, running
from p402.instrumentation import attribution
from support.collector import RunningCollector, eventually, running_collector
from support.control import Control, control_of
from support.metering import Llm, Spans, metered

MESSAGES: Any = [{"role": "user", "content": "Summarise the contract in 9,000 tokens."}]
MONTH = {"level": "department", "period": "month"}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with running_collector(tmp_path_factory.mktemp("collector")) as running_one:
        yield running_one


@pytest.fixture(scope="module")
def control(collector: RunningCollector) -> Control:
    return control_of(collector)


@pytest.fixture
async def llm() -> AsyncIterator[Llm]:
    providers = MockProviders()
    async with running(providers) as url:
        yield Llm(providers, url)


@contextmanager
def guarded_by(collector: RunningCollector, department: str | None, **environment: str) -> Iterator[Spans]:
    """Meter calls of a department, with time enough for a busy machine."""
    settings = {
        "P402_COLLECTOR_URL": collector.url,
        "P402_ORGANISATION": "acme",
        "P402_DECISION_TIMEOUT_MS": "20000",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with metered({**settings, **environment}) as spans, attribution(department=department):
        yield spans


async def chat(llm: Llm, **options: Any) -> Any:
    async with llm.openai() as client:
        return await client.chat.completions.create(
            **{"model": "gpt-4o", "messages": MESSAGES, "max_completion_tokens": 500, **options}
        )


def spent(control: Control, department: str) -> str:
    rows = control.get("/v1/spend", level="department")["spend"]
    return next((row["cost_usd"] for row in rows if row["department"] == department), "0")


async def test_a_spent_department_is_refused_by_the_sdks_own_error_before_anything_is_sent(
    collector: RunningCollector, control: Control, llm: Llm
) -> None:
    control.put_budget("spent", {**MONTH, "node": "spent", "cap": "0.012"})
    with guarded_by(collector, "spent") as spans:
        for _ in range(2):  # each costs $0.005025
            await chat(llm)
        async with llm.anthropic() as client:
            with pytest.raises(anthropic.PermissionDeniedError, match="budget=spent"):
                await client.messages.create(model="claude-opus-4-5", max_tokens=500, messages=MESSAGES)
        with pytest.raises(openai.PermissionDeniedError, match="budget_exhausted"):
            await chat(llm)
        assert len(llm.providers.requests) == 2
        verdicts = [dict(span.attributes or {})["p402.decision.verdict"] for span in spans.calls]
        assert verdicts == ["allow", "allow", "block", "block"]
    assert float(spent(control, "spent")) <= 0.012


async def test_a_department_with_a_cheap_policy_is_answered_by_a_cheaper_model(
    collector: RunningCollector, control: Control, llm: Llm
) -> None:
    control.put_policy("marketing", {"strategy": "cost-first", "max_tier": "economy"})
    with guarded_by(collector, "marketing") as spans:
        answer = await chat(llm)
        told = spans.only()
    assert answer.model == llm.providers.requests[0].model == told["gen_ai.request.model"] != "gpt-4o"
    assert told["p402.decision.original_model"] == "gpt-4o"
    assert "dept_policy=cost-first" in told["p402.decision.rationale"]


async def test_people_of_several_departments_in_one_service_are_under_the_rules_and_caps_of_their_own(
    collector: RunningCollector, control: Control, llm: Llm
) -> None:
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    works_in, caps = {"bob": "thrifty", "ada": "rich", "cyd": "poor"}, {"thrifty": "5", "rich": "5", "poor": "0.001"}
    control.put_directory(*({"userName": who, enterprise: {"department": where}} for who, where in works_in.items()))
    for department, cap in caps.items():
        control.put_budget(department, {**MONTH, "node": department, "cap": cap})
    control.put_policy("thrifty", {"strategy": "cost-first", "max_tier": "economy"})
    with guarded_by(collector, None):
        for employee in ("bob", "ada", "bob", "ada"):  # the second time Ada's lease decides, beside the rules of Bob's
            with attribution(employee=employee):
                await chat(llm)
            assert (llm.providers.requests[-1].model == "gpt-4o") is (employee == "ada")
        with attribution(employee="cyd"), pytest.raises(openai.PermissionDeniedError, match="budget=poor"):
            await chat(llm)
    assert eventually(lambda: spent(control, "rich") == "0.01005")  # each costs $0.005025
    assert eventually(lambda: float(spent(control, "thrifty")) > 0)
    assert spent(control, "poor") == "0"
    held = {
        one["name"]: one["nodes"][0]["held"] for one in control.get("/v1/budgets")["budgets"] if one["name"] in caps
    }
    assert held == dict.fromkeys(caps, "0")
    assert not [one for one in control.get("/v1/overruns")["overruns"] if one["budget"] in caps]


async def test_a_call_is_cut_to_what_is_left(collector: RunningCollector, control: Control, llm: Llm) -> None:
    control.put_budget("little", {**MONTH, "node": "little", "cap": "0.03"})
    control.put_policy("little", {"at_cap": {"rungs": ["clamp"], "least_output_tokens": 300}})
    with guarded_by(collector, "little"):
        answer = await chat(llm, max_completion_tokens=9_000)  # it would cost $0.09
    assert answer.choices[0].finish_reason == "length"
    assert 2_500 < answer.usage.completion_tokens < 3_000
    assert 0.028 < eventually(lambda: float(spent(control, "little"))) <= 0.03


async def test_calls_that_do_not_fit_together_wait_for_each_other(
    collector: RunningCollector, control: Control, llm: Llm
) -> None:
    control.put_budget("patient", {**MONTH, "node": "patient", "cap": "0.02"})
    control.put_policy("patient", {"at_cap": {"rungs": ["wait"], "wait_seconds": 20}})
    llm.providers.answer_delay_seconds = 0.1
    short = [{"role": "user", "content": "Answer in 50 tokens."}]
    with guarded_by(collector, "patient"):
        await asyncio.gather(*(chat(llm, messages=short, max_completion_tokens=1_500) for _ in range(6)))
    assert len(llm.providers.requests) == 6  # each may cost $0.015, and costs $0.0005


async def test_a_raised_cap_and_a_new_rule_take_effect_within_a_second(
    collector: RunningCollector, control: Control, llm: Llm
) -> None:
    budget = {**MONTH, "node": "changing", "cap": "0.000001"}
    control.put_budget("changing", budget)
    with guarded_by(collector, "changing"):

        async def admitted() -> bool:
            try:
                await chat(llm)
            except openai.PermissionDeniedError:
                return False
            return True

        async def seconds_until(*, calls_are_admitted: bool) -> float:
            started = time.monotonic()
            while await admitted() is not calls_are_admitted:
                assert time.monotonic() < started + 20
                await asyncio.sleep(0.02)
            return time.monotonic() - started

        assert not await admitted()
        await asyncio.sleep(0.5)  # the stream is being opened
        control.put_budget("changing", {**budget, "cap": "100"})
        raised = await seconds_until(calls_are_admitted=True)
        control.put_policy("changing", {"rules": [{"name": "stop", "then": {"block": "for now"}}]})
        stopped = await seconds_until(calls_are_admitted=False)
    print(f"\na raised cap took effect after {raised:.2f} s, a new rule after {stopped:.2f} s")  # noqa: T201 - shown with -s


async def test_a_collector_that_dies_leaves_the_choice_to_the_fail_mode(tmp_path: Path, llm: Llm) -> None:
    with running_collector(tmp_path) as mortal:
        control_of(mortal).put_budget("legal", {**MONTH, "node": "legal", "cap": "0.2"})
        with guarded_by(mortal, "legal", P402_FAIL_MODE="closed") as spans:
            await chat(llm)
            mortal.kill()
            with pytest.raises(openai.PermissionDeniedError, match="collector_unreachable"):
                await _forty(llm)  # what is held is used up first
            assert len(llm.providers.requests) < 40
            assert dict(spans.calls[-1].attributes or {})["p402.decision.code"] == "collector_unreachable"


async def _forty(llm: Llm) -> None:
    for _ in range(40):
        await chat(llm)
