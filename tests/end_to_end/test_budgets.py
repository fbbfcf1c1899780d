"""Caps that hold: many clients in several processes, killed clients and killed collectors, on one database or the other.

What is checked is read from the database by another program: what was spent, what no span ever told of, and what is held.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from p402.collector.demo.providers import MockProviders
from p402.collector.demo.providers.server import running
from p402.vocabulary import Money
from support import budget_clients, probe_client
from support.collector import eventually, running_collector
from support.control import control_of
from support.databases import POSTGRESQL, SQLITE, Kept, kept_in, using
from support.ports import steady_port

PROCESSES, WORKERS = 4, 16
CAP = Money.parse("1.50")
PATIENT: Mapping[str, Any] = {
    "at_cap": {"rungs": ["clamp", "wait"], "least_output_tokens": 400, "wait_seconds": 10},
    "fail_mode": "closed",
}
TREE: Mapping[str, Mapping[str, Any]] = {
    "everything": {"level": "organisation", "node": "acme", "cap": str(CAP), "period": "month"},
    "legal": {"level": "department", "node": "legal", "cap": "0.60", "period": "month"},
    "contracts": {
        "level": "project",
        "node": "contracts",
        "cap": "1.60",
        "period": "week",
        "time_zone": "Asia/Kolkata",
    },
    "each-employee": {"level": "employee", "node": "*", "cap": "0.25", "period": "day"},
    "each-session": {"level": "session", "node": "*", "cap": "0.12", "period": "total"},
    "a-call": {"level": "request", "node": "*", "cap": "0.10", "period": "total"},
}
QUICK = {"P402_LEASE_SECONDS": "4", "P402_LEASE_SETTLE_SECONDS": "2"}


@dataclass
class Applications:
    """What the calls of all client processes came to."""

    outcomes: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.outcomes.values())

    def of(self, outcome: str) -> set[str]:
        return {call for call, found in self.outcomes.items() if found == outcome}


def client_environment(collector: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    ours = {"P402_COLLECTOR_URL": collector, "P402_ORGANISATION": "acme", "P402_FAIL_MODE": "closed"}
    ours["P402_DECISION_TIMEOUT_MS"] = "5000"  # 64 clients and the collectors share two cores
    return {**kept, **ours, "PYTHONPATH": str(Path(__file__).parents[1])}


async def run_clients(
    provider: str, collector: str, name: str, found: Applications, workers: int = WORKERS, only: str | None = None
) -> asyncio.subprocess.Process:
    """Start a client process; what its calls came to is added as they end."""
    environment = client_environment(collector)
    arguments = [provider, name, str(workers), "402", *([only] if only else [])]
    process = await asyncio.create_subprocess_exec(
        sys.executable, budget_clients.__file__, *arguments, env=environment, stdout=asyncio.subprocess.PIPE
    )

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            told = json.loads(line)
            found.outcomes[told["call"]] = told["outcome"]

    process.reader = asyncio.create_task(read())  # type: ignore[attr-defined]
    return process


@asynccontextmanager
async def providers() -> AsyncIterator[tuple[MockProviders, str]]:
    """Mock providers that think for a while before they answer."""
    mock = MockProviders()
    mock.answer_delay_seconds = 0.1
    async with running(mock) as url:
        yield mock, url


def names_of_calls(mock: MockProviders) -> Counter[str]:
    """Which calls reached the providers, by the names in their prompts."""
    return Counter(re.findall(r"\[([a-z]+\d+-\d+)\]", json.dumps([call.body for call in mock.requests])))


@dataclass(frozen=True)
class Account:
    budget: str
    node: str
    spent: Money
    held: Money
    unreconciled: Money


def accounts(kept: Kept) -> list[Account]:
    rows = kept.rows(
        "SELECT name, node, spent, held, unreconciled FROM budget_accounts JOIN budgets ON budgets.id = budget_id"
        " WHERE retired_at IS NULL ORDER BY name, node"
    )
    return [Account(name, node, *(Money(int(amount)) for amount in amounts)) for name, node, *amounts in rows]


def assert_nothing_leaks(kept: Kept) -> None:
    """What accounts hold is what leases hold, and every lease that ended unsettled is listed."""
    held = kept.rows(
        "SELECT COALESCE(SUM(CASE WHEN state = 'open' THEN remaining ELSE 0 END), 0),"
        " COALESCE(SUM(CASE WHEN state = 'unreconciled' THEN remaining ELSE 0 END), 0)"
        " FROM lease_holds JOIN leases ON leases.id = lease_id"
    )
    counted = kept.rows("SELECT COALESCE(SUM(held), 0), COALESCE(SUM(unreconciled), 0) FROM budget_accounts")
    assert [tuple(map(int, row)) for row in held] == [tuple(map(int, row)) for row in counted]


def assert_spent_is_what_was_charged(kept: Kept) -> None:
    for level, name in (("organisation", "everything"), ("employee", "each-employee"), ("session", "each-session")):
        charged = kept.rows(
            f"SELECT {level}, SUM(cost_nano_usd) FROM charges JOIN scopes ON scopes.id = scope_id"
            f" WHERE {level} <> '' GROUP BY {level}"
        )
        counted = {account.node: account.spent for account in accounts(kept) if account.budget == name}
        assert {node: Money(int(cost)) for node, cost in charged} == {
            node: spent for node, spent in counted.items() if spent.nano_usd
        }


def caps_hold(kept: Kept) -> list[str]:
    """Compare every account with its cap; gives the table that is printed."""
    caps = {name: Money.parse(str(budget["cap"])) for name, budget in TREE.items()}
    lines = []
    for account in accounts(kept):
        taken = account.spent + account.unreconciled
        assert taken <= caps[account.budget], f"{account} is beyond {caps[account.budget]}"
        if account.node in {"acme", "legal", "contracts"}:
            unused = caps[account.budget] - taken
            lines.append(
                f"{account.budget:12} cap {caps[account.budget]!s:>6}  spent {account.spent!s:>12}"
                f"  unreconciled {account.unreconciled!s:>12}  overshoot 0  unused {unused.nano_usd * 100 / caps[account.budget].nano_usd:.2f} %"
            )
    assert kept.rows("SELECT COUNT(*) FROM overruns") == [(0,)]
    return lines


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", [SQLITE, POSTGRESQL])
async def test_a_cap_holds_for_64_clients_whatever_dies(kind: str, tmp_path: Path) -> None:
    """One collector on SQLite, two replicas on PostgreSQL; a client process and each collector are killed in the middle."""
    with using(kind):
        kept = kept_in(tmp_path, migrated=False)
    ports = [steady_port() for _ in range(1 if kind == SQLITE else 2)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    found = Applications()
    async with AsyncExitStack() as stack:
        mock, provider = await stack.enter_async_context(providers())
        collectors = [await asyncio.to_thread(stack.enter_context, replica(tmp_path, kept, port)) for port in ports]
        control = control_of(collectors[0])
        control.put_policy("_default", PATIENT)
        for name, budget in TREE.items():
            control.put_budget(name, budget)
        clients = [
            await run_clients(provider, urls[number % len(urls)], name, found)
            for number, name in enumerate("abcd"[:PROCESSES])
        ]
        await until(lambda: len(mock.requests) > 60)
        clients[-1].send_signal(signal.SIGKILL)
        for collector, port in zip(collectors, ports, strict=True):
            collector.kill()
            await asyncio.to_thread(stack.enter_context, replica(tmp_path, kept, port))
        await asyncio.wait_for(asyncio.gather(*(client.wait() for client in clients)), 450)
        await asyncio.gather(*(client.reader for client in clients))  # type: ignore[attr-defined]
        await until(lambda: kept.rows("SELECT COUNT(*) FROM leases WHERE state = 'open'") == [(0,)], 90)

    lines = caps_hold(kept)
    print(f"\n{kind}: {dict(found.counts)}, {len(mock.requests)} requests at the providers", *lines, sep="\n")  # noqa: T201
    assert_nothing_leaks(kept)
    assert_spent_is_what_was_charged(kept)
    reached = names_of_calls(mock)
    assert not (found.of("refused") | found.of("unavailable")) & set(reached), "a refused call has reached the provider"
    assert found.of("ok") <= set(reached)
    for account in accounts(kept):
        if account.budget in ("everything", "legal"):
            used, cap = account.spent + account.unreconciled, Money.parse(str(TREE[account.budget]["cap"]))
            assert used.nano_usd >= cap.nano_usd * 97 // 100, f"{used} of {cap}"
    assert found.counts["refused"] >= 2 * (PROCESSES - 1) * WORKERS


@pytest.mark.timeout(120)
@pytest.mark.parametrize("limit", [300, None])
async def test_32_calls_at_once_find_the_ten_that_a_small_cap_pays_for(limit: int | None, tmp_path: Path) -> None:
    """The probe under which a proxy with budgets admitted 1 of 10 without a limit, or overshot (see the README)."""
    kept = kept_in(tmp_path, migrated=False)
    async with AsyncExitStack() as stack:
        mock, provider = await stack.enter_async_context(providers())
        mock.answer_delay_seconds = 0.4
        collector = stack.enter_context(running_collector(tmp_path, QUICK))
        control = control_of(collector)
        control.put_policy("legal", {**PATIENT, "at_cap": {**PATIENT["at_cap"], "wait_seconds": 20}})
        control.put_budget("legal", {"level": "department", "node": "legal", "cap": "0.05", "period": "month"})
        arguments = [provider, "32", *([str(limit)] if limit else [])]
        environment = client_environment(collector.url)
        process = await asyncio.create_subprocess_exec(
            sys.executable, probe_client.__file__, *arguments, env=environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        await until(lambda: kept.rows("SELECT COUNT(*) FROM leases WHERE state = 'open'") == [(0,)])
    found = Counter(json.loads(output))
    [legal] = accounts(kept)
    print(f"\nmax_tokens={limit}: {dict(found)}, spent {legal.spent} of 0.05, unreconciled {legal.unreconciled}")  # noqa: T201
    assert legal.spent <= Money.parse("0.05")
    assert legal.spent == Money(4_720_000 * found["whole"])
    assert len(mock.requests) == 32 - found["refused"]
    if limit:
        assert found == {"whole": 10, "refused": 22}
    else:
        assert found["whole"] >= 8
        assert found["cut"] == 0


@contextmanager
def replica(folder: Path, kept: Kept, port: int) -> Any:
    settings = {**QUICK, **kept.settings, "P402_LISTEN": f"127.0.0.1:{port}"}
    with running_collector(folder, settings) as collector:
        yield collector


async def until(condition: Any, seconds: float = 60) -> None:
    await asyncio.to_thread(eventually, condition, seconds)
