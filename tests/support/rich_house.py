"""A collector with a good month in it: six departments, budgets near and beyond their caps, policies, alerts, sessions that ran
away, reviews, receipts, keys. It is the same each time, and runs in a thread, beside whoever looks at its pages.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from p402.collector.storage.usage import SqlUsage
from support.budgets import put_budget
from support.otlp import ASpan
from support.server import Server, bearer, serving

__all__ = ["RichHouse", "rich_house"]

_NOW = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)
_DAYS = 45
_AT_ONCE = 400
_START_SECONDS = 60
_DEPARTMENTS: Mapping[str, tuple[tuple[str, ...], tuple[str | None, ...]]] = {
    "engineering": (("platform", "mobile-app", "search"), (None,)),
    "legal": (("contracts", "compliance"), ("globex", "initech")),
    "marketing": (("campaign-q4", "website"), ("northwind", None)),
    "finance": (("close", "forecast"), (None,)),
    "support": (("helpdesk",), ("globex", "umbrella", "initech")),
    "research": (("papers",), (None,)),
}
_MODELS = (
    ("anthropic", "claude-opus-4-5", ("code_review", "code_completion")),
    ("anthropic", "claude-haiku-4-5", ("classification", "support_reply")),
    ("openai", "gpt-4o", ("content", "summarise")),
    ("openai", "gpt-4o-mini", ("classification",)),
    ("gcp.gemini", "gemini-2.5-pro", ("financial_qa",)),
)
_BUDGETS: Mapping[str, Mapping[str, Any]] = {
    "acme-month": {"level": "organisation", "node": "acme", "cap": "260.00", "owner": "ada@example.com"},
    "legal-month": {"level": "department", "node": "legal", "cap": "20.00"},
    "engineering-month": {"level": "department", "node": "engineering", "cap": "120.00"},
    "a-session": {"level": "session", "cap": "25.00", "period": "total"},
    "tender": {"level": "project", "node": "papers", "cap": "400.00", "period": "total"},
}
_POLICIES: Mapping[str, Mapping[str, Any]] = {
    "engineering": {"strategy": "quality-first", "at_cap": {"rungs": ["wait", "downgrade"]}},
    "marketing": {"strategy": "cost-first", "max_tier": "standard"},
    "legal": {"strategy": "compliance-aware", "min_tier": "standard"},
}


@dataclass(frozen=True)
class RichHouse:
    """Where it is, and what is in it."""

    url: str
    admin: str
    """The secret of a key that may do everything."""
    names: Mapping[str, str]
    """Of one thing of each kind, by the parameter of a path that it stands for."""


@contextmanager
def rich_house(folder: Path) -> Iterator[RichHouse]:
    """Serve it until the block ends."""
    ready: list[RichHouse | BaseException] = []
    began, stop = threading.Event(), threading.Event()

    def run() -> None:
        try:
            asyncio.run(_serve(folder, ready, began, stop))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            ready.append(error)
        finally:
            began.set()

    thread = threading.Thread(target=run, name="rich-house")
    thread.start()
    try:
        assert began.wait(_START_SECONDS), "the collector did not get ready"
        house = ready[0]
        if isinstance(house, BaseException):
            raise house
        yield house
    finally:
        stop.set()
        thread.join()


async def _serve(
    folder: Path, ready: list[RichHouse | BaseException], began: threading.Event, stop: threading.Event
) -> None:
    settings = {"default_organisation": "acme", "rate_limit_per_minute": 0, "anomaly_min_sessions": 5}
    async with serving(folder, **settings) as server:
        ready.append(await _furnished(server))
        began.set()
        await asyncio.to_thread(stop.wait)


async def _furnished(server: Server) -> RichHouse:
    admin = await server.key("admin")

    async def send(method: str, path: str, body: Mapping[str, Any], key: str = admin) -> Any:
        answer = await server.ask(method, path, params={"organisation": "acme"}, json=body, headers=bearer(key))
        assert answer.status < 300, (path, answer.body)
        return answer.json

    spans = _spans()
    for at in range(0, len(spans), _AT_ONCE):
        await server.send(*spans[at : at + _AT_ONCE])
    for name, definition in _BUDGETS.items():
        await put_budget(server, name, definition)
    for department, policy in _POLICIES.items():
        await send("PUT", f"/v1/policies/{department}", policy)
    await server.collector.watch.catch_up()
    server.clock.advance(hours=1)
    while await server.collector.sealer.catch_up():
        pass
    await server.send(*_open_session())
    await server.collector.watch.catch_up()
    await server.collector.budget_watch.look()
    usage = SqlUsage(server.collector.database)
    while await usage.follow(5_000):
        pass
    return RichHouse(server.url, admin, await _reviewed(server, admin, send))


async def _reviewed(server: Server, admin: str, send: Any) -> Mapping[str, str]:
    """Make keys, and have two of them review; gives names of what there is."""

    async def first(path: str, member: str) -> Mapping[str, Any]:
        answer = await server.ask("GET", path, params={"organisation": "acme"}, headers=bearer(admin))
        found: Mapping[str, Any] = answer.json[member][0]
        return found

    keys: Mapping[str, Mapping[str, Any]] = {
        "Grace Hopper, reviews": {"scopes": ["spend:read", "receipts:read", "review"], "organisation": "acme"},
        "eng-103 at the pages": {"scopes": ["spend:read", "review"], "organisation": "acme", "employee": "eng-103"},
        "checkout service": {"scopes": ["ingest", "feedback"], "organisation": "acme", "department": "engineering"},
        "auditor 2026": {"scopes": ["receipts:read", "receipts:personal", "exports", "holds"]},
        "an old laptop": {"scopes": ["spend:read"]},
    }
    made = {name: await send("POST", "/v1/keys", {"name": name, **key}) for name, key in keys.items()}
    await server.ask("DELETE", f"/v1/keys/{made['an old laptop']['id']}", headers=bearer(admin))
    answer = await server.ask("GET", "/v1/anomalies", params={"organisation": "acme"}, headers=bearer(admin))
    flagged = answer.json["anomalies"]
    reviews = (
        ("leg-101", "Grace Hopper, reviews", "dismissed", "The Globex due diligence: 400 contracts in a night, agreed with them."),
        ("eng-103", "eng-103 at the pages", "confirmed", "My agent ran in a circle. It stops after 20 steps now."),
    )  # fmt: skip
    for employee, name, decision, note in reviews:
        for anomaly in flagged:
            if anomaly["employee"] == employee:
                path = f"/v1/anomalies/{anomaly['anomaly_id']}/review"
                await send("POST", path, {"decision": decision, "note": note}, made[name]["secret"])
    return {
        "receipt_id": (await first("/v1/receipts", "receipts"))["receipt_id"],
        "anomaly_id": flagged[0]["anomaly_id"],
        "alert_id": (await first("/v1/alerts", "alerts"))["alert_id"],
        "key": made["auditor 2026"]["id"],
        "session": "sup-104-0-1",
        "name": "legal-month",
        "department": "engineering",
        "period": "2026-05",
    }


def _spans() -> list[ASpan]:
    random = Random(7)
    spans = []
    for days in range(_DAYS):
        day = _NOW - timedelta(days=days)
        if day.weekday() > 4 and random.random() < 0.8:
            continue
        for department in _DEPARTMENTS:
            for _ in range(random.randrange(3, 12)):
                at = day.replace(hour=random.randrange(6, 9 if not days else 19), minute=random.randrange(60))
                spans.append(_span(random, department, at, days))
    runaway = {"gen_ai.usage.input_tokens": 58_000, "gen_ai.usage.output_tokens": 5_500}
    for employee, department, calls in (
        ("eng-103", "engineering", 30),
        ("leg-101", "legal", 12),
        ("mar-105", "marketing", 6),
        ("sup-104", "support", 9),
    ):
        owner = {"p402.department": department, "p402.employee": employee, "p402.session": f"{employee}-runaway"}
        others = {"p402.project": _DEPARTMENTS[department][0][0], "p402.client": _DEPARTMENTS[department][1][0]}
        at = _NOW - timedelta(days=1, hours=calls % 7)
        spans += [ASpan.of({**runaway, **owner, **others}, started_ns=_ns(at)) for _ in range(calls)]
    return spans


def _span(random: Random, department: str, at: datetime, days: int) -> ASpan:
    projects, clients = _DEPARTMENTS[department]
    provider, model, tasks = random.choice(_MODELS)
    person, part = random.randrange(7), random.randrange(2)
    employee = f"{department[:3]}-{100 + person}"
    attributes = {
        "p402.department": department if (person, part) != (6, 1) else None,
        "p402.project": projects[(person + part) % len(projects)],
        "p402.client": clients[person % len(clients)],
        "p402.employee": employee,
        "p402.session": f"{employee}-{days // 5}-{part}",
        "p402.task_type": random.choice(tasks),
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model if random.random() > 0.01 else "gpt-unheard-of",
        "gen_ai.response.model": None,
        "gen_ai.usage.input_tokens": random.randrange(500, 40_000),
        "gen_ai.usage.output_tokens": random.randrange(100, 4_000),
    }
    return ASpan.of(attributes, started_ns=_ns(at))


def _open_session() -> list[ASpan]:
    """What goes on while somebody looks."""
    at = _NOW + timedelta(minutes=50)
    return [
        ASpan.of(
            {"p402.session": "review-7", "p402.task_type": "contract_analysis"},
            started_ns=_ns(at + timedelta(minutes=n)),
        )
        for n in range(3)
    ]


def _ns(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000
