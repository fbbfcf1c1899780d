"""Reviewing, keys, health and the live stream, as people use them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import picture
from support.pages import faults_of
from support.rich_house import RichHouse, rich_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RichHouse]:
    with rich_house(tmp_path_factory.mktemp("operation")) as house:
        yield house


@pytest.fixture
def tab(browser: Browser, house: RichHouse) -> Iterator[Page]:
    """A tab of an administrator."""
    context = browser.new_context(extra_http_headers={"Authorization": f"Bearer {house.admin}"})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=house.url)
    page = context.new_page()
    yield page
    context.close()


def keyed(house: RichHouse, **key: object) -> str:
    """The secret of a key made over the API."""
    headers = {"Authorization": f"Bearer {house.admin}"}
    answer = httpx.post(f"{house.url}/v1/keys", json={"name": "a reader", **key}, headers=headers)
    return str(answer.raise_for_status().json()["secret"])


def test_the_queue_is_filtered_by_what_is_chosen_and_says_whose_review_it_was(house: RichHouse, tab: Page) -> None:
    tab.goto(f"{house.url}/anomalies")
    assert "24.8 times the mean $0.15 of the last 30 days' 11 sessions" in tab.locator("main").inner_text()
    assert tab.get_by_text("their own session").count() == 2
    tab.get_by_label("Department").select_option("legal")
    expect(tab.locator(".anomaly")).to_have_count(1)
    expect(tab.locator(".anomaly")).to_contain_text("dismissed by Grace Hopper, reviews")
    tab.get_by_label("Rule").select_option("session_cost")
    expect(tab.locator(".empty")).to_contain_text("No session was out of the ordinary here")
    tab.get_by_label("Department").select_option("*")
    expect(tab.locator(".anomaly")).to_have_count(1)
    tab.get_by_label("Rule").select_option("*")
    tab.locator(".tabs").get_by_role("link", name="confirmed").click()
    expect(tab.locator(".anomaly")).to_have_count(2)
    tab.get_by_role("link", name="Hide names").click()
    assert "eng-103 in" not in tab.locator("main").inner_text()
    assert "Employee " in tab.locator(".anomaly").first.inner_text()


def test_an_anomaly_leads_to_its_receipt(house: RichHouse, tab: Page) -> None:
    tab.goto(f"{house.url}/anomalies?state=open")
    tab.locator(".anomaly").first.get_by_role("link", name="receipt").click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Receipt")


def test_a_review_is_noted_once_and_a_wrong_one_keeps_what_was_typed(house: RichHouse, tab: Page) -> None:
    tab.goto(f"{house.url}/anomalies?state=open")
    first = tab.locator(".anomaly").first
    anomaly = first.get_attribute("id")
    note = first.get_by_label("Note")
    note.evaluate("(input) => input.removeAttribute('maxlength')")
    note.fill("x" * 2001)
    first.get_by_role("button", name="Confirm").click()
    expect(tab.get_by_role("alert")).to_contain_text("2000 characters at most")
    expect(tab.locator(".anomaly").first.get_by_label("Note")).to_have_value("x" * 2001)
    assert not faults_of(tab, axe=True)
    tab.locator(".anomaly").first.get_by_label("Note").fill("A loop; the agent was <stopped>.")
    tab.locator(".anomaly").first.get_by_role("button", name="Confirm").click()
    expect(tab.get_by_role("status")).to_contain_text("Confirmed")
    assert "state=open" in tab.url
    expect(tab.locator(f"#{anomaly}")).to_have_count(0)
    tab.goto(f"{house.url}/anomalies?state=confirmed")
    expect(tab.locator(f"#{anomaly}")).to_contain_text("A loop; the agent was <stopped>.")
    again = tab.request.post(f"{house.url}/anomalies/{anomaly}/review", form={"decision": "dismissed"}, max_redirects=0)
    assert again.status == 409
    assert "a review is made once" in again.text()


def test_who_may_not_review_sees_no_buttons_and_an_employee_is_warned_of_their_own(
    house: RichHouse, browser: Browser
) -> None:
    reader = keyed(house, scopes=["spend:read"])
    own = keyed(house, scopes=["spend:read", "review"], organisation="acme", employee="mar-105")
    for secret, buttons in ((reader, 0), (own, 1)):
        context = browser.new_context(extra_http_headers={"Authorization": f"Bearer {secret}"})
        page = context.new_page()
        page.goto(f"{house.url}/anomalies?state=open")
        assert page.get_by_role("button", name="Dismiss").count() == buttons
        assert page.get_by_text("This is your own session").count() == buttons
        context.close()


def test_a_key_is_made_shown_once_copied_and_revoked(house: RichHouse, tab: Page) -> None:
    tab.goto(f"{house.url}/keys")
    tab.get_by_label("Name").fill("the search team's")
    tab.get_by_role("button", name="Make the key").click()
    expect(tab.get_by_role("alert")).to_contain_text("Choose what the key may do.")
    expect(tab.get_by_label("Name")).to_have_value("the search team's")
    tab.get_by_label("spend:read").check()
    tab.get_by_label("Department").fill("engineering")
    tab.get_by_role("button", name="Make the key").click()
    secret = tab.locator("#secret").inner_text()
    assert re.fullmatch(r"p402_[\w-]{43}", secret)
    assert secret not in tab.url
    assert not faults_of(tab, axe=True)
    picture(tab, "key-made-desktop")
    tab.get_by_role("button", name="Copy").click()
    expect(tab.get_by_role("button", name="Copied")).to_be_visible()
    assert tab.evaluate("navigator.clipboard.readText()") == secret
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(f"{house.url}/v1/charges", headers=headers, params={"organisation": "acme"}).status_code == 200
    tab.goto(f"{house.url}/keys")
    assert secret not in tab.content()
    row = tab.get_by_role("row").filter(has_text="the search team's")
    expect(row).to_contain_text("department engineering")
    tab.once("dialog", lambda dialog: dialog.dismiss())
    row.get_by_role("button").click()
    assert httpx.get(f"{house.url}/spend/project", headers=headers).status_code == 200
    tab.once("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button").click()
    expect(tab.get_by_role("status")).to_contain_text("Revoked")
    assert httpx.get(f"{house.url}/spend/project", headers=headers).status_code == 401


def test_health_says_what_is_behind_and_leads_to_the_runbook(house: RichHouse, tab: Page) -> None:
    tab.goto(f"{house.url}/health")
    main = tab.locator("main")
    expect(main).to_contain_text("nothing needs a look")
    expect(main).to_contain_text("p402-collector")
    expect(main).to_contain_text("2026-05-15 09:00:00, 1 h ago")
    main.get_by_role("link", name="The whole runbook").click()
    expect(tab.locator("#p402followerbehind")).to_have_text("P402FollowerBehind")


def test_a_lost_stream_is_said_and_made_good(house: RichHouse, tab: Page) -> None:
    tab.route("**/live*", lambda route: route.abort())
    tab.goto(f"{house.url}/")
    expect(tab.locator("[data-live]")).to_have_text("reconnecting")
    note = tab.locator("[data-lost]")
    expect(note).to_contain_text("The connection to the collector is lost. What you see is of")
    picture(tab, "stream-lost-desktop")
    assert not faults_of(tab, axe=True)
    with tab.expect_request(lambda request: request.headers.get("hx-request") == "true"):
        tab.unroute("**/live*")
    expect(tab.locator("[data-live]")).to_have_text("live")
    expect(note).to_be_hidden()
    expect(tab.locator("body")).not_to_have_class("loading")
