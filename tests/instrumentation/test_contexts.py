"""Attribution where contexts change hands: threads, executors, task groups, generators, shared objects."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, contextmanager

import pytest
from opentelemetry import context

from p402.instrumentation import attribution, current_attribution, in_context, session
from p402.vocabulary import Attribution
from support.metering import MESSAGES, Llm, Spans


@pytest.fixture(autouse=True)
def _nothing_stays_attached(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert caplog.text == ""
    assert current_attribution() == Attribution()


def _department() -> str | None:
    return current_attribution().department


async def test_executors(spans: Spans, llm: Llm) -> None:
    def call() -> None:
        with llm.openai_sync() as client:
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool, attribution(department="legal"):
        carried = in_context(call)
        await loop.run_in_executor(pool, carried)
        await loop.run_in_executor(None, carried)
        await asyncio.wrap_future(pool.submit(carried))
        await loop.run_in_executor(pool, call)  # metered, as nobody's
    departments = [(span.attributes or {}).get("p402.department") for span in spans.calls]
    assert departments == ["legal", "legal", "legal", None]


def test_carried_function_runs_in_many_threads_at_once_and_leaves_nothing_in_them() -> None:
    with ThreadPoolExecutor(4) as pool:
        with attribution(department="legal"):
            carried = in_context(_department)
        assert list(pool.map(lambda _: carried(), range(50))) == ["legal"] * 50
        assert list(pool.map(lambda _: _department(), range(8))) == [None] * 8
    assert in_context(_department)() is None


def test_carried_function_gives_arguments_results_and_errors_on() -> None:
    def divide(a: int, *, by: int) -> float:
        return a / by

    assert in_context(divide)(6, by=3) == 2
    assert in_context(divide).__name__ == "divide"
    with pytest.raises(ZeroDivisionError):
        in_context(divide)(6, by=0)


async def _coroutine() -> None: ...


async def _async_generator() -> AsyncIterator[int]:
    yield 1


def _generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [_coroutine, _async_generator, _generator])
def test_only_plain_functions_are_carried(function: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="plain functions"):
        in_context(function)


async def test_task_groups() -> None:
    async def one(department: str) -> tuple[str | None, str | None]:
        with attribution(department=department):
            await asyncio.sleep(0)
            return current_attribution().employee, _department()

    with attribution(employee="e-1"):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(department)) for department in "abc"]
    assert [task.result() for task in tasks] == [("e-1", "a"), ("e-1", "b"), ("e-1", "c")]


async def test_context_managers() -> None:
    @asynccontextmanager
    async def matter() -> AsyncIterator[str]:
        async with attribution(department="legal"), session() as session_id:
            await asyncio.sleep(0)
            yield session_id

    @contextmanager
    def plain() -> Iterator[None]:
        with attribution(department="legal"):
            yield

    async with matter() as session_id:
        assert current_attribution() == Attribution(department="legal", session=session_id)
    with plain():
        assert _department() == "legal"
    with pytest.raises(ValueError, match="of the application"):
        async with matter():
            raise ValueError("of the application")


async def test_one_object_shared_by_tasks() -> None:
    legal = attribution(department="legal")

    async def one(rounds: int) -> list[str | None]:
        with legal:
            for _ in range(rounds):
                await asyncio.sleep(0)
            inside = _department()
        return [inside, _department()]

    # They leave in the order in which they came, and in the other order.
    for rounds in ((1, 5), (5, 1)):
        assert await asyncio.gather(*map(one, rounds)) == [["legal", None]] * 2


def test_one_object_nested_in_itself() -> None:
    legal = attribution(department="legal")
    with legal, attribution(department="sales"), legal:
        assert _department() == "legal"
    with attribution(department="ops"):
        with legal:
            assert _department() == "legal"
        assert _department() == "ops"


async def _numbers() -> AsyncGenerator[str | None, None]:
    with attribution(department="legal"):
        for _ in range(3):
            await asyncio.sleep(0)
            yield _department()


async def test_async_generator_that_is_read_to_its_end() -> None:
    assert [department async for department in _numbers()] == ["legal"] * 3


async def test_async_generator_that_is_closed_early_and_elsewhere() -> None:
    async with aclosing(_numbers()) as numbers:
        async for _ in numbers:
            break
    assert _department() is None
    stream = _numbers()
    assert await asyncio.create_task(anext(stream)) == "legal"
    await stream.aclose()  # begun in one context, closed in another


async def test_context_that_is_entered_by_hand() -> None:
    with attribution(department="legal"):
        here = contextvars.copy_context()
    assert here.run(_department) == "legal"
    assert context.get_current() == {}
