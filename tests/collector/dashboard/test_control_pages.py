"""The pages that control spend: who may see and change what, what wrong input gets, and what is changed in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest

from p402.collector.notifications.events import EventType
from p402.collector.storage.outbox import SqlDeliveries
from p402.collector.storage.usage import SqlUsage
from support.budgets import ask, put_budget
from support.collector import PROTOBUF
from support.evaluations import evaluations
from support.otlp import MAY_2026, ASpan
from support.server import Answer, Server, bearer, serving

APRIL = MAY_2026 - 30 * 86_400_000_000_000
LEGAL = {"level": "department", "node": "legal", "cap": "1.00", "owner": "ada"}
FORM = {"cap": "1.00", "mode": "enforce", "warn_at": "80, 95", "owner": "ada"}
BY_SCRIPT = {"HX-Request": "true"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Three calls of legal this month, two in April."""
    async with serving(tmp_path, default_organisation="acme") as running:
        await running.send(*(ASpan() for _ in range(3)), *(ASpan.of(started_ns=APRIL) for _ in range(2)))
        await SqlUsage(running.collector.database).follow(100)
        running.clock.advance(minutes=1)
        yield running


async def shown(server: Server, path: str, key: str | None = None) -> str:
    answer = await server.get(path, key)
    assert answer.status == 200, answer.body
    return text_of(answer)


def text_of(answer: Answer) -> str:
    return unescape(answer.body.decode())


async def send(server: Server, path: str, key: str | None, form: Mapping[str, str], **headers: str) -> Answer:
    return await server.ask("POST", path, data=dict(form), headers={**bearer(key), **headers})


# --- budgets


async def test_a_changed_cap_is_in_force_and_audited(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    key = await server.key("admin")
    answer = await send(server, "/budgets/legal", key, {**FORM, "cap": "$2,000.50", "hard": "yes", "action": "save"})
    assert (answer.status, answer.headers["Location"]) == (303, "/budgets/legal?done=saved")
    budget = (await server.get("/v1/budgets/legal")).json
    assert (budget["cap"], budget["hard"], budget["warn_at"], budget["owner"]) == ("2000.50", True, [80, 95], "ada")
    [change, _] = (await server.get("/v1/audit", key)).json["audit"]
    assert (change["action"], change["actor"][:4]) == ("budget.changed", "key_")
    page = await shown(server, "/budgets/legal?done=saved", key)
    assert "in force from the next call on" in page
    assert "cap 1.00 → 2000.50" in page


async def test_a_budget_is_made_previewed_and_retired_by_forms(server: Server) -> None:
    key = await server.key("admin")
    form = {**FORM, "name": "sales", "level": "department", "node": "sales", "measure": "cost", "period": "month"}
    assert (await send(server, "/budgets/new", key, {**form, "action": "preview"})).status == 200
    assert (await server.get("/v1/budgets")).json["budgets"] == []  # a preview makes nothing
    made = await send(server, "/budgets/new", key, {**form, "action": "save"})
    assert (made.status, made.headers["Location"]) == (303, "/budgets/sales?done=made")
    again = await send(server, "/budgets/new", key, {**form, "cap": "5", "action": "save"})
    assert again.status == 400
    assert "there is a budget 'sales' already" in text_of(again)
    gone = await send(server, "/budgets/sales", key, {"action": "retire"})
    assert (gone.status, gone.headers["Location"]) == (303, "/budgets?done=retired")
    assert (await server.get("/v1/budgets")).json["budgets"] == []
    assert (await server.get("/budgets/sales", key)).status == 404


async def test_the_preview_says_what_the_cap_would_have_done(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    key = await server.key("admin")
    answer = await send(server, "/budgets/legal", key, {**FORM, "cap": "0.30", "action": "preview"})
    page = " ".join(text_of(answer).split())
    assert answer.status == 200
    assert "It would change <b>cap</b> from 1.00 to 0.30" in page
    april, may = page.index("April 2026, complete"), page.index("May 2026, so far")
    assert "1 of them would have been refused" in page[april:may]  # each call is $0.264235
    assert "2 of them would have been refused" in page[may:]
    assert "2026-05-15 09:00:00" in page[may:]
    assert (await server.get("/v1/budgets/legal")).json["cap"] == "1.00"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cap": "much"}, "An amount is a decimal string"),
        ({"cap": "-1"}, "not negative"),
        ({"warn_at": "80, 101"}, "less than or equal to 100"),
        ({"mode": "sometimes"}, "'enforce' or 'observe'"),
        ({"action": "override", "amount": "5", "owner": "cfo", "reason": "x", "expires_at": "soon"}, "a time such as"),
        (
            {"action": "override", "amount": "5", "owner": "cfo", "reason": "x", "expires_at": "2026-05-01T00:00"},
            "in the future",
        ),
        (
            {"action": "override", "amount": "5", "owner": "cfo", "reason": "", "expires_at": "2026-06-01T00:00"},
            "at least 1",
        ),
        (
            {"action": "override", "amount": "0", "owner": "cfo", "reason": "x", "expires_at": "2026-06-01T00:00"},
            "more than nothing",
        ),
    ],
)
async def test_wrong_input_is_shown_again_with_what_is_wrong(server: Server, wrong: dict[str, str], said: str) -> None:
    await put_budget(server, "legal", LEGAL)
    answer = await send(server, "/budgets/legal", await server.key("admin"), {**FORM, "action": "save", **wrong})
    assert answer.status == 400
    assert said in text_of(answer)
    for typed in wrong.values():
        assert typed == wrong.get("mode") or f'value="{typed}"' in text_of(answer)
    assert (await server.get("/v1/budgets/legal")).json["cap"] == "1.00"


