"""Problems as people see them, and as programs go on seeing them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from support.server import Server, bearer, serving

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, require_key=True, rate_limit_per_minute=3) as server:
        yield server


async def shown(
    server: Server, path: str, headers: Mapping[str, str], method: str = "GET"
) -> tuple[int, str, str, Mapping[str, str]]:
    """Status, media type, text and headers; not through the document, which has programs in mind."""
    async with server.session.request(method, server.url + path, headers=headers, allow_redirects=False) as answer:
        return answer.status, answer.content_type, await answer.text(), answer.headers


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nothing-here", 404, "Nothing is at /nothing-here."),
        ("/<script>alert(1)</script>", 404, "Nothing is at /&lt;script&gt;"),
        ("/calls?period=yesterday", 400, "The query parameter period must look like"),
        ("/receipts/rcpt_none", 404, "There is no receipt"),
        ("/keys", 403, "scope &#39;admin&#39;"),
    ],
)
async def test_a_page_that_cannot_be_shown_says_why_and_leads_on(
    keyed: Server, path: str, status: int, said: str
) -> None:
    key = bearer(await keyed.key("spend:read", "receipts:read"))
    found, media_type, text, headers = await shown(keyed, path, {**BROWSER, **key})
    assert (found, media_type) == (status, "text/html")
    assert said in text
    assert 'href="/"' in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]


async def test_a_program_is_told_as_everywhere(keyed: Server) -> None:
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        assert (await shown(keyed, "/nothing-here", accept))[:2] == (404, "application/problem+json")
        assert (await shown(keyed, "/calls", accept))[:2] == (401, "application/problem+json")
    assert (await shown(keyed, "/v1/receipts", BROWSER))[:2] == (401, "application/problem+json")
    assert (await shown(keyed, "/v1/nothing", BROWSER))[:2] == (404, "application/problem+json")


async def test_the_status_keeps_its_headers(keyed: Server) -> None:
    unknown = await shown(keyed, "/calls", {**BROWSER, **bearer("p402_x")})
    assert (unknown[0], unknown[3]["WWW-Authenticate"]) == (401, "Bearer")
    assert "Sign in as somebody else" in unknown[2]
    assert (await shown(keyed, "/calls", BROWSER, "POST"))[3]["Allow"] == "GET"
    key = bearer(await keyed.key("spend:read"))
    answers = [await shown(keyed, "/calls", {**BROWSER, **key}) for _ in range(4)]
    assert [answer[0] for answer in answers] == [200, 200, 200, 429]
    assert "Retry-After" in answers[-1][3]
    assert "Wait a moment" in answers[-1][2]


async def test_whoever_is_known_keeps_the_navigation(keyed: Server) -> None:
    key = bearer(await keyed.key("spend:read", "receipts:read"))
    text = (await shown(keyed, "/receipts/rcpt_none", {**BROWSER, **key}))[2]
    assert 'aria-label="Pages"' in text
    assert 'aria-label="Pages"' not in (await shown(keyed, "/receipts/rcpt_none", BROWSER))[2]


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("{url}/spend/department?period=7d", "/spend/department?period=7d"),
        ("{url}/nothing-here", None),
        ("https://evil.example/spend", None),
        ("{url}//evil.example", None),
        ("http://[", None),
    ],
)
async def test_the_way_back_leads_to_a_page_of_ours_only(keyed: Server, referer: str, back: str | None) -> None:
    headers = {**BROWSER, "Referer": referer.format(url=keyed.url)}
    text = (await shown(keyed, "/nothing-here", headers))[2]
    assert ("Back</a>" in text) == (back is not None)
    if back is not None:
        assert f'href="{back}"' in text


async def test_a_fault_of_ours_is_told_without_its_details(keyed: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(keyed.collector.database, "read", broken)
    status, media_type, text, _ = await shown(keyed, "/calls", {**BROWSER, **bearer("p402_x")})
    assert (status, media_type) == (500, "text/html")
    assert "secret of the house" not in text
