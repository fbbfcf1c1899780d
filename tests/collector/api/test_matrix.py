"""Every endpoint of the document with every kind of key: who may not, gets nothing, learns nothing and changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from p402.collector.storage.keys import SCOPES
from support.openapi import contract_of
from support.otlp import ASpan
from support.server import Answer, Server, bearer, serving

FOREIGN = ("acme", "legal", "contracts", "globex", "e-1042", "review-7", "roe-v-globex")
"""Names of the part of the tree that others must not hear of."""
INITECH = {
    "p402.organisation": "initech", "p402.department": "ops", "p402.project": "tps", "p402.client": "chotchkies",
    "p402.employee": "i-1", "p402.session": "s-9",
}  # fmt: skip
SALES = {
    "p402.department": "sales", "p402.project": "pitch", "p402.client": "hooli", "p402.employee": "e-7",
    "p402.session": "s-2",
}  # fmt: skip
QUESTION = {
    "question": {"provider": "anthropic", "model": "claude-opus-4-5", "organisation": "acme", "department": "legal"}
}
NEVER_END = ("/v1/feedback/stream", "/live")


@dataclass(frozen=True)
class Operation:
    """An operation of the document, as a request that is as its examples say."""

    method: str
    template: str
    scopes: tuple[str, ...]
    query: Mapping[str, str]
    body: Any
    media_type: str | None
    """Of a body that is no JSON."""
    changes: bool

    def path(self, values: Mapping[str, str]) -> str:
        """The path about what has these ids; a parameter without one fails the test."""
        return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], self.template)


def operations(server: Server) -> list[Operation]:
    """Those that change something come last, so that what a stranger makes for itself is in no list."""
    return sorted(_operations(server), key=lambda operation: operation.changes)


def _operations(server: Server) -> Iterator[Operation]:
    for template, methods in contract_of(server.collector.app).document["paths"].items():
        for method, operation in methods.items():
            scopes = tuple(scope for one in operation["security"] for scope in one["key"])
            required = [one for one in operation.get("parameters", []) if one.get("required") and one["in"] == "query"]
            query = {one["name"]: str(_value(one["schema"])) for one in required}
            content = operation.get("requestBody", {}).get("content", {})
            body = content.get("application/json", {}).get("example")
            media_type = next(iter(content)) if content and body is None else None
            yield Operation(method.upper(), template, scopes, query, body, media_type, method != "get")


def _value(schema: Mapping[str, Any]) -> Any:
    return schema["examples"][0] if "examples" in schema else schema["minimum"]


@dataclass(frozen=True)
class House:
    """A collector with two organisations, and what is known by id of acme's legal department."""

    server: Server
    admin: str
    ids: Mapping[str, str]

    async def ask(self, operation: Operation, key: str | None, organisation: str | None = None) -> Answer:
        query = {**operation.query, **({"organisation": organisation} if organisation else {})}
        body = {} if operation.body is None else {"json": operation.body}
        headers = {**bearer(key), **({"Content-Type": operation.media_type} if operation.media_type else {})}
        return await self.server.ask(operation.method, operation.path(self.ids), params=query, headers=headers, **body)

    def said(self, operation: Operation) -> set[str]:
        """The foreign names in a request itself."""
        request = f"{operation.path(self.ids)} {json.dumps(operation.body)}"
        return {name for name in FOREIGN if name in request}

    async def state(self) -> dict[str, Any]:
        """All that lists say of acme, apart from what reading and asking leave behind."""
        lists = {}
        for operation in operations(self.server):
            listed = operation.method == "GET" and "{" not in operation.template and operation.scopes
            if listed and operation.template not in (*NEVER_END, "/v1/access-log", "/v1/authorize"):
                answer = await self.ask(operation, self.admin, "acme")
                assert answer.status in (200, 400), (operation, answer.body)  # a CSV or PDF of what is not priced yet
                if answer.media_type == "text/html":
                    continue  # a page shows what the lists say, and who looks at it when
                lists[operation.template] = answer.json if answer.json is not None else answer.body
        return lists


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with serving(tmp_path, require_key=True, anomaly_session_usd="0.01", rate_limit_per_minute=0) as server:
        admin = await server.key("admin")
        await server.send(ASpan(), ASpan.of(SALES), ASpan.of(INITECH), key=admin)
        for session, organisation in (("review-7", "acme"), ("s-2", "acme"), ("s-9", "initech")):
            await server.seal(session, organisation)
        await server.collector.watch.catch_up()
        yield House(server, admin, await _ids(server, admin))


