"""Who a call is for: nesting, sessions, decorators, threads, callers' baggage, and the environment."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, context, propagate
from opentelemetry.context import Context

from p402.instrumentation import attribution, current_attribution, session
from p402.vocabulary import Attribution
from support.metering import MESSAGES, Llm, Spans, metered


def test_inner_levels_win_and_others_stay() -> None:
    with attribution(department="legal", employee="e-1"):
        with attribution(employee="e-2", project="p-1"):
            assert current_attribution() == Attribution(department="legal", employee="e-2", project="p-1")
        assert current_attribution() == Attribution(department="legal", employee="e-1")
    assert current_attribution() == Attribution()


async def test_tasks_do_not_see_each_other() -> None:
    async def one(department: str) -> str | None:
        async with attribution(department=department):
            await asyncio.sleep(0)
            return current_attribution().department

    assert tuple(await asyncio.gather(one("a"), one("b"), one("c"))) == ("a", "b", "c")


def test_session_makes_an_id_each_time() -> None:
    with session(employee="e-1") as first:
        assert first.startswith("sess_")
        assert current_attribution() == Attribution(employee="e-1", session=first)
    with session() as second:
        assert second != first
    with session("review-7") as given:
        assert given == "review-7"


async def test_session_of_an_async_block() -> None:
    async with session() as session_id:
        assert current_attribution().session == session_id


async def test_decorators() -> None:
    @attribution(department="legal")
    def plain() -> str | None:
        return current_attribution().department

    @session(project="p-1")
    async def coroutine() -> Attribution:
        await asyncio.sleep(0)
        return current_attribution()

    assert plain() == "legal"
    first, second = await asyncio.gather(coroutine(), coroutine())
    assert first.project == second.project == "p-1"
    assert first.session != second.session
    assert current_attribution() == Attribution()


def test_generator_function_cannot_be_decorated() -> None:
    with pytest.raises(TypeError, match="generator function"):

        @attribution(department="legal")
        def generator() -> object:
            yield


@pytest.mark.parametrize("value", ["", " e-1", "e-1\n", "x" * 257, 7])
def test_value_that_cannot_be_an_id_is_the_developers_mistake(value: object) -> None:
    with pytest.raises(ValueError, match="employee cannot be an id"):
        attribution(employee=value)  # type: ignore[arg-type] # the mistake


def _arriving(header: str) -> Context:
    return propagate.extract({"baggage": header})


def test_inbound_baggage_counts_where_code_says_nothing() -> None:
    token = context.attach(_arriving("p402.department=sales,p402.employee=e-9,p402.session=a%0Ab,other=1"))
    try:
        assert current_attribution() == Attribution(department="sales", employee="e-9")
        with attribution(department="legal"):
            assert current_attribution() == Attribution(department="legal", employee="e-9")
    finally:
        context.detach(token)


def test_attribution_travels_to_the_next_service() -> None:
    with attribution(department="Recht & Ordnung", employee="e-1"):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
    assert current_attribution(_arriving(carrier["baggage"])) == Attribution(
        department="Recht & Ordnung", employee="e-1"
    )
    assert baggage.get_all() == {}


async def test_environment_fills_what_nobody_says(llm: Llm) -> None:
    environment = {"P402_ORGANISATION": "acme", "P402_DEPARTMENT": "ops", "P402_TASK_TYPE": "triage"}
    with metered(environment) as spans, attribution(department="legal"):
        async with llm.openai() as client:
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    attributes = spans.only()
    assert attributes["p402.organisation"] == "acme"
    assert attributes["p402.department"] == "legal"
    assert attributes["p402.task_type"] == "triage"


def test_every_span_in_an_attributed_context_is_attributed(spans: Spans) -> None:
    with (
        attribution(department="legal", task_type="review"),
        spans.provider.get_tracer("app").start_as_current_span("work"),
    ):
        pass
    [span] = spans.all
    assert dict(span.attributes or {}) == {"p402.department": "legal", "p402.task_type": "review"}


async def test_threads(spans: Spans, llm: Llm) -> None:
    def call() -> None:
        with llm.openai_sync() as client:
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    with attribution(department="legal"):
        await asyncio.to_thread(call)
        with ThreadPoolExecutor(1) as pool:
            here = contextvars.copy_context()
            await asyncio.wrap_future(pool.submit(here.run, call))
            await asyncio.wrap_future(pool.submit(call))  # a bare thread has a context of its own
    departments = [(span.attributes or {}).get("p402.department") for span in spans.calls]
    assert departments == ["legal", "legal", None]
