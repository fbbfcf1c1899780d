"""A question asked again with its ``Idempotency-Key``: the same answer while money is held for it, a new one after that."""

from __future__ import annotations

from typing import Any

import pytest

from support.budgets import LEGAL, ask, balance, put_budget
from support.directory import people_csv
from support.server import Answer, Server, bearer

ONE_CALL = {**LEGAL, "cap": "0.30"}
"""Enough for one call of the worked example, $0.264235."""
USED = {"usage": {"input_tokens": 2_847, "output_tokens": 10_000}}


async def again(server: Server, key: str | None = None, **changed: Any) -> Answer:
    """Ask with the key of a job."""
    return await ask(server, "/v1/decisions", key, headers={"Idempotency-Key": "job-17"}, **changed)


async def settle(server: Server, decided: Answer, **settlement: Any) -> str:
    answer = await server.ask("POST", f"/v1/decisions/{decided.json['id']}/settle", json=settlement)
    return str(answer.json["outcome"])


@pytest.mark.parametrize("limits", [{}, {"measure": "tokens", "cap": "20000"}])
async def test_the_same_question_is_answered_the_same_and_holds_once(server: Server, limits: dict[str, str]) -> None:
    await put_budget(server, "legal", {**LEGAL, **limits})
    first = await again(server)
    server.clock.advance(seconds=5)
    assert (await again(server)).json == first.json
    held = await balance(server)
    assert held == (("0", "0.000012847", "0") if limits else ("0", "0.264235", "0"))


async def test_an_answer_that_was_clamped_says_again_what_is_held(guarded: Server) -> None:
    await put_budget(guarded, "legal", {**LEGAL, "cap": "0.30"})  # of which a call before has taken $0.264235
    key = await guarded.key("budgets:write", "feedback", organisation="acme")
    policy = {"at_cap": {"rungs": ["clamp"], "least_output_tokens": 100}}
    assert (await guarded.ask("PUT", "/v1/policies/legal", json=policy, headers=bearer(key))).status == 201
    first = await again(guarded, key, question={"can_clamp": True})
    assert first.json["verdict"] == "clamp"
    assert (await again(guarded, key, question={"can_clamp": True})).json == first.json


@pytest.mark.parametrize("then", ["not billed", "charged", "expired"])
async def test_once_nothing_is_held_any_more_it_is_decided_afresh(server: Server, then: str) -> None:
    await put_budget(server, "legal", ONE_CALL)
    first = await again(server, expires_in_seconds=60)
    if then == "expired":
        server.clock.advance(seconds=61)
    else:
        settlement = {"outcome": "not_billed"} if then == "not billed" else USED
        await settle(server, first, **settlement)
        if then == "not billed":
            assert (await ask(server, "/v1/decisions")).json["verdict"] == "allow"  # another call takes what came back
    second = await again(server)
    assert second.json["verdict"] in ("wait", "block")
    assert second.json.get("id") != first.json["id"]


async def test_a_call_that_was_charged_is_another_call_when_it_is_asked_about_again(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    first = await again(server)
    assert await settle(server, first, **USED) == "charged"
    second, third = await again(server), await again(server)
    assert first.json["id"] != second.json["id"] == third.json["id"]
    assert await balance(server) == ("0.264235", "0.264235", "0")
    assert await settle(server, second, **USED) == "charged"
    assert await balance(server) == ("0.52847", "0", "0")


async def test_a_call_that_needed_no_hold_is_held_for_once_there_is_a_budget(server: Server) -> None:
    assert (await again(server)).json["code"] == "no_budget"
    await put_budget(server, "legal", ONE_CALL)
    assert (await again(server)).json["code"] == "within_budget"
    assert await balance(server) == ("0", "0.264235", "0")


async def test_a_refused_call_may_be_made_once_the_cap_is_raised(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "cap": "0.1"})
    assert (await again(server)).status == 402
    await put_budget(server, "legal", LEGAL)
    assert (await again(server)).json["verdict"] == "allow"


async def test_a_key_stands_for_one_question(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    first = await again(server)
    other = await again(server, question={"output_tokens": 60_000})
    assert (other.status, other.json["type"]) == (422, "about:p402/unprocessable-content")
    assert "another question" in other.json["detail"]
    await settle(server, first, outcome="not_billed")
    assert (await again(server, question={"output_tokens": 60_000})).status == 422
    assert await balance(server) == ("0", "0", "0")


async def test_a_question_is_the_same_when_its_employee_has_moved(guarded: Server) -> None:
    await put_budget(guarded, "legal", LEGAL)
    key, admin = await guarded.key("feedback", organisation="acme"), await guarded.key("admin")
    answers = []
    for department in ("legal", "sales"):
        body, headers = people_csv(f"e-7,Ada,{department}"), {"Content-Type": "text/csv", **bearer(admin)}
        moved = await guarded.ask("PUT", "/v1/directory?organisation=acme", data=body.encode(), headers=headers)
        assert moved.status == 200
        answers.append(await again(guarded, key, question={"department": None, "employee": "e-7"}))
    assert answers[0].json == answers[1].json
    assert await balance(guarded) == ("0.264235", "0.264235", "0")


async def test_two_api_keys_may_use_the_same_key(guarded: Server) -> None:
    await put_budget(guarded, "legal", {**LEGAL, "cap": "10"})
    mine, other = [await guarded.key("feedback", organisation="acme") for _ in range(2)]
    ids = [(await again(guarded, key)).json["id"] for key in (mine, other)]
    assert ids[0] != ids[1]
    assert [(await again(guarded, key)).json["id"] for key in (mine, other)] == ids
