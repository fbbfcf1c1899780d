"""Receipts as people read, review and check them; and what Verify says of one that somebody has tampered with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from p402.receipts.cli import main as p402_verify
from support.browser import SIZES_AND_THEMES, is_wider_than_the_window, opened, picture
from support.collector import RunningCollector
from support.control import control_of
from support.proved import Proved, proved_collector, tampered_copy


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proved]:
    with proved_collector(tmp_path_factory.mktemp("receipts")) as proved:
        yield proved


@pytest.fixture(scope="module")
def tampered(proved: Proved, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    """A copy in which a letter of one receipt's project was changed, and a call of the other; and the chain has a transfer that
    nobody knows, after a payment of which nobody knows what became."""
    anchored, waiting = proved.receipts()
    with tampered_copy(
        proved,
        tmp_path_factory.mktemp("tampered") / "data",
        (
            "UPDATE log_entries SET body = CAST(replace(body, 'contracts', 'contractz') AS BLOB) WHERE seq = ?",
            (anchored["seq"],),
        ),
        (
            (
                "UPDATE charges SET cost_nano_usd = 1 WHERE cost_nano_usd IS NOT NULL AND scope_id ="
                " (SELECT scope_id FROM receipts WHERE id = ?)"
            ),
            (waiting["receipt_id"],),
        ),
        (
            "INSERT INTO discrepancies (id, kind, place, tx_hash, memo, problem, found_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                "dsc_01JDC2W0V8H3QK6M4T9ZRX5B7E",
                "unknown_memo",
                "elsewhere",
                "0x" + "ab" * 32,
                bytes(32),
                "The payer made a transfer of 12.50 USD that the ledger does not know.",
                1_778_835_600_000,
            ),
        ),
        ("UPDATE settlements SET in_doubt = 1, problem = ?", ("Nobody knows whether it arrived: ask the payee.",)),
    ) as collector:
        yield collector


def follow(page: Page, link: Locator) -> None:
    """Click, and wait for the page that it leads to."""
    with page.expect_navigation():
        link.click()


def verified(page: Page) -> tuple[str, dict[str, str]]:
    """Press Verify; gives the verdict, and the status of each link."""
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#verify .notice")).to_be_visible(timeout=20_000)
    rows = page.locator("#verify tbody tr")
    found = {str(row.get_attribute("data-link")): str(row.get_attribute("data-status")) for row in rows.all()}
    return page.locator("#verify .notice").inner_text(), found


def as_administrator(page: Page, proved: Proved) -> None:
    page.context.set_extra_http_headers({"Authorization": f"Bearer {control_of(proved.collector).key}"})


@pytest.mark.parametrize(("size", "theme"), SIZES_AND_THEMES)
def test_the_list_says_what_receipts_come_to_and_which_are_anchored(
    proved: Proved, browser: Browser, size: str, theme: str
) -> None:
    with opened(browser, f"{proved.url}/receipts", size, theme) as page:
        figures = page.locator(".figures").inner_text()
        assert "$0.58" in figures
        assert "50 %" in figures
        follow(page, page.get_by_role("link", name="Not yet anchored"))
        assert "campaign-1" in page.locator("#rows tbody").inner_text()
        assert "review-7" not in page.locator("#rows tbody").inner_text()
        follow(page, page.get_by_role("link", name="Anchored", exact=True))
        assert "review-7" in page.locator("#rows tbody").inner_text()
        assert not is_wider_than_the_window(page)
        picture(page, f"receipts-{size}-{theme}")
        follow(page, page.locator("#rows tbody th a").first)
        assert "review-7" in page.locator("main").inner_text()


@pytest.mark.parametrize(("size", "theme"), SIZES_AND_THEMES)
def test_a_receipt_shows_every_field_and_how_far_its_proof_is(
    proved: Proved, browser: Browser, size: str, theme: str
) -> None:
    [receipt, *_] = proved.receipts()
    with opened(browser, f"{proved.url}/receipts/{receipt['receipt_id']}", size, theme) as page:
        text = page.locator("main").inner_text()
        for value in ("review-7", "e-1042", "legal", "contracts", "globex", "$0.317082", receipt["leaf_hash"]):
            assert value in text
        assert "5,694 in, 20,000 out, 25,694 in total" in text
        assert "claude-opus-4-5" in text
        assert "claude-haiku-4-5" in text
        assert "dept_policy=cost-first, max_tier=standard, model=claude-haiku-4-5" in text
        assert "not captured" in text
        assert receipt["tempo_tx_hash"] in text
        steps = page.locator(".steps li").all_inner_texts()
        assert [step.split("\n")[0] for step in steps] == ["Sealed", "In the log", "Signed", "Anchored"]
        assert f"in block {receipt['tempo_block']:,}, finalized" in steps[3]
        explorer = page.get_by_role("link", name="explorer").get_attribute("href")
        assert explorer == f"https://explorer.example/tx/{receipt['tempo_tx_hash']}"
        assert not is_wider_than_the_window(page)
        picture(page, f"receipt-{size}-{theme}")


def test_verify_checks_every_link_up_to_the_chain(proved: Proved, browser: Browser) -> None:
    [receipt, waiting] = proved.receipts()[:2]
    with opened(browser, f"{proved.url}/receipts/{receipt['receipt_id']}", "desktop") as page:
        verdict, found = verified(page)
        assert "Verified." in verdict
        assert set(found.values()) == {"ok"}
        assert found.keys() >= {
            "body",
            "checkpoint",
            "inclusion",
            "disclosures",
            "statement",
            "memo",
            "anchor",
            "ledger",
        }
        picture(page, "receipt-verified")
        page.goto(f"{proved.url}/receipts/{waiting['receipt_id']}")
        verdict, found = verified(page)
        assert "not everything was checked" in verdict
        assert found["anchor"] == "not_checked"


def test_what_is_taken_away_can_be_checked_elsewhere(
    proved: Proved, browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [receipt, *_] = proved.receipts()
    with opened(browser, f"{proved.url}/receipts/{receipt['receipt_id']}", "desktop") as page:
        command = page.locator(".command").inner_text()
        address = page.get_by_role("link", name="JSON bundle").get_attribute("href")
        file = tmp_path / command.split()[1]
        file.write_bytes(page.request.get(f"{proved.url}{address}").body())
        key = command.split("'")[1]
        assert p402_verify([str(file), "--key", key, "--rpc", proved.node.url]) == 0
        assert "verified" in capsys.readouterr().out
        document = page.request.get(f"{proved.url}{page.get_by_role('link', name='PDF').get_attribute('href')}")
        assert document.body().startswith(b"%PDF")


def test_a_review_is_given_in_the_page_and_stands_on_the_receipt(proved: Proved, browser: Browser) -> None:
    receipt_id = proved.receipts()[1]["receipt_id"]
    with opened(browser, f"{proved.url}/receipts/{receipt_id}", "desktop") as page:
        assert "Nobody has reviewed" in page.locator("#review").inner_text()
        page.get_by_label("Your name or id").fill("e-3001")
        page.get_by_label("Comment").fill("Why so dear?")
        follow(page, page.get_by_role("button", name="Comment"))
        page.get_by_label("Your name or id").fill("e-3001")
        page.get_by_label("Comment").fill("Checked against the brief; the texts are right.")
        follow(page, page.get_by_role("button", name="Approve"))
        expect(page.get_by_role("status").first).to_contain_text("Approved")
        assert "approved" in page.locator("#review h2").inner_text()
        first, second = page.locator(".reviews tbody tr").all_inner_texts()
        assert "e-3001" in first
        assert "Why so dear?" in first
        assert "e-3001" in second
        assert "approved" in second
        assert "the texts are right" in second
        picture(page, "receipt-reviewed")
        page.get_by_label("Your name or id").fill("e-2007")
        follow(page, page.get_by_role("button", name="Ask for a review"))
        page.get_by_label("Your name or id").fill("e-2007")
        follow(page, page.get_by_role("button", name="Reject"))
        assert "their own session" in page.locator(".reviews tbody tr").last.inner_text()
        page.goto(f"{proved.url}/receipts?reviewed=yes")
        assert "rejected" in page.locator("#rows tbody").inner_text()
        page.goto(f"{proved.url}/sessions")
        assert "rejected" in page.locator("#rows tbody tr").filter(has_text="campaign-1").inner_text()
    steps = proved.collector.get(f"/v1/receipts/{receipt_id}")["reviews"]
    assert [step["action"] for step in steps] == ["commented", "approved", "requested", "rejected"]


def test_a_comment_without_words_is_not_taken_and_what_was_typed_stays(proved: Proved) -> None:
    address = f"{proved.url}/receipts/{proved.receipts()[0]['receipt_id']}/review"
    answer = httpx.post(address, data={"action": "comment", "reviewer": "e-<3001>"})
    assert answer.status_code == 400
    assert "a comment needs the member comment" in answer.text
    assert 'value="e-&lt;3001&gt;"' in answer.text
    assert "approved" not in httpx.get(address.removesuffix("/review")).text


def test_another_sites_form_changes_nothing(proved: Proved) -> None:
    address = f"{proved.url}/receipts/{proved.receipts()[0]['receipt_id']}/review"
    forged = {"action": "approve", "reviewer": "e-1"}
    assert httpx.post(address, data=forged, headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("number", "link", "sentence"), [(0, "inclusion", "byte for byte"), (1, "ledger", "A call was changed")]
)
def test_verify_names_the_link_that_somebody_broke(
    proved: Proved, tampered: RunningCollector, browser: Browser, number: int, link: str, sentence: str
) -> None:
    receipt_id = proved.receipts()[number]["receipt_id"]
    with opened(browser, f"{tampered.url}/receipts/{receipt_id}", "desktop") as page:
        verdict, found = verified(page)
        assert f"Broken: {link}." in verdict
        assert sentence in verdict
        assert next(name for name, status in found.items() if status == "failed") == link
        picture(page, f"receipt-broken-{link}")


def test_verify_works_without_scripts(proved: Proved) -> None:
    address = f"{proved.url}/receipts/{proved.receipts()[0]['receipt_id']}/verify"
    answer = httpx.post(address, timeout=30)
    assert answer.status_code == 200
    assert "Verified." in answer.text


@pytest.mark.parametrize(("size", "theme"), SIZES_AND_THEMES)
def test_settlements_say_what_was_anchored_where(proved: Proved, browser: Browser, size: str, theme: str) -> None:
    with opened(browser, f"{proved.url}/settlements", size, theme) as page:
        row = page.locator("#rows tbody tr").first.inner_text()
        assert "final" in row
        assert "anchor" in row
        assert "0x" in row
        follow(page, page.get_by_role("link", name="Failed"))
        assert "None is failed" in page.locator("main").inner_text()
        assert page.get_by_role("button", name="Compare now").count() == 0  # nobody here is an administrator
        assert not is_wider_than_the_window(page)
        picture(page, f"settlements-{size}-{theme}")


def test_an_administrator_compares_with_the_chain(proved: Proved, browser: Browser) -> None:
    with opened(browser, f"{proved.url}/settlements", "desktop") as page:
        as_administrator(page, proved)
        page.reload()
        follow(page, page.get_by_role("button", name="Compare now"))
        assert "Nothing differs" in page.locator("#differences").inner_text()


def test_what_is_in_doubt_or_differs_is_settled_in_the_page(
    proved: Proved, tampered: RunningCollector, browser: Browser
) -> None:
    with opened(browser, f"{tampered.url}/settlements", "desktop") as page:
        assert "ask the payee" in page.locator(".attention").inner_text()
        assert "that the ledger does not know" in page.locator("#differences").inner_text()
        as_administrator(page, proved)
        page.reload()
        picture(page, "settlements-in-doubt")
        page.get_by_label("Why it needs no more attention").fill("Made by hand; noted as paid elsewhere.")
        follow(page, page.get_by_role("button", name="Acknowledge"))
        assert "that the ledger does not know" not in page.locator("#differences").inner_text()
        page.get_by_label("How you know").fill("The payee's statement of today.")
        follow(page, page.get_by_role("button", name="The payee has it"))
        expect(page.get_by_role("status")).to_contain_text("Noted")
        assert page.locator(".attention").count() == 0


def test_an_export_is_asked_for_and_downloaded(proved: Proved, browser: Browser) -> None:
    with opened(browser, f"{proved.url}/receipts", "desktop") as page:
        follow(page, page.get_by_role("link", name="Export"))
        assert "None yet" in page.locator("#list").inner_text()
        page.get_by_label("What").select_option("bundle")
        page.get_by_label("Only department").fill("legal")
        follow(page, page.get_by_role("button", name="Export"))
        expect(page.locator("#rows .ok")).to_have_text("done", timeout=20_000)  # it says so by itself
        assert "department legal" in page.locator("#rows").inner_text()
        picture(page, "exports-desktop-light")
        link = page.locator("#rows a[href$='.json']").first
        files = [str(one.get_attribute("href")) for one in page.locator("#rows a").all()]
        assert link.count() == 1
        manifest = next(file for file in files if file.endswith("manifest.json"))
        assert json.loads(page.request.get(f"{proved.url}{manifest}").body())["files"]


def test_an_export_that_makes_no_sense_says_why(proved: Proved) -> None:
    form = {"format": "csv", "from": "2026-05-31", "to": "2026-05-01", "department": "legal"}
    answer = httpx.post(f"{proved.url}/exports", data=form)
    assert answer.status_code == 400
    assert "to must be later than from" in answer.text
    assert 'value="legal"' in answer.text
    assert httpx.post(f"{proved.url}/exports", data={"format": "csv", "from": "soon"}).status_code == 400
