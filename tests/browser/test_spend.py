"""The month and its parts as people read them: every figure is the sum of the calls that it leads to."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from p402.collector.dashboard.format import cents, usd
from p402.vocabulary import Money
from support.browser import is_wider_than_the_window, opened, picture
from support.collector import RunningCollector, eventually, running_collector
from support.otlp import ASpan, request_of

pytestmark = pytest.mark.timeout(120)

SEED = random.Random().randrange(10**6)
DEPARTMENTS = {"engineering": ["platform", "search"], "legal": ["contracts"], "marketing": ["website", "campaign"]}
MODELS = {"claude-opus-4-5": "anthropic", "gpt-4o": "openai", "gpt-4o-mini": "openai", "nobody-knows-it": "openai"}


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    """Calls of the last 30 days, some of them unattributed and some without a price."""
    settings = {"P402_DEFAULT_ORGANISATION": "acme", "P402_RATE_LIMIT_PER_MINUTE": "0"}
    with running_collector(tmp_path_factory.mktemp("spend"), settings) as collector:
        assert collector.export(request_of(some_calls(400))).status_code == 200
        caught_up(collector, 400)
        yield collector


def some_calls(count: int) -> list[ASpan]:
    chance, now = random.Random(402), datetime.now(UTC)
    calls = []
    for number in range(count):
        department = chance.choice([*DEPARTMENTS, None])
        model = chance.choice(list(MODELS))
        at = now - timedelta(days=chance.randrange(29), minutes=chance.randrange(600))
        levels = {
            "p402.department": department,
            "p402.project": chance.choice(DEPARTMENTS[department]) if department else None,
            "p402.client": chance.choice(["globex", None]),
            "p402.employee": f"e-{chance.randrange(12)}",
            "p402.session": f"s-{number % 40}",
            "p402.task_type": chance.choice(["summarise", "code_review", None]),
        }
        asked = {"gen_ai.provider.name": MODELS[model], "gen_ai.request.model": model, "gen_ai.response.model": model}
        tokens = {"gen_ai.usage.input_tokens": chance.randrange(60_000), "gen_ai.usage.output_tokens": 900}
        calls.append(ASpan.of({**levels, **asked, **tokens}, started_ns=int(at.timestamp() * 1000) * 10**6))
    return calls


def caught_up(collector: RunningCollector, count: int) -> None:
    eventually(lambda: f"<b>{count:,}</b> calls" in collector.text("/calls", period="90d"))


def charges_of(collector: RunningCollector) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = collector.get("/v1/charges", limit="1000")["charges"]
    return found


def figure(page: Page, name: str) -> str:
    """The figure under a name."""
    return page.locator(".figures > div", has_text=re.compile(f"^{name}")).locator("b").inner_text()


def test_the_figures_are_the_sums_of_the_exported_charges(metered: RunningCollector, browser: Browser) -> None:
    """Three slices chosen at random; the seed is printed."""
    print(f"\nseed {SEED}")  # noqa: T201
    chance, charges = random.Random(SEED), charges_of(metered)
    for _ in range(3):
        names = chance.sample(["department", "project", "client", "employee", "response_model", "task_type"], 2)
        chosen = chance.choice(charges)
        only = {name: chosen[name] or "" for name in names}
        mine = [one for one in charges if all((one[name] or "") == value for name, value in only.items())]
        cost = Money(sum(Money.parse(one["cost_usd"]).nano_usd for one in mine if one["cost_usd"] is not None))
        query = "&".join(f"{name.replace('response_', '')}={value}" for name, value in only.items())
        with opened(browser, f"{metered.url}/spend/provider?period=30d&{query}", "desktop") as page:
            assert figure(page, "Spent") == cents(cost), (SEED, only)
            assert page.locator(".figures .main b").get_attribute("title") == usd(cost)
            assert figure(page, "Calls") == f"{len(mine):,}"


def test_the_first_page_shows_what_was_spent_and_what_has_no_price(metered: RunningCollector, browser: Browser) -> None:
    charges = charges_of(metered)
    unpriced = sum(charge["cost_usd"] is None for charge in charges)
    with opened(browser, f"{metered.url}/?period=30d", "desktop") as page:
        assert figure(page, "Without a price") == str(unpriced)
        assert figure(page, "Calls") == f"{len(charges):,}"
        departments = page.get_by_role("region", name="Departments").inner_text()
        assert "unattributed" in departments


def test_a_call_that_two_instrumentations_report_is_charged_once_and_the_other_report_is_kept(
    tmp_path: Path, browser: Browser
) -> None:
    answer = {"gen_ai.response.id": "msg_1"}
    inner = ASpan.of(answer, parent_span_id=b"outer..1", started_ns=0)
    outer = ASpan.of(answer, trace_id=inner.trace_id, span_id=b"outer..1", scope="other", started_ns=0)
    with running_collector(tmp_path, {"P402_DEFAULT_ORGANISATION": "acme"}) as collector:
        collector.export(request_of([inner, outer]))
        with opened(browser, f"{collector.url}/set-aside", "desktop") as page:
            rows = page.get_by_role("region", name="Spans set aside").locator("tbody tr")
            assert rows.count() == 1
            assert "duplicate" in rows.inner_text()
            assert inner.trace_id.hex() in rows.inner_text()


def test_an_empty_collector_says_what_to_do_next(tmp_path: Path, browser: Browser) -> None:
    with running_collector(tmp_path) as collector, opened(browser, collector.url, "phone") as page:
        assert "opentelemetry-instrument python app.py" in page.locator("main").inner_text()
        assert not is_wider_than_the_window(page)
        picture(page, "empty-phone")


def test_a_number_leads_down_seven_levels_to_its_calls(metered: RunningCollector, browser: Browser) -> None:
    with opened(browser, f"{metered.url}/?period=30d", "desktop") as page:
        assert metered.url.removeprefix("http://") in page.url
        page.get_by_role("region", name="Departments").get_by_role("link", name="legal").click()
        page.locator("#rows").get_by_role("link", name="contracts").click()
        page.locator("#rows").get_by_role("link", name="globex").click()
        spent = page.locator(".figures .main b").get_attribute("title")
        page.locator(".figures").get_by_role("link").click()
        assert spent is not None
        assert spent in page.locator("main").inner_text()
        told = [chip.inner_text() for chip in page.locator(".chip").all()]
        assert [re.sub(r"\s+", " ", chip) for chip in told] == [
            "department legal ×",
            "project contracts ×",
            "client globex ×",
        ]
        page.locator(".chip", has_text="globex").get_by_role("link").click()
        assert page.locator(".chip").count() == 2


def test_each_level_adds_up_to_the_total(metered: RunningCollector, browser: Browser) -> None:
    with opened(browser, f"{metered.url}/spend/department?period=30d", "desktop") as page:
        total = page.locator(".figures .main b").get_attribute("title")
        for tab in ("project", "client", "employee", "model", "task type"):
            page.get_by_role("navigation", name="Told apart by").get_by_role("link", name=tab).click()
            parts = [cell.get_attribute("title") or "" for cell in page.locator("#rows tbody td:nth-child(2)").all()]
            whole = Money(sum(Money.parse(part.lstrip("$").replace(",", "")).nano_usd for part in parts))
            assert usd(whole) == total
        picture(page, "spend-by-task-type-desktop-light")


def test_an_open_page_shows_a_new_call_without_being_built_anew(metered: RunningCollector, browser: Browser) -> None:
    with opened(browser, f"{metered.url}/spend/department?period=30d", "desktop") as page:
        page.locator("#days-plot canvas").wait_for()
        before = int(figure(page, "Calls"))
        page.evaluate("document.querySelector('#days-plot').seen = true")
        page.get_by_text("As a table").click()
        metered.export(request_of([ASpan.of({"p402.department": "late"}, started_ns=0)]))
        page.locator("#rows").get_by_role("link", name="late").wait_for(timeout=15_000)  # on a machine with much to do
        assert figure(page, "Calls") == str(before + 1)
        assert page.evaluate("document.querySelector('#days-plot').seen")
        assert page.locator("#days details").get_attribute("open") is not None


def test_of_changes_that_follow_each_other_closely_none_is_missed(metered: RunningCollector, browser: Browser) -> None:
    """More of them than a browser has connections to one server: a page listens to one stream, however often it refreshes."""
    with opened(browser, f"{metered.url}/spend/department?period=30d", "desktop") as page:
        page.locator("#days-plot canvas").wait_for()
        opened_again = []
        page.on("request", lambda asked: opened_again.append(asked.url) if "/live" in asked.url else None)
        for number in range(8):
            metered.export(request_of([ASpan.of({"p402.department": f"swift-{number}"}, started_ns=0)]))
            page.locator("#rows").get_by_role("link", name=f"swift-{number}").wait_for(timeout=15_000)
        assert opened_again == []


def test_people_can_be_hidden_from_whoever_looks_over_ones_shoulder(
    metered: RunningCollector, browser: Browser
) -> None:
    with opened(browser, f"{metered.url}/spend/employee?period=30d", "desktop") as page:
        assert page.locator("#rows").get_by_role("link", name="e-3").count() >= 1
        page.get_by_role("link", name="Hide names").click()
        text = page.locator("main").inner_text()
        assert not re.search(r"\be-\d+", text)
        assert "Employee " in text
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Overview").click()
        assert not re.search(r"\be-\d+", page.locator("main").inner_text())


def test_a_chart_is_drawn_from_its_table(metered: RunningCollector, browser: Browser) -> None:
    with opened(browser, f"{metered.url}/spend/department?period=30d", "desktop", "dark") as page:
        page.locator("#days-plot canvas").wait_for()
        page.get_by_text("As a table").click()
        assert page.locator("#days details table tbody tr").count() == 30
        picture(page, "spend-by-department-desktop-dark")


def test_the_period_is_chosen_by_its_name(metered: RunningCollector, browser: Browser) -> None:
    with opened(browser, metered.url, "phone") as page:
        page.get_by_label("Period").select_option("7d")
        page.wait_for_url("**/?period=7d")
        assert page.locator("h1").inner_text().endswith("7 days")


def test_pages_work_without_scripts(metered: RunningCollector, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{metered.url}/?period=30d")
    page.get_by_label("Period").select_option("90d")
    page.get_by_role("button", name="Show").click()
    assert page.locator("h1").inner_text().endswith("90 days")
    assert page.locator("#days tbody tr").count() == 90
    context.close()