async def _ids(server: Server, admin: str) -> dict[str, str]:
    async def get(path: str, member: str, **wanted: str) -> Any:
        answer = await server.ask("GET", path, params={"organisation": "acme"}, headers=bearer(admin))
        return next(one for one in answer.json[member] if wanted.items() <= one.items())

    async def send(method: str, path: str, body: Any) -> Any:
        answer = await server.ask(method, path, params={"organisation": "acme"}, json=body, headers=bearer(admin))
        assert answer.status < 300, (path, answer.body)
        return answer.json

    budget = {"level": "department", "node": "legal", "cap": "0.20", "warn_at": [80]}
    await send("PUT", "/v1/budgets/legal-month", {**budget, "owner": "globex"})
    await send("PUT", "/v1/policies/legal", {"strategy": "cost-first"})
    await server.send(ASpan(), key=admin)
    await server.seal()  # nothing is left to be sealed or flagged behind the test's back
    await server.collector.watch.catch_up()
    await server.collector.budget_watch.look()
    await send("PUT", "/v1/budgets/legal-month", {**budget, "cap": "1000"})
    hold = {"matter": "roe-v-globex", "by": "e-1042", "scope": {"department": "legal"}}
    billed = {"amount": "79.2705", "currency": "USD", "cost_type": "tokens", "model": "claude-opus-4-5"}
    day = {"starting_at": "2026-05-15T00:00:00Z", "results": [billed]}
    invoice = {"name": "costs.json", "content": json.dumps({"data": [day], "has_more": False})}
    erasure = {"subject": {"employee": "e-gone"}, "legal_basis": "GDPR Art. 17(1)(b)", "by": "e-1042"}
    return {
        "receipt_id": (await get("/v1/receipts", "receipts", department="legal"))["receipt_id"],
        "anomaly_id": (await get("/v1/anomalies", "anomalies", department="legal"))["anomaly_id"],
        "event_id": (await get("/v1/events", "events"))["event_id"],
        "alert_id": (await get("/v1/alerts", "alerts"))["alert_id"],
        "lease": (await send("POST", "/v1/leases", QUESTION))["lease"]["id"],
        "decision": (await send("POST", "/v1/decisions", QUESTION))["id"],
        "hold_id": (await send("POST", "/v1/holds", hold))["hold_id"],
        "erasure_id": (await send("POST", "/v1/erasures", erasure))["erasure_id"],
        "export_id": (await send("POST", "/v1/exports", {"format": "ndjson"}))["export_id"],
        "key": (await send("POST", "/v1/keys", {"name": "acme's", "scopes": ["ingest"], "organisation": "acme"}))["id"],
        "settlement_id": "stl_01JDC2W0V8H3QK6M4T9ZRX5B7E",  # settlement is off
        "discrepancy_id": "chk_01JDC2W0V8H3QK6M4T9ZRX5B7E",
        "reconciliation_id": (await send("POST", "/v1/reconciliations", {"documents": [invoice]}))["reconciliation_id"],
        "name": "legal-month",
        "department": "legal",
        "session": "review-7",
        "period": "2026-05",
        "dimension": "department",
    }


async def test_without_a_key_or_with_a_revoked_one_nothing_is_to_be_had(house: House) -> None:
    revoked = await house.server.key(*SCOPES)
    [known] = [key for key in await house.server.collector.keys.list() if key.scopes == set(SCOPES)]
    await house.server.collector.keys.revoke(known.id, house.server.clock.now())
    for operation in operations(house.server):
        for key in (None, revoked):
            if operation.scopes:
                answer = await house.ask(operation, key)
                assert (answer.status, *leaks(answer)) == (401,), operation


async def test_every_endpoint_asks_for_its_scope_and_for_no_other(house: House) -> None:
    keys = {scope: await house.server.key(scope, organisation="acme") for scope in SCOPES if scope != "admin"}
    for operation in operations(house.server):
        for scope, key in keys.items():
            if operation.scopes and operation.scopes != (scope,):
                answer = await house.ask(operation, key)
                assert (answer.status, *leaks(answer)) == (403,), (operation, scope)
            elif operation.scopes and operation.template not in NEVER_END and not operation.changes:
                assert (await house.ask(operation, key)).status not in (401, 403), (operation, scope)


async def test_a_key_of_another_organisation_reads_nothing_learns_nothing_and_changes_nothing(house: House) -> None:
    before, said = await house.state(), set[str]()
    key = await house.server.key("admin", organisation="initech")
    for operation in operations(house.server):
        if operation.scopes and operation.template not in NEVER_END:
            if operation.media_type is None:  # spans say whose they are
                answer = await house.ask(operation, key, "acme")
                assert (answer.status, *leaks(answer, "acme")) == (403,), (operation, answer.body)
            answer, said = await house.ask(operation, key), said | house.said(operation)
            assert not leaks(answer, *said), (operation, answer.body)
            if any(f"{{{name}}}" in operation.template for name in house.ids if name not in NAMES):
                assert answer.status in (400, 403, 404), (operation, answer.body)
    assert kept(before, await house.state()) == []


@pytest.mark.parametrize(
    "bound_to",
    [{"department": "sales"}, {"department": "sales", "employee": "e-7"}, {"employee": "e-7"}],
    ids=["department", "employee of it", "employee"],
)
async def test_a_key_of_another_part_reads_nothing_learns_nothing_and_changes_nothing(
    house: House, bound_to: dict[str, str]
) -> None:
    before, said = await house.state(), {"acme"}
    key = await house.server.key("admin", organisation="acme", **bound_to)
    for operation in operations(house.server):
        if operation.scopes and operation.template not in NEVER_END:
            answer, said = await house.ask(operation, key), said | house.said(operation)
            assert not leaks(answer, *said), (operation, answer.body)
            if any(f"{{{name}}}" in operation.template for name in house.ids if name not in NAMES):
                assert answer.status in (400, 403, 404), (operation, answer.body)
    assert kept(before, await house.state()) == []


def kept(before: Any, after: Any, place: str = "") -> list[str]:
    """The places of what is not as it was; lists may have more than before."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [where for name, value in before.items() for where in kept(value, after.get(name), f"{place}/{name}")]
    if isinstance(before, list) and isinstance(after, list):
        return [f"{place}: {item}" for item in before if item not in after]
    return [] if before == after else [f"{place}: {before!r} became {after!r}"]


def leaks(answer: Answer, *said: str) -> tuple[str, ...]:
    """The foreign names in an answer, apart from those that whoever asks has said before."""
    text = answer.body.decode(errors="replace")
    return tuple(name for name in FOREIGN if name not in said and re.search(rf"\b{name}\b", text))


NAMES = frozenset({"name", "department", "session", "period", "dimension"})
"""Path parameters that each organisation has of its own."""
