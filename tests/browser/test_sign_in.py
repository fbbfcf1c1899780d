"""People sign in at the pages: real Chromium, a real identity provider, and what each may see then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import APIResponse, Browser, BrowserContext, Page

from support.browser import SIZES, is_wider_than_the_window, picture
from support.collector import RunningCollector, eventually, running_collector
from support.control import Control, control_of
from support.databases import kept_in
from support.identity_provider import configuration, identity_provider
from support.otlp import ASpan, request_of
from support.ports import steady_port

BUDGET = {"level": "department", "node": "legal", "cap": "100.00"}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    """Asks for keys; with a receipt of legal's e-1042, and one of sales' e-7."""
    folder = tmp_path_factory.mktemp("sign-in")
    port = steady_port()
    url = f"http://127.0.0.1:{port}"
    with identity_provider(url) as issuer:
        settings = {
            "P402_CONFIG": str(configuration(folder, issuer)),
            "P402_LISTEN": f"127.0.0.1:{port}",
            "P402_REQUIRE_KEY": "true",
            "P402_DEFAULT_ORGANISATION": "acme",
            "P402_SIGN_IN_ATTEMPTS_PER_MINUTE": "0",
        }
        with running_collector(folder / "data", settings) as running:
            admin = {"Authorization": f"Bearer {control_of(running).key}"}
            sales = {"p402.department": "sales", "p402.employee": "e-7", "p402.session": "s-2"}
            assert (
                running.export(request_of([ASpan(started_ns=0), ASpan.of(sales, started_ns=0)]), **admin).status_code
                == 200
            )
            for session in ("review-7", "s-2"):
                control_of(running).post(f"/v1/sessions/{session}/close", {})
            eventually(lambda: "sales" in httpx.get(running.url, headers=admin).text)  # sums follow the charges
            yield running


@pytest.fixture(scope="module")
def control(collector: RunningCollector) -> Control:
    return control_of(collector)


@pytest.fixture(scope="module")
def receipts(control: Control) -> dict[str, str]:
    """Ids of receipts by department."""
    found = eventually(lambda: len(page := control.get("/v1/receipts")["receipts"]) == 2 and page)
    return {receipt["department"]: receipt["receipt_id"] for receipt in found}


@contextmanager
def somebody(browser: Browser, size: str = "desktop") -> Iterator[Page]:
    """A browser of its own, which knows nothing yet."""
    context = browser.new_context(viewport=SIZES[size])  # type: ignore[arg-type] # playwright's TypedDict
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def signed_in(browser: Browser, collector: RunningCollector, who: str) -> Iterator[Page]:
    with somebody(browser) as page:
        page.goto(f"{collector.url}/sign-in")
        page.get_by_role("link", name="Sign in with your organisation's account").click()
        page.get_by_role("link", name=who).click()
        page.wait_for_url(f"{collector.url}/**")
        yield page


def sign_in_by_key(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def a_key(control: Control, *scopes: str, **bound_to: str) -> dict[str, Any]:
    made: dict[str, Any] = control.post("/v1/keys", {"name": "Ada's", "scopes": scopes, **bound_to})
    return made


def ask(page: Page, method: str, url: str, **options: Any) -> APIResponse:
    """Ask with the cookies of a page, as a script of it would."""
    headers = {"Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
    return page.request.fetch(url, method=method, headers=headers, max_redirects=0, **options)


def session_cookie(context: BrowserContext) -> Any:
    [cookie] = our_cookies(context)
    assert cookie["name"] == "p402_session"
    return cookie


def our_cookies(context: BrowserContext) -> list[Any]:
    """All but the provider's, which is on the same host."""
    return [cookie for cookie in context.cookies() if cookie["name"].startswith("p402")]


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_whoever_asks_for_a_page_signs_in_and_gets_it(
    collector: RunningCollector, control: Control, receipts: dict[str, str], browser: Browser, size: str
) -> None:
    wanted = f"/receipts/{receipts['legal']}?organisation=acme"
    key = a_key(control, "receipts:read", "spend:read", organisation="acme")
    with somebody(browser, size) as page:
        page.goto(collector.url + wanted)
        assert page.url.startswith(f"{collector.url}/sign-in?next=")
        assert not is_wider_than_the_window(page)
        picture(page, f"sign-in-{size}")
        sign_in_by_key(page, "p402_wrong")
        assert "unknown or was revoked" in page.get_by_role("alert").inner_text()
        sign_in_by_key(page, key["secret"])
        assert page.url == collector.url + wanted
        assert "2,847 in, 10,000 out" in page.locator("main").inner_text()
        cookie = session_cookie(page.context)
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Lax", False)
        assert page.evaluate("document.cookie") == ""


