"""Signing in at a real identity provider, by a client that can do what a browser would not."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web

from p402.collector.address import Address
from p402.collector.oidc_settings import OidcSettings
from p402.collector.settings import SettingsInvalid, load_settings
from p402.collector.wiring import build
from support.identity_provider import CLIENT_ID, ROLES, SECRET, configuration, identity_provider
from support.otlp import ASpan
from support.ports import steady_port
from support.server import Answer, Server, serving

CALLBACK = "/sign-in/oidc/callback"


@pytest.fixture(params=[False, True], ids=["claims from UserInfo", "claims in the ID token"], scope="module")
def provider(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    port = steady_port()
    with identity_provider(f"http://127.0.0.1:{port}", claims_in_id_token=request.param) as issuer:
        yield port, issuer


@pytest.fixture
async def server(tmp_path: Path, provider: tuple[int, str]) -> AsyncIterator[Server]:
    port, issuer = provider
    async with serving(
        tmp_path,
        require_key=True,
        default_organisation="acme",
        listen=Address("127.0.0.1", port),
        oidc=settings(tmp_path, issuer),
        sign_in_attempts_per_minute=0,
    ) as running:
        running.clock.advance(seconds=(datetime.now(UTC) - running.clock.now()).total_seconds())  # the provider's
        yield running


def settings(folder: Path, issuer: str, **changed: object) -> OidcSettings:
    secret = folder / "secret"
    secret.write_text(SECRET)
    given = {"issuer": issuer, "client_id": CLIENT_ID, "client_secret_file": secret, "roles": ROLES}
    return OidcSettings.model_validate({**given, "employee_claim": "employee_number", **changed})


async def begun(server: Server, then: str = "/") -> tuple[str, dict[str, str]]:
    """Where the browser is sent, and what it sends when it comes back."""
    answer = await server.get(f"/sign-in/oidc?{urlencode({'next': then})}")
    assert answer.status == 303
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["p402_sign_in"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/sign-in/oidc")
    return answer.headers["Location"], {"Cookie": f"p402_sign_in={cookie.value}"}


async def back(address: str, who: str) -> str:
    """Sign in at the provider; gives the path that the browser is sent back to."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(address) as choice:
            there = f"{choice.url}?{who}"
        for _ in range(5):
            async with browser.get(there, allow_redirects=False) as answer:
                there = answer.headers["Location"]
            if urlsplit(there).path == CALLBACK:
                return f"{CALLBACK}?{urlsplit(there).query}"
    raise AssertionError(f"the provider sends the browser to {there}")


def session_of(answer: Answer) -> dict[str, str]:
    assert answer.status == 303, answer.body
    told = [SimpleCookie(value) for name, value in answer.headers.items() if name == "Set-Cookie"]
    [session] = [cookie["p402_session"].value for cookie in told if "p402_session" in cookie]
    return {"Cookie": f"p402_session={session}"}


