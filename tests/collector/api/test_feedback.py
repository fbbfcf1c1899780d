"""The feedback API: decisions and leases hold money, charges take it, and what is not needed comes back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from support.budgets import LEGAL, ask, balance, override_budget, put_budget
from support.otlp import ASpan
from support.server import Server, bearer


async def test_without_a_budget_every_call_is_allowed_and_nothing_is_held(server: Server) -> None:
    answer = await ask(server, "/v1/decisions")
    assert answer.status == 200
    assert (answer.json["verdict"], answer.json["code"]) == ("allow", "no_budget")
    assert "expires_at" not in answer.json


async def test_a_decision_holds_the_most_that_the_call_can_cost(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    answer = await ask(server, "/v1/decisions")
    assert (answer.status, answer.json["verdict"], answer.json["code"]) == (200, "allow", "within_budget")
    assert answer.json["holds"]["cost"] == "0.264235"
    assert await balance(server) == ("0", "0.264235", "0")


async def test_a_cap_admits_what_fits_and_refuses_the_rest_with_a_problem_that_names_the_budget(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "0.60"})
    answers = [await ask(server, "/v1/decisions") for _ in range(3)]
    assert [answer.status for answer in answers[:2]] == [200, 200]
    waiting = answers[2].json
    assert (waiting["verdict"], waiting["code"]) == ("wait", "holds_pending")  # what the two hold may come back
    for answer in answers[:2]:
        usage = {"input_tokens": 2_847, "output_tokens": 10_000}
        await server.ask("POST", f"/v1/decisions/{answer.json['id']}/settle", json={"usage": usage})
    refused = await ask(server, "/v1/decisions")
    assert (refused.status, refused.media_type) == (402, "application/problem+json")
    assert (refused.json["verdict"], refused.json["code"]) == ("block", "budget_exhausted")
    assert "budget=legal, left=$0.07153, needed=$0.264235" in refused.json["rationale"]
    assert await balance(server) == ("0.52847", "0", "0")


async def test_concurrent_decisions_never_hold_more_than_the_cap(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    answers = await asyncio.gather(*(ask(server, "/v1/decisions") for _ in range(32)))
    assert sum(answer.json["verdict"] == "allow" for answer in answers) == 3
    assert await balance(server) == ("0", "0.792705", "0")


async def test_a_settlement_charges_what_was_used_and_frees_the_rest(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    decided = (await ask(server, "/v1/decisions")).json
    body = {"usage": {"input_tokens": 1_000, "output_tokens": 100}, "model": "claude-opus-4-5", "response_id": "msg_1"}
    settled = await server.ask("POST", f"/v1/decisions/{decided['id']}/settle", json=body)
    assert (settled.status, settled.json["outcome"]) == (200, "charged")
    # 1,000 × $5 and 100 × $25 a million tokens.
    assert await balance(server) == ("0.0075", "0", "0")
    [charge] = (await server.get("/v1/charges?organisation=acme")).json["charges"]
    assert (charge["cost_usd"], charge["department"], charge["verdict"]) == ("0.0075", "legal", "allow")


async def test_a_call_that_was_not_billed_gives_everything_back(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    decided = (await ask(server, "/v1/decisions")).json
    settled = await server.ask("POST", f"/v1/decisions/{decided['id']}/settle", json={"outcome": "not_billed"})
    assert settled.json["outcome"] == "not_billed"
    assert await balance(server) == ("0", "0", "0")


@pytest.mark.parametrize("span_first", [True, False])
async def test_settlement_and_span_of_one_decision_are_one_charge_whichever_comes_first(
    server: Server, *, span_first: bool
) -> None:
    await put_budget(server, "legal", LEGAL)
    decided = (await ask(server, "/v1/decisions")).json
    span = ASpan.of({"p402.lease": decided["id"]})
    usage = {"usage": {"input_tokens": 2_847, "output_tokens": 10_000}}
    if span_first:
        await server.send(span)
    await server.ask("POST", f"/v1/decisions/{decided['id']}/settle", json=usage)
    if not span_first:
        await server.send(span)
    assert len((await server.get("/v1/charges?organisation=acme")).json["charges"]) == 1
    assert await balance(server) == ("0.264235", "0", "0")


async def test_a_lease_holds_calls_ahead_while_much_is_left_and_only_the_call_itself_when_little_is(
    server: Server,
) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "1000"})
    much = (await ask(server, "/v1/leases")).json
    assert much["lease"]["amounts"] == {"cost": "4.22776"}  # 16 × $0.264235, less than a 32nd of what is left
    await put_budget(server, "legal", LEGAL)
    little = (await ask(server, "/v1/leases", rules_version=much["rules"]["version"])).json
    assert little["decision"]["verdict"] == "wait"  # the first lease holds more than the cap now is
    assert little["rules"]["version"] > much["rules"]["version"]


async def test_each_answer_says_what_limits_its_own_path_and_the_rules_say_it_to_older_askers(server: Server) -> None:
    await put_budget(server, "each", {"level": "request", "within": {"project": "pilot"}, "cap": "0.50"})
    await put_budget(server, "pilot", {**LEGAL, "level": "project", "node": "pilot", "hard": True})
    await put_budget(server, "watched", {**LEGAL, "hard": True, "mode": "observe"})
    pilot = (await ask(server, "/v1/leases", question={"project": "pilot"})).json
    assert pilot["limits"] == {"ceilings": {"cost": "0.5"}, "hard": True}
    assert {name: pilot["rules"][name] for name in ("ceilings", "hard")} == pilot["limits"]
    other = (await ask(server, "/v1/leases", rules_version=pilot["rules"]["version"])).json
    assert (other["limits"], other["rules"]) == ({"ceilings": {}, "hard": False}, None)


async def test_what_an_override_allows_ends_with_it_for_who_has_a_lease_and_for_who_has_none(server: Server) -> None:
    await put_budget(server, "each", {"level": "request", "cap": "0.10"})
    await override_budget(server, "each", "1.00", timedelta(seconds=20))
    free = (await ask(server, "/v1/leases")).json
    assert (free["lease"], free["limits"]["ceilings"]) == (None, {"cost": "1.1"})
    assert free["current_until"] == "2026-05-15T09:00:20.000Z"
    await put_budget(server, "legal", LEGAL)
    held = (await ask(server, "/v1/leases")).json
    assert held["lease"]["expires_at"] == "2026-05-15T09:00:20.000Z"
    server.clock.advance(seconds=20)
    after = (await ask(server, "/v1/leases", question={"output_tokens": 100})).json
    assert (after["limits"]["ceilings"], after["current_until"]) == (
        {"cost": "0.1"},
        "2026-05-15T10:00:00.000Z",
    )  # when prices change
    assert after["lease"]["expires_at"] == "2026-05-15T09:00:50.000Z"


async def test_money_is_held_at_the_prices_of_the_minute_and_an_answer_says_until_when_they_are_those(
    server: Server,
) -> None:
    await put_budget(server, "legal", LEGAL)
    call = {"provider": "deepseek", "model": "deepseek-chat", "input_tokens": 100_000, "output_tokens": 100_000}
    server.clock.advance(hours=15, minutes=29)
    # Until 00:30 UTC a million tokens cost $0.135 and $0.55, by day $0.27 and $1.10.
    for minutes, cost, until in ((0, "0.0685", "00:30"), (1, "0.137", "01:00")):  # then another model's prices change
        server.clock.advance(minutes=minutes)
        answer = (await ask(server, "/v1/leases", question=call)).json
        assert answer["decision"]["holds"]["cost"] == cost
        assert answer["current_until"] == f"2026-05-16T{until}:00.000Z"


async def test_a_lease_tells_of_enforced_budgets_and_holds_for_those_that_observe_what_it_would_if_they_were(
    server: Server,
) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "1000"})
    await put_budget(server, "tokens", {**LEGAL, "measure": "tokens", "cap": "10000000", "mode": "observe"})
    await put_budget(server, "calls", {**LEGAL, "measure": "requests", "cap": "100", "mode": "observe"})
    lease = (await ask(server, "/v1/leases")).json["lease"]
    assert lease["amounts"] == {"cost": "4.22776"}  # 16 calls; the others limit nothing
    accounts = "SELECT name, held FROM budget_accounts JOIN budgets ON budgets.id = budget_id"
    held = await server.collector.database.read(lambda connection: connection.exec_driver_sql(accounts).fetchall())
    # 16 × 12,847 tokens; a 32nd of 100 calls
    assert {tuple(row) for row in held} == {("legal", 4_227_760_000), ("tokens", 205_552), ("calls", 3)}


async def test_a_lease_is_drawn_down_by_the_charges_under_it_and_given_back_when_all_have_come(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "1000"})
    lease = (await ask(server, "/v1/leases")).json["lease"]
    path = f"/v1/leases/{lease['id']}/settle"
    early = await server.ask("POST", path, json={"calls": 1})
    assert early.json == {"state": "open", "missing_calls": 1}
    assert await balance(server) == ("0", "4.22776", "0")
    await server.send(ASpan.of({"p402.lease": lease["id"]}))
    assert await balance(server) == ("0.264235", "3.963525", "0")
    kept = await server.ask("POST", path, json={"calls": 1, "keep": {"cost": "0.264235"}})
    assert kept.json == {"state": "open", "missing_calls": 0}
    assert await balance(server) == ("0.264235", "0.264235", "0")
    closed = await server.ask("POST", path, json={"calls": 1})
    assert closed.json == {"state": "closed", "missing_calls": 0}
    assert await balance(server) == ("0.264235", "0", "0")


async def test_an_expired_lease_is_unreconciled_until_its_spans_come_or_its_grace_is_over(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    lease = (await ask(server, "/v1/leases")).json["lease"]
    server.clock.advance(seconds=90)
    await server.collector.keeper.look()
    assert await balance(server) == ("0", "0", "0.264235")
    await server.send(ASpan.of({"p402.lease": lease["id"], "gen_ai.usage.output_tokens": 2_000}))
    assert await balance(server) == ("0.064235", "0", "0.2")
    server.clock.advance(seconds=86_400)
    await server.collector.keeper.look()
    assert await balance(server) == ("0.064235", "0", "0")


async def test_somebody_elses_lease_is_neither_drawn_from_nor_given_back(guarded: Server) -> None:
    await put_budget(guarded, "legal", LEGAL)
    mine, other = [await guarded.key("feedback", "ingest", organisation="acme") for _ in range(2)]
    lease = (await ask(guarded, "/v1/leases", mine)).json["lease"]
    await guarded.send(ASpan.of({"p402.lease": lease["id"]}), key=other)
    assert await balance(guarded) == ("0.52847", "0.264235", "0")  # what was spent before it, and this
    stolen = await guarded.ask("POST", f"/v1/leases/{lease['id']}/settle", json={}, headers=bearer(other))
    assert stolen.status == 404


async def test_the_binding_of_the_key_wins_over_what_the_question_says(guarded: Server) -> None:
    await put_budget(guarded, "legal", {**LEGAL, "cap": "0"})
    key = await guarded.key("feedback", organisation="acme", department="legal")
    answer = await ask(guarded, "/v1/decisions", key, question={"department": "marketing"})
    assert (answer.status, answer.json["code"]) == (402, "budget_exhausted")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"input_tokens": -1}, "question.input_tokens"),
        ({"complexity": 11}, "question.complexity"),
        ({"model": None}, "question.model"),
        ({"needs": ["telepathy"]}, "question.needs"),
        ({"department": " legal"}, "question.department"),
        ({"prompt": "never"}, "question.prompt"),
    ],
)
async def test_a_question_that_is_wrong_is_refused_with_the_field(
    server: Server, changed: dict[str, Any], named: str
) -> None:
    answer = await ask(server, "/v1/decisions", question=changed)
    assert answer.status == 400
    assert named in answer.json["detail"]


@pytest.mark.parametrize("body", [b"", b"[", b"7", b"\xff", b"x" * 70_000])
async def test_a_body_that_is_no_question_is_refused(server: Server, body: bytes) -> None:
    answer = await server.ask("POST", "/v1/leases", data=body)
    assert (answer.status, answer.json["title"]) == (400, "Bad request")


async def test_a_proxy_is_told_403_when_the_department_is_spent_and_200_when_its_cap_is_raised(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "0.07"})
    who = {"X-P402-Organisation": "acme", "X-P402-Department": "legal"}
    first, second = [await server.ask("GET", "/v1/authorize", headers=who) for _ in range(2)]
    assert (first.status, second.status) == (200, 403)  # $0.05 is held for the first
    assert second.headers["X-P402-Budget"] == "legal"
    await put_budget(server, "legal", LEGAL)
    assert (await server.ask("GET", "/v1/authorize", headers=who)).status == 200


async def test_the_stream_says_that_rules_have_changed_and_that_somebody_waits(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "0.30"})
    async with server.session.get(f"{server.url}/v1/feedback/stream?organisation=acme") as stream:
        assert await _event(stream) == ("rules", '{"version": 1}')
        await put_budget(server, "legal", {**LEGAL, "cap": "0.40"})
        assert await _event(stream) == ("rules", '{"version": 2}')
        await ask(server, "/v1/decisions")
        await ask(server, "/v1/decisions")
        while (event := await _event(stream)) == ("rules", '{"version": 2}'):
            pass  # it may be said more often than needed
        assert event == ("recall", "{}")


async def test_the_stream_of_a_revoked_key_ends(guarded: Server) -> None:
    key = await guarded.key("feedback", organisation="acme")
    async with guarded.session.get(f"{guarded.url}/v1/feedback/stream", headers=bearer(key)) as stream:
        assert (await _event(stream))[0] == "rules"
        [found] = [one for one in await guarded.collector.keys.list() if one.scopes == {"feedback"}]
        await guarded.collector.keys.revoke(found.id, guarded.clock.now())
        assert (await _event(stream))[0] == "revoked"
        assert await asyncio.wait_for(stream.content.read(), 10) == b""


async def test_a_collector_that_stops_ends_its_streams_at_once(server: Server) -> None:
    async with server.session.get(f"{server.url}/v1/feedback/stream?organisation=acme") as stream:
        await _event(stream)
        await server.collector.app.shutdown()
        assert await asyncio.wait_for(stream.content.read(), 10) == b""


async def _event(stream: Any) -> tuple[str, str]:
    async with asyncio.timeout(10):
        name = (await stream.content.readuntil(b"\n")).decode().removeprefix("event: ").strip()
        data = (await stream.content.readuntil(b"\n\n")).decode().removeprefix("data: ").strip()
    return name, data
