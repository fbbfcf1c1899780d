"""What the real SDKs see of decisions: their own permission error, a cheaper model's answer, a shorter answer, a delay."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors, types

from p402.collector.demo.providers.script import ProviderCall, Reply
from p402.decisions import AtCap, Policy, Rung, Tier
from support.feedback_server import Feedback
from support.guarded import guarded
from support.llm_calls import CALLS, run
from support.metering import MESSAGES, Llm, until

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # by google-genai
NOTHING_LEFT = 1
ERRORS = {
    "openai": openai.PermissionDeniedError,
    "anthropic": anthropic.PermissionDeniedError,
    "gcp.gemini": errors.ClientError,
}
CHAPTERS = [made for made in CALLS if made[2] != "embeddings"]
IDS = [made[0].__name__.strip("_") for made in CHAPTERS]


@pytest.mark.parametrize(("call", "provider"), [made[:2] for made in CALLS], ids=[made[0].__name__ for made in CALLS])
async def test_a_refusal_is_the_sdks_own_permission_error_and_nothing_is_sent(
    llm: Llm, call: Callable[[Llm], Any], provider: str
) -> None:
    with guarded(cap=NOTHING_LEFT) as (feedback, spans):
        with pytest.raises(ERRORS[provider]) as raised:
            await run(call, llm)
        assert "budget_exhausted" in str(raised.value)
        assert "budget=legal, left=$0.000000001" in str(raised.value)
        assert MESSAGES[0]["content"] not in str(raised.value)
        assert llm.providers.requests == []
        assert len([one for one in feedback.asked if one["question"]["model"]]) <= 2  # the second with counted tokens
        told = spans.only()
    assert (told["p402.decision.verdict"], told["p402.decision.code"]) == ("block", "budget_exhausted")
    assert "budget=legal" in told["p402.decision.rationale"]
    assert not [name for name in told if name.startswith(("gen_ai.usage.", "http.", "error."))]
    assert spans.calls[0].status.is_unset


@pytest.mark.parametrize(("call", "provider", "operation", "model", "details", "stream"), CHAPTERS, ids=IDS)
async def test_a_downgrade_is_answered_by_the_cheaper_model_and_the_request_stays_the_applications(
    llm: Llm,
    call: Callable[[Llm], Any],
    provider: str,
    operation: str,
    model: str,
    details: dict[str, int],
    stream: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    del details, stream
    cheaper = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5", "gcp.gemini": "gemini-2.5-flash"}[provider]
    with guarded(policy=Policy(name="marketing", version=3, max_tier=Tier.ECONOMY)) as (_, spans):
        await run(call, llm)
        [sent] = llm.providers.requests
        assert sent.model == cheaper
        told = spans.only()
    assert spans.calls[0].name == f"{operation} {cheaper}"
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == cheaper
    assert told["p402.decision.original_model"] == model
    assert (told["p402.decision.verdict"], told["p402.decision.code"]) == ("downgrade", "above_max_tier")
    assert told["gen_ai.usage.input_tokens"] == 100


def _long(call: ProviderCall) -> Reply:
    settings = {**call.body, **call.body.get("generationConfig", {})}
    names = ("max_completion_tokens", "max_output_tokens", "maxOutputTokens", "max_tokens")
    limit = next((settings[name] for name in names if name in settings), 5_000)
    return Reply("Word. " * limit, 10, limit)


CLAMP = Policy(name="legal", at_cap=AtCap(rungs=(Rung.CLAMP,), least_output_tokens=100))


async def _openai_chat(llm: Llm) -> str:
    async with llm.openai() as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        return str(answer.choices[0].finish_reason)


async def _openai_responses(llm: Llm) -> str:
    async with llm.openai() as client:
        answer = await client.responses.create(model="gpt-4o", input="Is it?", max_output_tokens=9_000)
        return str(answer.status)


async def _anthropic_messages(llm: Llm) -> str:
    async with llm.anthropic() as client:
        async with client.messages.stream(
            model="claude-opus-4-5",
            max_tokens=9_000,
            messages=MESSAGES,
            thinking={"type": "enabled", "budget_tokens": 8_000},
        ) as stream:
            answer = await stream.get_final_message()
        return str(answer.stop_reason)


async def _gemini(llm: Llm) -> str:
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(thinking_budget=8_000))
    async with llm.gemini().aio as client:
        answer = await client.models.generate_content(model="gemini-2.5-pro", contents="Is it?", config=config)
        assert answer.candidates is not None
        return str(answer.candidates[0].finish_reason)


@pytest.mark.parametrize(
    ("call", "end"),
    [
        (_openai_chat, "length"),
        (_openai_responses, "incomplete"),
        (_anthropic_messages, "max_tokens"),
        (_gemini, "FinishReason.MAX_TOKENS"),
    ],
)
async def test_a_clamped_call_has_an_answer_as_long_as_the_budget_buys(
    llm: Llm, call: Callable[[Llm], Awaitable[str]], end: str
) -> None:
    llm.providers.script = _long
    cap = 60_000_000  # $0.06: some thousand tokens of output, which none of these limits itself to
    with guarded(cap=cap, policy=CLAMP) as (feedback, spans):
        assert await call(llm) == end
        [sent] = llm.providers.requests
        told = spans.only()
        await until(lambda: feedback.held == 0)
    assert told["p402.decision.verdict"] == "clamp"
    assert told["gen_ai.usage.output_tokens"] == told["gen_ai.request.max_tokens"] > 100
    assert 0.8 * cap < feedback.spent <= cap
    thinking = sent.body.get("thinking") or sent.body.get("generationConfig", {}).get("thinkingConfig")
    if thinking:
        assert 8_000 not in thinking.values()


async def test_every_attempt_is_changed_and_refused_calls_are_not_tried_again(llm: Llm) -> None:
    with guarded(policy=Policy(name="marketing", version=3, max_tier=Tier.ECONOMY)) as (_, spans):
        llm.providers.fail_next(503, times=2)
        async with llm.openai(max_retries=2) as client:
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert [sent.model for sent in llm.providers.requests] == ["gpt-4o-mini"] * 3
    assert [span.attributes["p402.decision.verdict"] for span in spans.calls if span.attributes] == ["downgrade"] * 3
    assert len({span.attributes["p402.request"] for span in spans.calls if span.attributes}) == 1


async def test_a_call_that_waits_goes_ahead_when_another_one_settles(llm: Llm) -> None:
    """Each may cost $0.0051 of $0.008, and costs less than $0.001."""
    both = asyncio.Event()
    at_once = itertools.count(1)

    def script(_: ProviderCall) -> Reply:
        next(at_once)
        return Reply("Yes.", 10, 5)

    llm.providers.script = script
    llm.providers.answer_delay_seconds = 0.2
    waits = Policy(name="legal", at_cap=AtCap(rungs=(Rung.WAIT,), wait_seconds=20))
    with guarded(cap=8_000_000, policy=waits) as (feedback, spans):
        async with llm.openai() as client:
            ticks = asyncio.create_task(_ticks(both))
            await asyncio.gather(
                *(
                    client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_completion_tokens=500)
                    for _ in range(2)
                )
            )
            both.set()
            assert await ticks > 5  # the event loop went on while one of them waited
        await until(lambda: feedback.held == 0)
    assert [span.attributes["p402.decision.verdict"] for span in spans.calls if span.attributes] == ["allow"] * 2
    assert len(llm.providers.requests) == 2


async def _ticks(end: asyncio.Event) -> int:
    for tick in itertools.count():
        if end.is_set():
            return tick
        await asyncio.sleep(0.01)
    return 0


async def test_a_call_that_has_waited_in_vain_is_refused(llm: Llm) -> None:
    waits = Policy(name="legal", at_cap=AtCap(rungs=(Rung.WAIT,), wait_seconds=0.3))
    with guarded(cap=8_000_000, policy=waits, spans_come=False) as (feedback, spans):
        async with llm.openai() as client:
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_completion_tokens=500)
            with pytest.raises(openai.PermissionDeniedError, match=r"holds_pending.*waited=0.3s"):
                await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_completion_tokens=500)
        assert len(llm.providers.requests) == 1
        feedback.spans_come = True
    assert [dict(span.attributes or {})["p402.decision.verdict"] for span in spans.calls] == ["allow", "block"]


def _last(feedback: Feedback) -> dict[str, Any]:
    question: dict[str, Any] = feedback.asked[-1]["question"]
    return question


async def test_the_question_tells_who_what_and_how_much_at_most(llm: Llm) -> None:
    with guarded() as (feedback, _):
        async with llm.openai() as client:
            await client.chat.completions.create(
                model="gpt-4o", messages=MESSAGES, max_completion_tokens=500, n=2, service_tier="flex"
            )
        asked = _last(feedback)
    assert (asked["organisation"], asked["department"]) == ("acme", "legal")
    assert (asked["provider"], asked["model"], asked["service_tier"]) == ("openai", "gpt-4o", "flex")
    assert (asked["output_tokens"], asked["choices"]) == (500, 2)
    assert 26 <= asked["input_tokens"] <= 200
    assert asked["can_clamp"] is True