def test_a_session_ends_at_sign_out_and_its_cookie_is_worth_nothing_afterwards(
    collector: RunningCollector, browser: Browser
) -> None:
    with signed_in(browser, collector, "u-fiona") as page:
        kept = session_cookie(page.context)
        page.get_by_role("button", name="Sign out").click()
        assert page.url == f"{collector.url}/sign-in"
        assert our_cookies(page.context) == []
        page.context.add_cookies([kept])
        page.goto(collector.url)
        assert page.url == f"{collector.url}/sign-in?next=/"


def test_a_revoked_key_takes_its_sessions_with_it(
    collector: RunningCollector, control: Control, browser: Browser
) -> None:
    key = a_key(control, "receipts:read", "spend:read", organisation="acme")
    with somebody(browser) as page:
        page.goto(collector.url)
        sign_in_by_key(page, key["secret"])
        assert page.url == f"{collector.url}/"
        revoked = page.request.delete(
            f"{collector.url}/v1/keys/{key['id']}", headers={"Authorization": f"Bearer {control.key}"}
        )
        assert revoked.ok
        page.reload()
        assert page.url == f"{collector.url}/sign-in?next=/"


def test_finance_sees_the_organisation_and_sets_budgets_but_makes_no_keys(
    collector: RunningCollector, receipts: dict[str, str], browser: Browser
) -> None:
    with signed_in(browser, collector, "u-fiona") as page:
        assert page.url == f"{collector.url}/"
        assert {"legal", "sales"} <= set(page.locator("main").inner_text().split())
        assert "Fiona Finance · finance" in page.get_by_role("banner").inner_text()
        assert len(receipts) == len(ask(page, "GET", f"{collector.url}/v1/receipts").json()["receipts"])
        assert ask(page, "PUT", f"{collector.url}/v1/budgets/legal-month", data=BUDGET).status == 201
        refused = ask(page, "GET", f"{collector.url}/v1/keys")
        assert refused.status == 403
        assert refused.json()["detail"].startswith(
            "This needs the scope 'admin'; your role, finance, has: budgets:write"
        )
        seen = ask(page, "GET", f"{collector.url}/v1/receipts/{receipts['legal']}").json()
        assert seen["employee"] is None, "what is personal is for others"
        trail = ask(page, "GET", f"{collector.url}/v1/audit").json()["audit"]
        [actor] = [row["actor"] for row in trail if row["action"].startswith("budget.")]
        [began] = [row for row in trail if row["subject"] == actor]
        assert (began["action"], began["detail"]) == (
            "person.signed_in",
            {"department": None, "employee": "u-fiona", "role": "finance"},
        )


def test_a_head_sees_their_department_only(
    collector: RunningCollector, receipts: dict[str, str], browser: Browser
) -> None:
    with signed_in(browser, collector, "u-hedy") as page:
        seen = page.locator("main").inner_text().split()
        assert ("legal" in seen, "sales" in seen, "e-7" in seen) == (True, False, False)
        page.goto(f"{collector.url}/receipts/{receipts['legal']}")
        assert "2,847 in, 10,000 out" in page.locator("main").inner_text()
        answer = page.goto(f"{collector.url}/receipts/{receipts['sales']}")
        assert answer is not None
        assert (answer.status, page.locator("h1").inner_text()) == (404, "Not found")
        found = ask(page, "GET", f"{collector.url}/v1/receipts").json()["receipts"]
        assert [receipt["department"] for receipt in found] == ["legal"]
        assert ask(page, "PUT", f"{collector.url}/v1/budgets/mine", data=BUDGET).status == 403
        assert ask(page, "GET", f"{collector.url}/v1/receipts?organisation=initech").status == 403


def test_an_employee_sees_their_own_calls_only(
    collector: RunningCollector, receipts: dict[str, str], browser: Browser
) -> None:
    with signed_in(browser, collector, "u-emil") as page:
        seen = page.locator("main").inner_text().split()
        assert ("e-1042" in seen, "sales" in seen, "e-7" in seen) == (True, False, False)
        charges = ask(page, "GET", f"{collector.url}/v1/charges").json()["charges"]
        assert [charge["department"] for charge in charges] == ["legal"]
        assert ask(page, "GET", f"{collector.url}/v1/receipts/{receipts['sales']}").status == 404
        assert ask(page, "GET", f"{collector.url}/v1/spend").status == 403
        assert ask(page, "POST", f"{collector.url}/v1/exports", data={"format": "ndjson"}).status == 403


