"""A real Chromium, driven from a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
SIZES_AND_THEMES = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]
SIZES = {
    "phone": {"width": 390, "height": 844},
    "desktop": {"width": 1280, "height": 900},
    "wide": {"width": 1800, "height": 1000},
}

_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser until the block ends."""
    binary = shutil.which("chromium")
    assert binary, "Chromium is missing: .ci/system installs it on Debian; elsewhere use your package manager."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=[*_QUIET, "--disable-sync"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, url: str, size: str, theme: str = "light", *, key: str | None = None, scripts: bool = True
) -> Iterator[Page]:
    """Open a page; what it logs as an error, and what it fails to load, fails the test.

    Args:
        browser: that opens it.
        url: of the page.
        size: of the window, of `SIZES`.
        theme: light or dark.
        key: an API key that the browser shows with every request.
        scripts: whether scripts run.
    """
    context = browser.new_context(
        viewport=SIZES[size],  # type: ignore[arg-type] # playwright's TypedDict
        color_scheme="dark" if theme == "dark" else "light",
        extra_http_headers={} if key is None else {"Authorization": f"Bearer {key}"},
        java_script_enabled=scripts,
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "response", lambda answer: problems.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
    )
    try:
        page.goto(url)
        yield page
        assert not problems, problems
    finally:
        context.close()


def picture(page: Page, name: str) -> None:
    """Keep a screenshot of the whole page, to be looked at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def is_wider_than_the_window(page: Page) -> bool:
    """Whether a reader would have to scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))
