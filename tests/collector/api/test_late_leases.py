"""A call whose lease is named only by a later report of it: the charge stands, and its hold is freed once."""

from __future__ import annotations

from typing import Any

import pytest

from support.budgets import LEGAL, ask, balance, put_budget
from support.otlp import ASpan
from support.server import Server, bearer

OTHERS = "opentelemetry.instrumentation.anthropic"
"""An instrumentation that knows no leases."""
ANSWER = "msg_01abcdefghijklmnop"
USED = {"usage": {"input_tokens": 2_847, "output_tokens": 10_000}, "model": "claude-opus-4-5"}


async def settle(server: Server, decision: str, **changed: Any) -> str:
    settled = await server.ask("POST", f"/v1/decisions/{decision}/settle", json={**USED, **changed})
    return str(settled.json["outcome"])


async def give_back(server: Server, lease: str, calls: int) -> dict[str, Any]:
    given = await server.ask("POST", f"/v1/leases/{lease}/settle", json={"calls": calls})
    return dict(given.json)


def two_reports(lease: str, **extra: Any) -> tuple[ASpan, ASpan]:
    """A framework's span of a call, and ours inside it."""
    outer = ASpan.of({}, scope="openinference.instrumentation.anthropic")
    inner = {"trace_id": outer.trace_id, "parent_span_id": outer.span_id, "seconds": 1.2}
    return outer, ASpan.of({"p402.lease": lease, **extra}, **inner)


@pytest.mark.parametrize("named", ["span", "answer"])
async def test_a_decision_is_settled_after_a_span_that_does_not_name_it(server: Server, named: str) -> None:
    await put_budget(server, "legal", LEGAL)
    decided = (await ask(server, "/v1/decisions")).json["id"]
    span = ASpan.of({"gen_ai.response.id": ANSWER}, scope=OTHERS)
    await server.send(span)
    if named == "span":
        outcome = await settle(server, decided, trace_id=span.trace_id.hex(), span_id=span.span_id.hex())
    else:
        outcome = await settle(server, decided, response_id=ANSWER, started_at="2026-05-15T09:00:00Z")
    assert outcome == ("repeated" if named == "span" else "duplicate")
    assert await balance(server) == ("0.264235", "0", "0")


async def test_a_lease_hears_of_a_call_that_a_framework_told_of_first(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    lease = (await ask(server, "/v1/leases")).json["lease"]["id"]
    for span in two_reports(lease):
        await server.send(span)
    assert await balance(server) == ("0.264235", "0", "0")
    assert await give_back(server, lease, 1) == {"state": "closed", "missing_calls": 0}


async def test_a_call_is_taken_out_of_its_lease_once_however_often_it_is_told_of(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "1000"})
    lease = (await ask(server, "/v1/leases")).json["lease"]["id"]  # of 16 × $0.264235
    outer, inner = two_reports(lease)
    await server.send(outer)
    for _ in range(2):
        await server.send(inner, inner)
    assert await balance(server) == ("0.264235", "3.963525", "0")
    assert await give_back(server, lease, 2) == {"state": "open", "missing_calls": 1}


async def test_both_reports_may_come_together(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    lease = (await ask(server, "/v1/leases")).json["lease"]["id"]
    outer, inner = two_reports(lease, **{"p402.usage.source": "estimated"})  # so the framework's count is charged
    await server.send(inner, outer)
    assert await balance(server) == ("0.264235", "0", "0")
    assert await give_back(server, lease, 1) == {"state": "closed", "missing_calls": 0}


async def test_a_lease_that_has_expired_is_reconciled_by_it(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    lease = (await ask(server, "/v1/leases")).json["lease"]["id"]
    outer, inner = two_reports(lease)
    await server.send(outer)
    server.clock.advance(seconds=100)
    await server.collector.keeper.look()
    assert await balance(server) == ("0.264235", "0", "0.264235")
    await server.send(inner)
    assert await balance(server) == ("0.264235", "0", "0")


async def test_of_a_report_that_contradicts_no_more_is_freed_than_was_charged(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "1000"})
    lease = (await ask(server, "/v1/leases")).json["lease"]["id"]
    for span in two_reports(lease, **{"gen_ai.usage.output_tokens": 20_000}):
        await server.send(span)
    assert await balance(server) == ("0.264235", "3.963525", "0")
    assert await give_back(server, lease, 1) == {"state": "open", "missing_calls": 1}


async def test_a_settlement_that_is_put_right_frees_the_rest(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "10"})
    decided = (await ask(server, "/v1/decisions", question={"output_tokens": 20_000})).json["id"]  # $0.514235
    span = ASpan.of({"gen_ai.response.id": ANSWER}, scope=OTHERS)
    await server.send(span)
    place = {"trace_id": span.trace_id.hex(), "span_id": span.span_id.hex()}
    wrong = {"input_tokens": 2_847, "output_tokens": 1}
    assert await settle(server, decided, usage=wrong, **place) == "quarantined"
    assert await balance(server) == ("0.264235", "0.25", "0")
    for _ in range(2):
        assert await settle(server, decided, **place) == "repeated"
        assert await balance(server) == ("0.264235", "0", "0")


async def test_a_report_frees_nothing_of_somebody_elses_lease(guarded: Server) -> None:
    await put_budget(guarded, "legal", LEGAL)
    mine, other = [await guarded.key("feedback", "ingest", organisation="acme") for _ in range(2)]
    lease = (await ask(guarded, "/v1/leases", mine)).json["lease"]["id"]
    before = await balance(guarded)
    span = ASpan.of({}, scope=OTHERS)
    await guarded.send(span, key=other)
    spent = await balance(guarded)
    assert (spent[0], spent[1:]) == ("0.52847", before[1:])
    named = ASpan.of({"p402.lease": lease}, scope=OTHERS, trace_id=span.trace_id, span_id=span.span_id)
    for key in (other, mine):
        await guarded.send(named, key=key)
        assert await balance(guarded) == spent
    refused = await guarded.ask("POST", f"/v1/leases/{lease}/settle", json={"calls": 1}, headers=bearer(mine))
    assert refused.json == {"state": "open", "missing_calls": 1}
