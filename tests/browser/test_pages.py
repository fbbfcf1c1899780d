"""The pages as people see them: real Chromium, desktop and phone, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from support.anvil import DEV_KEYS, anvil_node
from support.browser import chromium, is_wider_than_the_window, opened, picture
from support.collector import RunningCollector, eventually, running_collector
from support.otlp import ASpan, request_of

pytestmark = pytest.mark.xdist_group("browser")

SIZES_AND_THEMES = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    """A collector with an anchored receipt, one that is not, an unpriced call, and a duplicate."""
    folder = tmp_path_factory.mktemp("pages")
    key_file = folder / "settlement.key"
    key_file.write_text(DEV_KEYS[0])
    with anvil_node(block_time=1) as node:
        settings = {
            "P402_DEFAULT_ORGANISATION": "acme",
            "P402_SETTLEMENT_MODE": "anchor",
            "P402_SETTLEMENT_NETWORK": "local",
            "P402_SETTLEMENT_RPC_URL": node.url,
            "P402_SETTLEMENT_KEY_FILE": str(key_file),
            "P402_SETTLEMENT_EXPLORER_URL": "https://explorer.example",
            "P402_SETTLEMENT_INTERVAL_SECONDS": "3600",
        }
        with running_collector(folder / "data", settings) as collector:
            now = {"gen_ai.response.id": "msg_1"}
            inner = ASpan.of(now, parent_span_id=b"outer..1", started_ns=0)
            outer = ASpan.of(now, trace_id=inner.trace_id, span_id=b"outer..1", scope="other", started_ns=0)
            collector.export(request_of([inner, outer]))
            close(collector, "review-7", receipts=1)
            eventually(lambda: collector.get("/v1/receipts")["receipts"][0]["tempo_tx_hash"])
            person = {"p402.session": "campaign-1", "p402.employee": "e-2007", "p402.department": "marketing"}
            unheard = {**person, "gen_ai.request.model": "gpt-unheard-of", "gen_ai.response.model": None}
            collector.export(
                request_of([ASpan.of(unheard, started_ns=0), ASpan.of({**person, "p402.client": None}, started_ns=0)])
            )
            close(collector, "campaign-1", receipts=3)
            yield collector


def close(collector: RunningCollector, session: str, receipts: int) -> None:
    collector.post(f"/v1/sessions/{session}/close")
    eventually(lambda: len(collector.get("/v1/receipts")["receipts"]) == receipts)


@pytest.mark.parametrize(("size", "theme"), SIZES_AND_THEMES)
def test_the_first_page_shows_the_month(metered: RunningCollector, browser: Browser, size: str, theme: str) -> None:
    with opened(browser, metered.url, size, theme) as page:
        figures = page.locator(".figures").inner_text()
        assert "$0.52847" in figures  # twice the worked example; the unpriced call is not in it
        assert page.get_by_text("anchored", exact=True).count() == 1
        assert page.get_by_text("not yet anchored", exact=True).count() == 2
        assert page.get_by_text("unattributed").count() >= 1
        assert page.get_by_text("duplicate").count() == 1
        assert page.locator("td", has_text="unpriced").count() >= 1
        assert not is_wider_than_the_window(page)
        picture(page, f"overview-{size}-{theme}")


def test_an_empty_collector_says_what_to_do_next(tmp_path: Path, browser: Browser) -> None:
    with running_collector(tmp_path) as collector, opened(browser, collector.url, "phone") as page:
        assert "opentelemetry-instrument python app.py" in page.locator("main").inner_text()
        assert not is_wider_than_the_window(page)
        picture(page, "empty-phone")