async def test_somebody_signs_in_and_gets_the_page_that_they_wanted(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address, cookie = await begun(server, "/receipts/x?organisation=acme")
    asked = parse_qs(urlsplit(address).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert SECRET not in address
    place = await back(address, "who=u-emil")
    answer = await server.get(place, **cookie)
    assert answer.headers["Location"] == "/receipts/x?organisation=acme"
    assert (await server.get("/v1/charges", **session_of(answer))).status == 200
    code = parse_qs(urlsplit(place).query)["code"][0]
    for secret in (SECRET, code, cookie["Cookie"], session_of(answer)["Cookie"].partition("=")[2]):
        assert secret not in caplog.text


async def test_a_code_is_good_once_and_the_next_use_signs_nobody_in(server: Server) -> None:
    address, cookie = await begun(server)
    place = await back(address, "who=u-fiona")
    assert (await server.get(place, **cookie)).status == 303
    again = await server.get(place, **cookie)
    assert (again.status, b"invalid_grant" in again.body) == (403, True)


async def test_an_answer_that_another_browser_asked_for_is_refused(server: Server) -> None:
    """Else somebody could be signed in as another without knowing it."""
    address, cookie = await begun(server)
    place = await back(address, "who=u-fiona")
    _, of_another = await begun(server)
    for headers in ({}, of_another, {"Cookie": "p402_sign_in=x"}):
        assert (await server.get(place, **headers)).status == 400
    for tampered in (re.sub(r"state=[^&]+", "state=x", place), re.sub(r"&?state=[^&]+", "", place)):
        assert (await server.get(tampered, **cookie)).status == 400
    assert (await server.get(place, **cookie)).status == 303, "the right one still holds"


async def test_whoever_signed_in_reviews_in_their_own_name_only(server: Server) -> None:
    await server.send(ASpan(), key=await server.key("ingest"))
    await server.seal()
    address, cookie = await begun(server)
    hedy = session_of(await server.get(await back(address, "who=u-hedy"), **cookie))
    [receipt] = (await server.get("/v1/receipts", **hedy)).json["receipts"]
    path, step = f"/v1/receipts/{receipt['receipt_id']}/review", {"action": "approve"}
    another = await server.ask("POST", path, json={**step, "reviewer": "u-aude"}, headers=hedy)
    assert (another.status, "who signed in" in another.json["detail"]) == (403, True)
    assert (await server.ask("POST", path, json={**step, "reviewer": "u-hedy"}, headers=hedy)).status == 201


async def test_a_code_of_another_attempt_is_refused_by_its_verifier(server: Server) -> None:
    """A stolen code, put into an attempt of the thief's own."""
    address, _ = await begun(server)
    stolen = parse_qs(urlsplit(await back(address, "who=u-adam")).query)
    thief, cookie = await begun(server)
    own = parse_qs(urlsplit(thief).query)["state"]
    query = urlencode({"code": stolen["code"][0], "state": own[0], "iss": stolen["iss"][0]})
    answer = await server.get(f"{CALLBACK}?{query}", **cookie)
    assert (answer.status, b"invalid_grant" in answer.body) == (403, True)


async def test_an_answer_of_another_provider_is_refused(server: Server) -> None:
    address, cookie = await begun(server)
    place = await back(address, "who=u-fiona")
    for mixed_up in (re.sub(r"iss=[^&]+", "iss=https%3A%2F%2Fevil.example", place), re.sub(r"&?iss=[^&]+", "", place)):
        answer = await server.get(mixed_up, **cookie)
        assert (answer.status, b"another identity provider" in answer.body) == (403, True)


async def test_whoever_turns_back_is_told_and_nothing_of_the_address_is_shown(server: Server) -> None:
    address, cookie = await begun(server)
    place = await back(address, "cancel")
    answer = await server.get(f"{place}&error_description=%3Cmarquee%3E", **cookie)
    assert (answer.status, b"did not let you in" in answer.body, b"marquee" in answer.body) == (403, True, False)


async def test_a_token_is_judged_by_our_clock(server: Server) -> None:
    address, cookie = await begun(server)
    place = await back(address, "who=u-fiona")
    server.clock.advance(minutes=10)
    answer = await server.get(place, **cookie)
    assert (answer.status, b"has expired" in answer.body) == (403, True)


async def test_a_provider_that_is_away_or_not_who_it_should_be_is_no_fault_of_ours(tmp_path: Path) -> None:
    port = steady_port()
    oidc = settings(tmp_path, f"http://127.0.0.1:{port}")
    async with serving(tmp_path, require_key=True, oidc=oidc) as server:
        away = await server.get("/sign-in/oidc")
        assert (away.status, b"cannot be reached" in away.body) == (503, True)
        assert b"Or with an API key" in away.body
        said: dict[str, object] = {}
        asked = []

        async def answer(request: web.Request) -> web.StreamResponse:
            asked.append(request.path)
            if said.get("moved"):
                raise web.HTTPFound("/elsewhere")
            return web.json_response(said)

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            here = f"http://127.0.0.1:{port}"
            endpoints = {"authorization_endpoint": f"{here}/a", "token_endpoint": f"{here}/t", "jwks_uri": f"{here}/k"}
            for wrong, why in (
                ({"moved": True}, b"HTTP 302"),
                ({"issuer": "https://evil.example", **endpoints}, b"calls itself otherwise"),
                ({"issuer": here}, b"each needs https"),
                ({"issuer": here, **endpoints, "token_endpoint": "http://evil.example/t"}, b"each needs https"),
                ({"issuer": here, **endpoints, "userinfo_endpoint": "file:///etc/passwd"}, b"each needs https"),
            ):
                said.clear()
                said |= wrong
                refused = await server.get("/sign-in/oidc")
                assert (refused.status, why in refused.body) == (503, True), (wrong, refused.body)
            assert set(asked) == {"/.well-known/openid-configuration"}, "no redirect was followed"
        finally:
            await runner.cleanup()


def test_the_table_of_the_file_is_read_and_what_is_wrong_in_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = configuration(tmp_path, "https://login.example.com")
    monkeypatch.setenv("P402_CONFIG", str(file))
    found = load_settings(data_dir=tmp_path).oidc
    assert found is not None
    assert (found.roles["controlling"], found.read_secret()) == ("finance", SECRET)
    (tmp_path / "oidc.secret").unlink()
    with pytest.raises(SettingsInvalid, match=r"The identity provider in \[oidc\] cannot be used"):
        build(load_settings(data_dir=tmp_path))
    file.write_text(file.read_text().replace("https://", "http://"))
    with pytest.raises(SettingsInvalid, match=r"\[oidc\], issuer: an issuer looks like"):
        load_settings(data_dir=tmp_path)
    monkeypatch.delenv("P402_CONFIG")
    monkeypatch.setenv("P402_OIDC", "{}")
    with pytest.raises(SettingsInvalid, match="P402_OIDC cannot be set"):
        load_settings(data_dir=tmp_path)
