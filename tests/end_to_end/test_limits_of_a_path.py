"""A service that guards itself and asks a real collector: what limits a call is what limits its own path, now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from p402.decisions import Decision, FailMode, Measure, Question
from p402.instrumentation.feedback import transport
from p402.instrumentation.feedback.admission import Admission, Pending
from p402.instrumentation.feedback.client import Guard
from p402.instrumentation.feedback.fallback import Fallback
from p402.instrumentation.feedback.transport import Transport
from p402.vocabulary import Attribution, Usage
from support.budgets import override_budget, put_budget
from support.metering import until
from support.server import Server, serving

DEPARTMENT: Mapping[str, Any] = {"level": "department", "node": "legal", "cap": "1000.00"}
PILOT: Mapping[str, Any] = {"level": "project", "node": "pilot", "cap": "250.00", "period": "total"}
EACH_OF_PILOT: Mapping[str, Any] = {"level": "request", "within": {"project": "pilot"}, "cap": "0.05"}
SMALL, LARGE = 4_700, 10_000
"""Tokens of an answer of gpt-4o: such a call can cost $0.0495, and $0.1025."""


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(
        transport, "_SECONDS", 20.0
    )  # of a busy machine; how long a service waits is not what is tested
    async with serving(tmp_path) as running:
        yield running


@asynccontextmanager
async def guard_of(server: Server) -> AsyncIterator[Guard]:
    """A service's guard, whose clock is the collector's."""
    guard = Guard(
        Transport(server.url, None),
        lambda: None,
        Fallback(FailMode.OPEN, server.url),
        deadline=20.0,
        clock=lambda: server.clock.now().timestamp(),
        now=server.clock.now,
    )
    try:
        yield guard
    finally:
        await asyncio.to_thread(guard.shutdown)


def question(project: str, output_tokens: int = SMALL) -> Question:
    return Question(
        attribution=Attribution("acme", "legal", project),
        provider="openai",
        model="gpt-4o",
        input_tokens=1_000,
        output_tokens=output_tokens,
    )


async def decision(guard: Guard, asked: Question) -> Decision:
    """What is decided about a call that is not made then."""
    found = guard.decide(asked)
    admission = await found.result_async() if isinstance(found, Pending) else found
    admission.finish(None)
    return admission.decision


async def decided(guard: Guard, asked: Question) -> str:
    return (await decision(guard, asked)).code


def away(guard: Guard) -> None:
    """Make the collector one that cannot be asked, when nothing is held any more."""
    guard.revoked()


@pytest.mark.parametrize("order", [("pilot", "other"), ("other", "pilot")])
async def test_a_ceiling_holds_for_its_own_project_whichever_asks_first(server: Server, order: tuple[str, str]) -> None:
    await put_budget(server, "legal", DEPARTMENT)
    await put_budget(server, "each", EACH_OF_PILOT)
    async with guard_of(server) as guard:
        for project in order:
            assert await decided(guard, question(project)) == "within_budget"
        assert await decided(guard, question("pilot", LARGE)) == "request_ceiling"
        assert await decided(guard, question("other", LARGE)) == "within_budget"


@pytest.mark.parametrize("order", [("pilot", "other"), ("other", "pilot")])
async def test_a_hard_budget_closes_its_own_project_whichever_asked_first(
    server: Server, order: tuple[str, str]
) -> None:
    await put_budget(server, "legal", DEPARTMENT)
    await put_budget(server, "pilot", {**PILOT, "hard": True})
    async with guard_of(server) as guard:
        for project in order:
            await decided(guard, question(project))
        away(guard)
        assert await decided(guard, question("pilot")) == "collector_unreachable"
        assert await decided(guard, question("other")) == "unguarded"
        assert await decided(guard, question("new")) == "collector_unreachable"  # it may be under one


async def test_a_hard_budget_that_only_observes_refuses_nothing(server: Server) -> None:
    await put_budget(server, "legal", {**DEPARTMENT, "hard": True, "mode": "observe"})
    async with guard_of(server) as guard:
        await decided(guard, question("pilot"))
        away(guard)
        assert await decided(guard, question("pilot")) == "unguarded"


@pytest.mark.parametrize("budgets", [[DEPARTMENT], []], ids=["beside a lease", "where no budget limits"])
async def test_a_raised_ceiling_ends_with_its_override(server: Server, budgets: list[Mapping[str, Any]]) -> None:
    for budget in budgets:
        await put_budget(server, "legal", budget)
    await put_budget(server, "each", {"level": "request", "cap": "0.05"})
    await override_budget(server, "each", "1.00", timedelta(seconds=20))
    async with guard_of(server) as guard:
        await decided(guard, question("pilot"))
        await until(lambda: guard._stream.connected)
        server.clock.advance(seconds=19)
        assert guard.decide(question("pilot", LARGE)).decision.goes_ahead  # type: ignore[union-attr] # and nobody is asked
        server.clock.advance(seconds=1)
        assert await decided(guard, question("pilot", LARGE)) == "request_ceiling"
        await decided(guard, question("pilot"))
        assert await decided(guard, question("pilot", LARGE)) == "request_ceiling"


async def test_a_call_is_held_for_at_the_price_of_its_minute(server: Server) -> None:
    await put_budget(server, "legal", DEPARTMENT)
    server.clock.advance(hours=15, minutes=29, seconds=40)
    asked = Question(
        attribution=Attribution("acme", "legal"),
        provider="deepseek",
        model="deepseek-chat",
        input_tokens=100_000,
        output_tokens=100_000,
    )
    async with guard_of(server) as guard:
        # Until 00:30 UTC a million tokens cost $0.135 and $0.55, by day $0.27 and $1.10.
        for seconds, nano_usd in ((0, 68_500_000), (19, 68_500_000), (1, 137_000_000), (1, 137_000_000)):
            server.clock.advance(seconds=seconds)
            assert (await decision(guard, asked)).holds[Measure.COST] == nano_usd


@pytest.mark.parametrize(
    "budgets",
    [
        {"legal": {**DEPARTMENT, "mode": "observe"}},
        {"legal": DEPARTMENT, "calls": {**DEPARTMENT, "measure": "requests", "cap": "10000", "mode": "observe"}},
    ],
    ids=["alone", "beside one that is enforced"],
)
async def test_a_budget_that_only_observes_does_not_make_each_call_ask(
    server: Server, budgets: Mapping[str, Mapping[str, Any]]
) -> None:
    for name, budget in budgets.items():
        await put_budget(server, name, budget)
    async with guard_of(server) as guard:
        await decided(guard, question("pilot"))
        for _ in range(12):
            found = guard.decide(question("pilot"))
            assert isinstance(found, Admission)
            found.finish(Usage(input_tokens=1_000, output_tokens=100))