def test_an_auditor_reads_what_is_personal_and_the_access_log_says_so(
    collector: RunningCollector, receipts: dict[str, str], browser: Browser
) -> None:
    with signed_in(browser, collector, "u-aude") as page:
        seen = ask(page, "GET", f"{collector.url}/v1/receipts/{receipts['legal']}").json()
        assert seen["employee"] == "e-1042"
        reads = ask(page, "GET", f"{collector.url}/v1/access-log").json()["reads"]
        [read] = [read for read in reads if read["who"] == "u-aude"]
        assert (read["what"], read["items"]) == ("GET /v1/receipts/{receipt_id}", [receipts["legal"]])
        assert read["key_id"].startswith("sgn_")
        assert ask(page, "PUT", f"{collector.url}/v1/budgets/mine", data=BUDGET).status == 403


def test_an_administrator_may_do_everything_in_the_organisation(collector: RunningCollector, browser: Browser) -> None:
    with signed_in(browser, collector, "u-adam") as page:
        assert ask(page, "GET", f"{collector.url}/v1/keys").ok
        assert ask(page, "GET", f"{collector.url}/v1/keys?organisation=initech").status == 403


@pytest.mark.parametrize(
    ("who", "why"), [("u-nobody", "Your account has no role here"), ("u-lost", "of which department you are")]
)
def test_whoever_is_nobody_here_is_told_why(collector: RunningCollector, browser: Browser, who: str, why: str) -> None:
    with signed_in(browser, collector, who) as page:
        assert why in page.get_by_role("alert").inner_text()
        assert our_cookies(page.context) == []


def test_whoever_turns_back_at_the_provider_may_try_again(collector: RunningCollector, browser: Browser) -> None:
    with signed_in(browser, collector, "cancel") as page:
        assert "did not let you in" in page.get_by_role("alert").inner_text()


def test_a_page_that_a_key_may_not_see_is_refused_in_words(
    collector: RunningCollector, control: Control, browser: Browser
) -> None:
    with somebody(browser) as page:
        page.goto(collector.url)
        sign_in_by_key(page, a_key(control, "ingest", organisation="acme")["secret"])
        assert page.locator("h1").inner_text() == "Forbidden"
        assert "This needs an API key with the scope 'spend:read'" in page.locator("main").inner_text()
        picture(page, "refused")
        page.get_by_role("link", name="Sign in as somebody else").click()
        assert "You are signed in as Ada's" in page.locator("main").inner_text()


def test_a_page_of_another_origin_cannot_act_for_whoever_is_signed_in(
    collector: RunningCollector, browser: Browser
) -> None:
    """Another port of this machine is the same site, so that the cookie comes along: the origin alone tells."""
    with identity_provider(collector.url) as elsewhere, signed_in(browser, collector, "u-adam") as page:
        token = session_cookie(page.context)["value"]
        for path in ("/sign-out", "/sign-in"):
            page.goto(f"{elsewhere}/.well-known/openid-configuration")
            page.set_content(f'<form method="post" action="{collector.url}{path}"><button>Win</button></form>')
            with page.expect_response(f"{collector.url}{path}") as sent:
                page.get_by_role("button", name="Win").click()
            assert sent.value.status == 403
            assert f"p402_session={token}" in sent.value.request.all_headers()["cookie"]
        page.goto(collector.url)
        assert page.url == f"{collector.url}/", "still signed in"


@pytest.mark.parametrize("evil", ["//evil.example", "https://evil.example/", "/\\evil.example", "/%09/evil.example"])
def test_nobody_is_sent_elsewhere_after_signing_in(
    collector: RunningCollector, control: Control, browser: Browser, evil: str
) -> None:
    key = a_key(control, "receipts:read", "spend:read", organisation="acme")
    with somebody(browser) as page:
        page.goto(f"{collector.url}/sign-in?next={evil}")
        sign_in_by_key(page, key["secret"])
        assert page.url == f"{collector.url}/"


def test_a_session_that_was_not_used_for_too_long_is_over(tmp_path: Path, browser: Browser) -> None:
    settings = {"P402_REQUIRE_KEY": "true", "P402_DEFAULT_ORGANISATION": "acme"}
    with running_collector(tmp_path, settings) as collector, somebody(browser) as page:
        page.goto(collector.url)
        sign_in_by_key(page, control_of(collector).key)
        assert page.url == f"{collector.url}/"
        kept_in(tmp_path).run("UPDATE web_sessions SET used_at = used_at - 28800000")
        page.reload()
        assert page.url == f"{collector.url}/sign-in?next=/"
