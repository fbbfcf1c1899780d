"""Every page that there is, in real Chromium: at three widths, light and dark, with a keyboard, and for a screen reader."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from support.browser import SIZES, picture
from support.pages import PAGES, address_of, faults_of, picture_name
from support.rich_house import RichHouse, rich_house

CHECKED = {("phone", "dark"), ("desktop", "light")}
"""Where axe-core looks: both themes, and both layouts; it takes most of the time."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RichHouse]:
    with rich_house(tmp_path_factory.mktemp("every-page")) as house:
        yield house


@pytest.fixture(scope="module")
def tab(browser: Browser, house: RichHouse) -> Iterator[Page]:
    """One tab for all; its size and its colours change."""
    context = browser.new_context(
        extra_http_headers={"Authorization": f"Bearer {house.admin}"}, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


@pytest.fixture
def problems(tab: Page) -> Iterator[list[str]]:
    """What the page logs as an error, and what it fails to load."""
    found: list[str] = []

    def log(message: object) -> None:
        found.append(str(getattr(message, "text", message))) if getattr(message, "type", "error") == "error" else None

    def answer(response: object) -> None:
        status = getattr(response, "status", 0)
        found.append(f"{status} {getattr(response, 'url', '')}") if status >= 400 else None

    tab.on("console", log)
    tab.on("pageerror", log)
    tab.on("response", answer)
    yield found
    for event, handler in (("console", log), ("pageerror", log), ("response", answer)):
        tab.remove_listener(event, handler)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_in_order(page: str, size: str, house: RichHouse, tab: Page, problems: list[str]) -> None:
    tab.set_viewport_size(SIZES[size])  # type: ignore[arg-type] # playwright's TypedDict
    tab.emulate_media(color_scheme="light")
    tab.goto(house.url + address_of(page, house.names))
    for theme in ("light", "dark"):
        tab.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        faults = faults_of(tab, axe=(size, theme) in CHECKED)
        picture(tab, f"{picture_name(page)}-{size}-{theme}")
        assert not faults, f"{theme}: {faults}"
    assert not problems


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_used_with_a_keyboard_alone(page: str, house: RichHouse, tab: Page) -> None:
    tab.set_viewport_size(SIZES["desktop"])  # type: ignore[arg-type] # playwright's TypedDict
    tab.goto(house.url + address_of(page, house.names))
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(12):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.closest('nav')?.ariaLabel ?? ''"))
    assert "Pages" in reached or not tab.locator("nav").count()  # who is nobody yet has nowhere to go
    tab.locator("a.skip").focus()
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "page"


def test_a_wrong_address_is_a_page_too(house: RichHouse, tab: Page) -> None:
    for address, status in (("/nothing-here", 404), ("/spend/weather", 404), ("/calls?period=yesterday", 400)):
        for size, theme in (("phone", "light"), ("desktop", "dark")):
            tab.set_viewport_size(SIZES[size])  # type: ignore[arg-type] # playwright's TypedDict
            tab.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            answer = tab.goto(house.url + address)
            assert answer is not None
            assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
            assert not faults_of(tab, axe=True)
            picture(tab, f"problem{picture_name(address)}-{size}-{theme}")
        assert tab.get_by_role("link", name="The first page").is_visible()