async def test_a_script_that_asks_for_a_preview_is_told_in_it_what_is_wrong(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    key = await server.key("admin")
    answer = await send(server, "/budgets/legal", key, {**FORM, "cap": "much", "action": "preview"}, **BY_SCRIPT)
    assert answer.status == 200  # or the script would not show it
    assert "No preview: cap: An amount is a decimal string" in text_of(answer)


async def test_an_override_is_in_force_until_it_expires(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    key = await server.key("admin")
    form = {
        "action": "override",
        "amount": "0.50",
        "owner": "cfo",
        "reason": "quarter end",
        "expires_at": "2026-05-16T00:00",
    }
    assert (await send(server, "/budgets/legal", key, form)).status == 303
    assert (await server.get("/v1/budgets/legal")).json["cap_in_force"] == "1.5"
    assert "quarter end" in await shown(server, "/budgets/legal", key)
    server.clock.advance(days=1)
    assert (await server.get("/v1/budgets/legal")).json["cap_in_force"] == "1"


async def test_who_may_only_read_sees_no_form_and_may_send_none(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    key = await server.key("spend:read")
    for path in ("/budgets", "/budgets/legal", "/policies", "/policies/legal", "/alerts"):
        page = await shown(server, path, key)
        assert 'method="post"' not in page
        assert "New budget" not in page
    assert (await server.get("/budgets/new", key)).status == 403
    for path in ("/budgets/legal", "/budgets/new", "/policies/legal", "/alerts"):
        assert (await send(server, path, key, {"action": "save"})).status == 403


async def test_a_head_of_a_department_sees_only_what_is_theirs(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    await put_budget(server, "sales", {"level": "department", "node": "sales", "cap": "3.00"})
    key = await server.key("spend:read", "review", organisation="acme", department="legal")
    page = await shown(server, "/budgets", key)
    assert ("legal" in page, "sales" in page) == (True, False)
    assert (await server.get("/budgets/sales", key)).status == 404
    assert (await server.get("/policies/sales", key)).status == 403
    assert "sales" not in await shown(server, "/policies", key)
    assert "code" not in await shown(server, "/routing?department=sales", key)


async def test_employees_are_not_named_where_names_are_hidden(server: Server) -> None:
    await put_budget(server, "people", {"level": "employee", "cap": "1.00"})
    await server.send(ASpan())
    for path in ("/budgets", "/budgets/people"):
        assert "e-1042" in await shown(server, path)
        assert "e-1042" not in await shown(server, f"{path}?people=hidden")


async def test_the_nodes_of_a_budget_come_in_pages(server: Server) -> None:
    await put_budget(server, "people", {"level": "employee", "cap": "1.00"})
    await server.send(*(ASpan.of({"p402.employee": f"e-{number:02}"}) for number in range(30)))
    page = await shown(server, "/budgets/people")
    [link] = [part.partition('"')[0] for part in page.split('href="') if "after=" in part.partition('"')[0]]
    rest = await shown(server, link)
    names = [{f"e-{number:02}" for number in range(30) if f">e-{number:02}<" in one} for one in (page, rest)]
    assert names[0] | names[1] == {f"e-{number:02}" for number in range(30)}
    assert not names[0] & names[1]


# --- policies


async def test_a_policy_is_made_changed_and_ended_as_versions_with_their_reasons(server: Server) -> None:
    key = await server.key("admin")
    form = {"text": "max_tier: standard", "reason": "too dear", "version": "0", "action": "save"}
    made = await send(server, "/policies/legal", key, form)
    assert (made.status, made.headers["Location"]) == (303, "/policies/legal?done=saved")
    page = await shown(server, "/policies/legal")
    assert "Models are of the tier standard at most." in page
    assert "too dear" in page
    changed = await send(server, "/policies/legal", key, {**form, "text": '{"max_tier": "economy"}', "version": "1"})
    assert changed.status == 303
    assert "max_tier: standard → economy" in await shown(server, "/policies/legal")
    assert "economy at most" in await shown(server, "/policies")
    ended = await send(server, "/policies/legal", key, {"version": "2", "action": "end"})
    assert ended.headers["Location"] == "/policies/legal?done=ended"
    assert (await server.get("/v1/policies/legal")).status == 404


async def test_a_policy_that_somebody_changed_meanwhile_is_not_overwritten(server: Server) -> None:
    key = await server.key("admin")
    form = {"text": "max_tier: standard", "version": "0", "action": "save"}
    await send(server, "/policies/legal", key, form)
    late = await send(server, "/policies/legal", key, {**form, "text": "max_tier: economy # mine"})
    page = text_of(late)
    assert late.status == 412
    assert "Somebody changed the policy meanwhile: it is at version 1 now" in page
    assert "max_tier: economy # mine" in page
    assert 'name="version" value="1"' in page  # so that saving once more is a decision
    assert (await server.get("/v1/policies/legal")).json["definition"] == {"max_tier": "standard"}


async def test_the_preview_of_a_policy_moves_the_calls_of_the_last_month(server: Server) -> None:
    key = await server.key("admin")
    text = "rules:\n- name: all\n  then: {model: claude-haiku-4-5}\n"
    form = {"text": text, "version": "0", "action": "preview"}
    page = " ".join(text_of(await send(server, "/policies/legal", key, form)).split())
    assert "Preview on April 2026, complete" in page
    assert 'claude-haiku-4-5</td><td class="n">2</td>' in page
    assert "−$0.42" in page  # two calls at $0.052847 for $0.264235
    page = " ".join(text_of(await send(server, "/policies/legal", key, {**form, "on": "now"})).split())
    assert "Preview on May 2026, so far" in page
    assert 'claude-haiku-4-5</td><td class="n">3</td>' in page
    assert (await server.get("/v1/policies/legal")).status == 404


async def test_the_default_is_previewed_on_departments_without_a_policy_of_their_own(server: Server) -> None:
    key = await server.key("admin")
    await server.send(ASpan.of({"p402.department": "sales"}))
    server.clock.advance(minutes=1)
    await send(server, "/policies/legal", key, {"text": "max_tier: premium", "version": "0", "action": "save"})
    form = {"text": "max_tier: economy", "version": "0", "action": "preview", "on": "now"}
    page = " ".join(text_of(await send(server, "/policies/_default", key, form)).split())
    assert "<span>Looked at</span><b>1</b>" in page


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_tier: best", "max_tier: Input should be"),
        ("- a\n- b", "Input should be a valid dictionary"),
        ("max_tier: [", "This is no YAML"),
        ("[" * 30_000, "This is no YAML"),
        ("rules: [{name: a, when: {time_from: 18:00}, then: {block: x}}]", 'time of day such as "18:00"'),
    ],
)
async def test_a_policy_that_is_none_is_refused_and_stays_typed(server: Server, text: str, said: str) -> None:
    answer = await send(
        server, "/policies/legal", await server.key("admin"), {"text": text, "version": "0", "action": "save"}
    )
    assert answer.status == 400
    assert said in text_of(answer)
    assert text in text_of(answer)


# --- alerts and routing


async def test_an_alert_is_resolved_once_with_a_note(server: Server) -> None:
    await put_budget(server, "legal", LEGAL)
    await server.send(ASpan())
    alerts = (await server.get("/v1/alerts")).json["alerts"]
    assert [alert["percent"] for alert in alerts] == [80, 95]
    page = await shown(server, "/alerts")
    assert page.count("more than 95 % spent") == 1
    form = {"alert_id": alerts[1]["alert_id"], "note": "cap raised"}
    resolved = await send(server, "/alerts", None, form)
    assert (resolved.status, resolved.headers["Location"]) == (303, "/alerts?done=resolved")
    assert "more than 95 % spent" not in await shown(server, "/alerts")
    assert "cap raised" in await shown(server, "/alerts?state=resolved")
    again = await send(server, "/alerts", None, form)
    assert again.status == 400
    assert "was resolved at" in text_of(again)
    assert (await send(server, "/alerts", None, {"alert_id": "alert_none"})).status == 404


async def test_an_alert_says_which_channels_were_told(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "warn_at": [80]})
    await server.send(ASpan())
    assert "<i>nobody</i>" in await shown(server, "/alerts")
    store, now = SqlDeliveries(server.collector.database), server.clock.now()
    await server.send(ASpan.of({"p402.department": "sales"}))
    await store.spread({"finance-chat": frozenset({EventType.BUDGET_PROJECTED}), "pager": frozenset(EventType)}, 3, now)
    page = await shown(server, "/alerts")
    assert "pager is being told" in page
    assert "finance-chat" not in page
    [claim] = await store.claim("pager", now, timedelta(seconds=30), 1)
    await store.failed(claim, "the address is gone", now)
    page = await shown(server, "/alerts")
    assert 'title="the address is gone">pager failed' in page


async def test_a_head_sees_and_resolves_alerts_of_budgets_within_their_department_only(server: Server) -> None:
    await put_budget(server, "legal", {**LEGAL, "warn_at": [80]})
    await put_budget(server, "acme", {"level": "organisation", "node": "acme", "cap": "1.00", "warn_at": [80]})
    await server.send(ASpan())
    key = await server.key("spend:read", "review", organisation="acme", department="legal")
    alerts = {alert["budget"]: alert["alert_id"] for alert in (await server.get("/v1/alerts")).json["alerts"]}
    page = await shown(server, "/alerts", key)
    assert (alerts["legal"] in page, alerts["acme"] in page) == (True, False)
    assert (await send(server, "/alerts", key, {"alert_id": alerts["acme"]})).status == 404
    assert (await send(server, "/alerts", key, {"alert_id": alerts["legal"]})).status == 303


async def test_a_head_sees_no_alert_of_another_department_s_budget_that_had_the_name_of_theirs(server: Server) -> None:
    await put_budget(server, "team", {**LEGAL, "warn_at": [80]})
    await server.send(ASpan())
    await put_budget(server, "team", {**LEGAL, "node": "sales"})
    key = await server.key("spend:read", "review", organisation="acme", department="sales")
    [alert] = (await server.get("/v1/alerts")).json["alerts"]
    assert alert["node"] == "legal"
    for path in ("/alerts", "/budgets/team"):
        assert "more than 80 % spent" not in await shown(server, path, key), path
    assert (await send(server, "/alerts", key, {"alert_id": alert["alert_id"]})).status == 404


async def test_a_head_sees_the_changes_of_a_budget_since_it_is_theirs(server: Server) -> None:
    for change in ({"cap": "77.77"}, {"cap": "5", "node": "sales"}, {"cap": "6", "node": "sales"}):
        await put_budget(server, "team", {**LEGAL, **change})
        server.clock.advance(minutes=1)
    key = await server.key("spend:read", organisation="acme", department="sales")
    page = await shown(server, "/budgets/team", key)
    assert ("cap 5 → 6" in page, "77.77" in page, "legal" in page) == (True, False, False)
    assert "cap 77.77 → 5" in await shown(server, "/budgets/team", await server.key("spend:read"))


async def test_a_head_sees_no_refused_call_of_another_department_s_budget_that_had_the_name_of_theirs(
    server: Server,
) -> None:
    await put_budget(server, "team", {**LEGAL, "cap": "0.01", "mode": "enforce"})
    assert (await ask(server, "/v1/decisions")).status == 402
    server.clock.advance(minutes=1)
    await put_budget(server, "team", {**LEGAL, "node": "sales"})
    page = await shown(server, "/budgets/team", await server.key("spend:read", organisation="acme", department="sales"))
    assert "there is none that came to this budget" in page


async def test_premium_work_is_shown_by_department_and_type_of_task(server: Server) -> None:
    await server.send(
        ASpan.of({"p402.task_type": "review"}),
        ASpan.of(
            {
                "p402.department": "sales",
                "gen_ai.request.model": "claude-haiku-4-5",
                "gen_ai.response.model": "claude-haiku-4-5",
            }
        ),
    )
    await SqlUsage(server.collector.database).follow(100)
    page = " ".join((await shown(server, "/routing")).split())
    assert "95 % of the spend, 80 % of the calls" in page  # four of five calls are of an opus
    assert "review" in page
    only = await shown(server, "/routing?department=sales")
    assert "claude-haiku-4-5" in only
    assert "claude-opus-4-5" not in only


async def test_what_another_model_saved_is_the_price_of_the_one_that_was_asked_for(server: Server) -> None:
    haiku = {"gen_ai.request.model": "claude-haiku-4-5", "gen_ai.response.model": "claude-haiku-4-5"}
    decided = {"p402.decision.verdict": "downgrade", "p402.decision.original_model": "claude-opus-4-5"}
    await server.send(ASpan.of({**haiku, **decided}))
    await SqlUsage(server.collector.database).follow(100)
    page = " ".join((await shown(server, "/routing")).split())
    assert "$0.05 for $0.26, at equal tokens" in page
    assert 'title="$0.211388">$0.21</b>' in page


async def test_quality_is_shown_beside_the_tier_of_the_model(server: Server) -> None:
    reviews = [ASpan.of({"p402.task_type": "review"}) for _ in range(2)]
    await server.send(*reviews)
    await server.ask("POST", "/v1/logs", data=evaluations(*zip(reviews, (0.5, 0.25), strict=True)), headers=PROTOBUF)
    await SqlUsage(server.collector.database).follow(100)
    page = " ".join((await shown(server, "/routing?task_type=review")).split())
    table = page[page.index('id="quality"') :]
    assert "premium" in table
    assert '<td class="n">2</td><td class="n">0.38</td><td class="n">0.25</td><td class="n">0.50</td>' in table
    for elsewhere in ("task_type=other", "department=sales", "department="):
        assert 'id="quality"' not in await shown(server, f"/routing?{elsewhere}")


async def test_pages_without_anything_say_what_to_do_next(tmp_path: Path) -> None:
    async with serving(tmp_path) as empty:
        assert "There is no budget yet" in await shown(empty, "/budgets")
        assert "none: every model may be used" in await shown(empty, "/policies")
        assert "No call was made in this period" in await shown(empty, "/routing")
        assert "there are no <a" in await shown(empty, "/alerts")
