"""The log of sessions and one of them, as people see and use them."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from support.browser import SIZES_AND_THEMES, is_wider_than_the_window, opened, picture
from support.otlp import ASpan
from support.proved import ELSEWHERE, ODD_ID, Proved, proved_collector


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proved]:
    with proved_collector(tmp_path_factory.mktemp("sessions")) as proved:
        yield proved


def row_of(page: Page, session: str) -> str:
    return page.locator("#rows tbody tr").filter(has_text=session).first.inner_text()


def follow(page: Page, link: Locator) -> None:
    """Click, and wait for the page that it leads to."""
    with page.expect_navigation():
        link.click()


def listed(page: Page) -> list[str]:
    return page.locator("#rows tbody th").all_inner_texts()


@pytest.mark.parametrize(("size", "theme"), SIZES_AND_THEMES)
def test_the_log_says_whose_a_session_is_what_it_cost_and_how_far_its_proof_is(
    proved: Proved, browser: Browser, size: str, theme: str
) -> None:
    with opened(browser, f"{proved.url}/sessions", size, theme) as page:
        assert all(word in row_of(page, "review-7") for word in ("e-1042", "legal", "contracts", "globex", "anchored"))
        assert "$0.317082" in row_of(page, "review-7")  # $0.264235, and 2,847 × $1 + 10,000 × $5 a million
        assert "costs more than usual" in row_of(page, "review-7")
        assert all(word in row_of(page, "campaign-1") for word in ("e-2007", "sealed", "$0.264235 + 1 unpriced"))
        assert "open" in row_of(page, "notes")
        assert not is_wider_than_the_window(page)
        picture(page, f"sessions-{size}-{theme}")


def test_sessions_are_narrowed_ordered_and_widened_again(proved: Proved, browser: Browser) -> None:
    with opened(browser, f"{proved.url}/sessions", "desktop") as page:
        page.get_by_label("Id begins with").fill("camp")
        follow(page, page.get_by_role("button", name="Narrow"))
        assert listed(page) == ["campaign-1"]
        page.get_by_label("Id begins with").fill("")
        page.get_by_label("Only").select_option("department")
        page.get_by_placeholder("its id").fill("legal")
        follow(page, page.get_by_role("button", name="Narrow"))
        assert listed(page) == [ODD_ID, "review-7"]
        follow(page, page.get_by_role("link", name="Closed"))
        assert listed(page) == ["review-7"]
        follow(page, page.get_by_role("link", name="Open", exact=True))
        assert listed(page) == [ODD_ID]
        follow(page, page.get_by_role("link", name="Show all, not only department"))
        assert listed(page) == [ODD_ID, ODD_ID]
        follow(page, page.get_by_role("link", name="All", exact=True))
        follow(page, page.get_by_role("link", name="Dearest first"))
        assert listed(page)[0] == "review-7"
        follow(page, page.get_by_role("link", name="e-2007").first)
        assert sorted(listed(page)) == ["campaign-1", ODD_ID]
        follow(page, page.get_by_role("link", name="Hide names"))
        assert page.get_by_text("e-2007").count() == 0
        with page.expect_navigation():
            page.get_by_label("Period").select_option("Today")
        expect(page.locator("h1")).to_contain_text("Today")
        assert "e-2007" not in page.locator("main").inner_text()
        page.goto(f"{proved.url}/sessions?begins=nothing-like-it")
        follow(page, page.get_by_role("link", name="Show all"))
        assert len(listed(page)) == 4


def test_a_session_tells_its_story_in_order(proved: Proved, browser: Browser) -> None:
    with opened(browser, f"{proved.url}/sessions", "desktop") as page:
        follow(page, page.get_by_role("link", name="review-7"))
        first, refused, lower = page.locator("#requests tbody tr").all_inner_texts()
        assert "claude-opus-4-5" in first
        assert "$0.264235" in first
        assert "2,847" in first
        assert "refused" in refused
        assert "a budget is used up" in refused
        assert "budget=legal-month, left=0.01" in refused
        assert "downgraded" in lower
        assert "instead of claude-opus-4-5" in lower
        assert "max_tier=standard" in lower
        assert "412 ms" in lower
        assert "summarise" in lower
        assert "$0.052847" in lower
        trace = page.locator("#requests a[href^='https://jaeger.example/trace/']").first.get_attribute("href")
        assert trace is not None
        assert len(trace.rpartition("/")[2]) == 32
        picture(page, "session-desktop-light")
        follow(page, page.locator("a[href^='/receipts/']").first)
        assert "review-7" in page.locator("main").inner_text()


@pytest.mark.parametrize(("size", "theme"), SIZES_AND_THEMES)
def test_an_odd_id_of_two_owners_leads_to_either(proved: Proved, browser: Browser, size: str, theme: str) -> None:
    with opened(browser, f"{proved.url}/sessions/{quote(ODD_ID, safe='')}", size, theme) as page:
        assert page.locator("h1").inner_text() == f"Session {ODD_ID}"
        shown = page.locator(".facts").first.inner_text()
        follow(page, page.locator(".notice a"))
        assert page.locator("h1").inner_text() == f"Session {ODD_ID}"
        assert {"e-1042" in shown, "e-1042" in page.locator(".facts").first.inner_text()} == {True, False}
        assert not is_wider_than_the_window(page)


def test_an_open_session_is_closed_and_gets_its_receipt(proved: Proved, browser: Browser) -> None:
    name = "to be closed/now"
    with opened(browser, f"{proved.url}/sessions", "desktop") as page:
        expect(page.locator("[data-live][data-state=live]")).to_be_visible(timeout=20_000)
        proved.send(ASpan.of({**ELSEWHERE, "p402.session": name}, started_ns=0))
        expect(page.get_by_role("link", name=name)).to_be_visible(timeout=20_000)  # it comes by itself
        follow(page, page.get_by_role("link", name=name))
        expect(page.get_by_role("button", name="Close it now")).to_be_visible()
        follow(page, page.get_by_role("button", name="Close it now"))
        expect(page.get_by_role("status")).to_contain_text("Closed")
        for _ in range(50):
            if page.locator("a[href^='/receipts/']").count():
                break
            page.wait_for_timeout(200)
            page.reload()
        assert page.get_by_role("button", name="Close it now").count() == 0
        assert page.locator("a[href^='/receipts/']").count() == 1


def test_older_sessions_are_a_click_away(proved: Proved, browser: Browser) -> None:
    names = [f"many-{number:02}" for number in range(60)]
    proved.send(*(ASpan.of({"p402.session": name}, started_ns=0) for name in names))
    with opened(browser, f"{proved.url}/sessions?begins=many-", "desktop") as page:
        for _ in range(50):
            if page.get_by_role("link", name="Older sessions").count():
                break
            page.wait_for_timeout(200)
            page.reload()
        found = listed(page)
        follow(page, page.get_by_role("link", name="Older sessions"))
        assert len(found) == 50
        assert sorted(found + listed(page)) == names
