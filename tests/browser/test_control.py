"""The pages that control spend, as people use them: a cap is lowered, a policy changed, an alert resolved, in real Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import SIZES_AND_THEMES, is_wider_than_the_window, opened, picture
from support.collector import RunningCollector, eventually, running_collector
from support.control import Control, control_of
from support.otlp import ASpan, request_of

CALL = {
    "organisation": "acme",
    "department": "legal",
    "employee": "e-2007",  # who has not spent anything yet
    "provider": "anthropic",
    "model": "claude-opus-4-5",
    "input_tokens": 3_000,
    "output_tokens": 4_000,  # $0.115 at most
}


@dataclass(frozen=True)
class Controlled:
    """A collector with calls of this month and the last, and budgets."""

    collector: RunningCollector
    control: Control

    def decide(self, **question: object) -> httpx.Response:
        """Ask whether a call may be made."""
        headers = {"Authorization": f"Bearer {self.control.key}"}
        url = f"{self.collector.url}/v1/decisions"
        return httpx.post(url, json={"question": {**CALL, **question}}, headers=headers, timeout=30)

    def make(self, lease: str) -> None:
        """Report the call for which money is held."""
        span = ASpan.of({"p402.lease": lease, "gen_ai.usage.output_tokens": 100}, started_ns=time.time_ns())
        headers = {"Authorization": f"Bearer {self.control.key}"}
        assert self.collector.export(request_of([span]), **headers).status_code == 200


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    folder = tmp_path_factory.mktemp("control")
    with running_collector(folder, {"P402_DEFAULT_ORGANISATION": "acme"}) as collector:
        control = control_of(collector)
        control.put_budget("legal", {"level": "department", "node": "legal", "cap": "5.00", "owner": "ada"})
        control.put_budget("people", {"level": "employee", "cap": "1.00", "warn_at": [50]})
        control.put_budget("one-call", {"level": "request", "cap": "0.90"})
        control.put_policy("sales", {"max_tier": "standard", "reason": "pilot"})
        now, last_month = time.time_ns(), _last_month()
        spans = [
            ASpan.of({"p402.department": department, "p402.task_type": task}, started_ns=at)
            for department, task in (("legal", "code_review"), ("sales", "content"))
            for at in (now, now, now, last_month, last_month)
        ]
        collector.export(request_of(spans))
        eventually(lambda: control.get("/v1/alerts")["alerts"])
        yield Controlled(collector, control)


def _last_month() -> int:
    first = datetime.now(UTC).replace(day=1, hour=12)
    return int((first - timedelta(days=3)).timestamp()) * 1_000_000_000


def at(controlled: Controlled, path: str) -> str:
    return controlled.collector.url + path


def saved(page: Page, said: str) -> None:
    expect(page.locator(".notice")).to_contain_text(said)


def test_a_cap_is_lowered_after_a_look_at_what_it_would_have_done_and_then_it_holds(
    controlled: Controlled, browser: Browser
) -> None:
    allowed = controlled.decide()
    assert allowed.status_code == 200
    controlled.make(allowed.json()["id"])
    with opened(browser, at(controlled, "/budgets"), "desktop", key=controlled.control.key) as page:
        page.get_by_role("link", name="legal", exact=True).click()
        expect(page.locator("figure[data-chart] .u-wrap")).to_be_visible()
        page.get_by_label("Cap", exact=False).first.fill("0.60")
        page.get_by_role("button", name="Preview").click()
        preview = page.locator("#preview")
        expect(preview).to_contain_text("It would change cap from 5.00 to 0.60")
        assert preview.get_by_text("None would have been refused").count() == 1  # two calls in the last month
        assert "1 of them would have been refused" in preview.inner_text()  # three in this one
        assert page.url.endswith("/budgets/legal")  # the page was not left
        picture(page, "budget-preview")
        page.get_by_role("button", name="Save").click()
        saved(page, "in force from the next call on")
        refused = controlled.decide()
        assert refused.status_code == 402
        page.goto(at(controlled, "/budgets/legal"))
        assert "budget=legal" in page.locator("#refused").inner_text()
        assert "cap 5.00 → 0.60" in page.locator("#history").inner_text()
        page.goto(at(controlled, "/routing"))
        assert "budget exhausted" in page.locator("#refused").inner_text()
        page.goto(at(controlled, "/budgets?level=department"))
        assert "at its cap" in page.locator("main").inner_text()


def test_a_cap_that_is_none_is_said_beside_the_form_and_changes_nothing(
    controlled: Controlled, browser: Browser
) -> None:
    before = controlled.control.get("/v1/budgets/people")["cap"]
    with opened(browser, at(controlled, "/budgets/people"), "desktop", key=controlled.control.key) as page:
        page.locator("[name=cap]").fill("a lot")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview")).to_contain_text("No preview: cap: An amount is a decimal string")
    assert controlled.control.get("/v1/budgets/people")["cap"] == before


def test_a_budget_is_made_widened_for_a_while_and_retired(controlled: Controlled, browser: Browser) -> None:
    with opened(browser, at(controlled, "/budgets"), "phone", key=controlled.control.key) as page:
        page.get_by_role("link", name="New budget").click()
        page.locator("[name=name]").fill("sales-week")
        page.locator("[name=node]").fill("sales")
        page.locator("[name=period]").select_option("week")
        page.locator("[name=time_zone]").fill("Europe/Berlin")
        page.locator("[name=cap]").fill("0.70")
        page.locator("[name=mode]").select_option("observe")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview")).to_contain_text("noted as beyond the cap")
        page.get_by_role("button", name="Make it").click()
        saved(page, "What was spent in this period before counts")
        assert "At most $0.70 a week (Europe/Berlin) for the department sales." in page.locator("main").inner_text()
        page.get_by_text("Allow more for a while").click()
        form = page.locator("#override")
        form.locator("[name=amount]").fill("0.30")
        form.locator("[name=owner]").fill("cfo")
        form.locator("[name=reason]").fill("fair")
        form.locator("[name=expires_at]").fill(f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M}")
        form.get_by_role("button", name="Allow").click()
        saved(page, "The override is in force")
        assert controlled.control.get("/v1/budgets/sales-week")["cap_in_force"] == "1"
        assert not is_wider_than_the_window(page)
        page.once("dialog", lambda dialog: dialog.dismiss())
        page.get_by_role("button", name="Retire sales-week").click()
        assert page.url.split("?")[0].endswith("/budgets/sales-week")  # nothing happens to who says no
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Retire sales-week").click()
        saved(page, "The budget is retired")
        assert "sales-week" not in page.locator("table").inner_text()


def test_without_scripts_a_preview_is_a_page_of_its_own(controlled: Controlled, browser: Browser) -> None:
    url = at(controlled, "/budgets/people")
    with opened(browser, url, "desktop", key=controlled.control.key, scripts=False) as page:
        page.locator("[name=cap]").fill("0.30")
        page.get_by_role("button", name="Preview").click()
        assert "would have been refused" in page.locator("#preview").inner_text()
        assert page.locator("[name=cap]").input_value() == "0.30"  # still to be saved
        page.goto(at(controlled, "/policies/sales"))
        page.locator("#text").fill("max_tier: economy")
        page.get_by_role("button", name="Preview").click()
        assert "claude-haiku" in page.locator("#moves").inner_text()


def test_a_policy_is_changed_after_a_look_at_what_it_would_have_done(controlled: Controlled, browser: Browser) -> None:
    with opened(browser, at(controlled, "/policies"), "desktop", key=controlled.control.key) as page:
        page.get_by_role("link", name="sales").click()
        assert "Models are of the tier standard at most." in page.locator("main").inner_text()
        page.locator("#text").fill("strategy: cost-first\nmax_tier: economy\n")
        page.locator("[name=reason]").first.fill("too dear")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview")).to_contain_text("complete")
        assert "claude-opus-4-5" in page.locator("#moves").inner_text()
        assert "claude-haiku" in page.locator("#moves").inner_text()
        picture(page, "policy-preview")
        page.get_by_role("button", name="Save").click()
        saved(page, "it holds from the next call on")
        newest = page.locator("#versions tbody tr").first.inner_text()
        assert "too dear" in newest
        assert "max_tier: standard → economy" in newest
        told = controlled.decide(department="sales").json()
        assert (told["verdict"], told["model"][:12]) == ("downgrade", "claude-haiku")
        page.locator("form[data-asks] [name=reason]").fill("over")
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="End the policy of sales").click()
        saved(page, "The policy has ended")
    assert controlled.decide(department="sales").json()["verdict"] == "allow"


def test_an_alert_is_resolved_with_a_note(controlled: Controlled, browser: Browser) -> None:
    with opened(browser, at(controlled, "/alerts"), "desktop", key=controlled.control.key) as page:
        row = page.locator("#alerts tbody tr").filter(has_text="people").first
        assert "more than 50 % spent" in row.inner_text()
        row.get_by_role("textbox").fill("talked to them")
        row.get_by_role("button", name="Resolve").click()
        saved(page, "the alert is resolved")
        page.get_by_role("link", name="resolved", exact=True).click()
        assert "talked to them" in page.locator("#alerts").inner_text()
        page.get_by_role("link", name="Hide names").click()
        assert "e-1042" not in page.locator("#alerts").inner_text()


@pytest.mark.parametrize(("size", "theme"), SIZES_AND_THEMES)
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/budgets", "people"),
        ("/budgets/people", "e-1042"),
        ("/budgets/new", "Whose calls it counts"),
        ("/policies", "the default"),
        ("/policies/legal", "Versions"),
        ("/routing", "code_review"),
        ("/alerts?state=all", "people"),
    ],
)
def test_every_page_fits_the_window(
    controlled: Controlled, browser: Browser, path: str, said: str, size: str, theme: str
) -> None:
    with opened(browser, at(controlled, path), size, theme, key=controlled.control.key) as page:
        assert said in page.locator("main").inner_text()
        assert not is_wider_than_the_window(page)
        picture(page, f"{path.strip('/').partition('?')[0].replace('/', '-')}-{size}-{theme}")
