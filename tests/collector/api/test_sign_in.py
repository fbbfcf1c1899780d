"""Signing in with an API key, and what a session's cookie is good for."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from p402.collector.access.roles import Person
from p402.collector.oidc_settings import Role
from p402.collector.settings import SettingsInvalid, load_settings
from p402.vocabulary import Attribution
from support.server import Answer, Server, bearer, serving

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAGE = {"Accept": "text/html,application/xhtml+xml"}
OURS = {"Sec-Fetch-Site": "same-origin"}
BUDGET = {"level": "department", "node": "legal", "cap": "1.00"}


async def sign_in(server: Server, key: str, then: str = "/", **headers: str) -> Answer:
    form = urlencode({"key": key, "next": then})
    return await server.ask("POST", "/sign-in", data=form, headers={**FORM, **headers})


def cookie_of(answer: Answer) -> dict[str, str]:
    """The header that a browser sends afterwards."""
    assert answer.status == 303
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["p402_session"]
    return {"Cookie": f"p402_session={cookie.value}"}


async def as_person(server: Server, role: Role, **bound_to: str) -> dict[str, str]:
    """Sign somebody in as the identity provider would have it."""
    whose = Attribution(**{"organisation": "acme", **bound_to})
    person = Person(subject="u-1", known_as="u-1", name="Ada", role=role, bound_to=whose)
    token = await server.collector.web_sessions.begin_for_person(person, server.clock.now())
    return {"Cookie": f"p402_session={token}"}


async def raw(server: Server, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], str]:
    """An answer that is a page where the document of the API has a problem."""
    async with server.session.request(method, server.url + path, headers=headers, allow_redirects=False) as response:
        return response.status, response.headers, await response.text()


async def test_a_key_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(guarded: Server) -> None:
    answer = await sign_in(guarded, await guarded.key("spend:read"), "/receipts/x")
    assert answer.headers["Location"] == "/receipts/x"
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["p402_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["max-age"], cookie["secure"]) == (
        True,
        "Lax",
        "/",
        "86400",
        "",
    )
    assert (await guarded.get("/v1/charges", **cookie_of(answer))).status == 200


async def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_only(tmp_path: Path) -> None:
    async with serving(tmp_path, require_key=True, public_url="https://p402.example.com/") as server:
        key = await server.key("admin")
        answer = await sign_in(server, key, Origin="https://p402.example.com")
        assert SimpleCookie(answer.headers["Set-Cookie"])["p402_session"]["secure"] is True
        assert (await sign_in(server, key, Origin="http://p402.example.com.evil.example")).status == 403


async def test_a_wrong_key_is_refused_on_the_page_and_appears_nowhere(
    guarded: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "p402_a-wrong-secret"
    for key in (wrong, "", "\udcff".encode("utf-8", "surrogatepass").decode("latin-1")):
        answer = await sign_in(guarded, key, "/receipts/x")
        assert (answer.status, answer.media_type) == (401, "text/html")
        assert "Set-Cookie" not in answer.headers
        assert b'value="/receipts/x"' in answer.body
        assert wrong.encode() not in answer.body
    assert wrong not in caplog.text


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"{}", "application/json"),
        (b"key=x", "text/plain"),
        (b"key=\xff", None),
        (b"key=%ff", None),
        (b"x" * 9000, None),
    ],
)
async def test_what_is_no_form_is_refused(guarded: Server, data: bytes, media_type: str | None) -> None:
    headers = {"Content-Type": media_type or FORM["Content-Type"]}
    answer = await guarded.ask("POST", "/sign-in", data=data, headers=headers)
    assert answer.status == 400


async def test_whoever_signs_in_anew_leaves_the_old_session(guarded: Server) -> None:
    key = await guarded.key("spend:read")
    first = cookie_of(await sign_in(guarded, key))
    second = cookie_of(await sign_in(guarded, key, **first))
    assert (await guarded.get("/v1/charges", **first)).status == 401
    assert (await guarded.get("/v1/charges", **second)).status == 200


async def test_sign_out_ends_it(guarded: Server) -> None:
    cookie = cookie_of(await sign_in(guarded, await guarded.key("spend:read")))
    answer = await guarded.ask("POST", "/sign-out", headers={**cookie, **OURS})
    assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")
    assert (await guarded.get("/v1/charges", **cookie)).status == 401
    assert (await guarded.ask("POST", "/sign-out")).status == 303, "as often as one likes"


async def test_a_session_that_is_too_old_or_was_not_used_is_over(guarded: Server) -> None:
    key = await guarded.key("spend:read")
    unused, used = cookie_of(await sign_in(guarded, key)), cookie_of(await sign_in(guarded, key))
    refreshing = cookie_of(await sign_in(guarded, key))
    for _ in range(3):
        guarded.clock.advance(hours=7)
        assert (await guarded.get("/v1/charges", **used)).status == 200
        await guarded.get("/v1/charges", **refreshing, **{"P402-Refresh": "1"})
    assert (await guarded.get("/v1/charges", **unused)).status == 401
    assert (await guarded.get("/v1/charges", **refreshing)).status == 401
    guarded.clock.advance(hours=3)
    assert (await guarded.get("/v1/charges", **used)).status == 401


async def test_a_key_in_the_header_goes_before_the_cookie(guarded: Server) -> None:
    cookie = cookie_of(await sign_in(guarded, await guarded.key("spend:read")))
    other = bearer(await guarded.key("ingest"))
    assert (await guarded.ask("GET", "/v1/charges", headers={**cookie, **other})).status == 403
    wrong = {"Authorization": "Bearer p402_wrong"}
    assert (await guarded.ask("GET", "/v1/charges", headers={**cookie, **wrong})).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_page_of_another_site_changes_nothing_by_the_cookie(guarded: Server, headers: dict[str, str]) -> None:
    key = await guarded.key("admin", organisation="acme")
    cookie = cookie_of(await sign_in(guarded, key))
    for method, path, body in (
        ("PUT", "/v1/budgets/b", BUDGET),
        ("POST", "/v1/keys", {"name": "x", "scopes": ["admin"]}),
        ("DELETE", "/v1/budgets/b", None),
    ):
        answer = await guarded.ask(method, path, json=body, headers={**cookie, **headers})
        assert answer.status == 403, (method, path)
        assert "another site" in answer.json["detail"]
    assert (await guarded.ask("POST", "/sign-out", headers={**cookie, **headers})).status == 403
    assert (await sign_in(guarded, key, **headers)).status == 403
    assert (await guarded.get("/v1/charges", **cookie, **headers)).status == 200, "reading changes nothing"
    assert (await guarded.ask("PUT", "/v1/budgets/b", json=BUDGET, headers={**cookie, **OURS})).status == 201
    by_key = {**bearer(key), **headers}
    assert (await guarded.ask("PUT", "/v1/budgets/b", json=BUDGET, headers=by_key)).status == 200, "no browser's key"


async def test_our_own_origin_is_told_by_the_host_where_browsers_say_no_more(guarded: Server) -> None:
    cookie = cookie_of(await sign_in(guarded, await guarded.key("admin", organisation="acme")))
    for origin, status in ((guarded.url, 201), ("http://127.0.0.1:1", 403)):
        answer = await guarded.ask("PUT", "/v1/budgets/b", json=BUDGET, headers={**cookie, "Origin": origin})
        assert answer.status == status


async def test_whoever_is_nobody_is_sent_to_sign_in_from_pages_only(guarded: Server) -> None:
    for path in ("/", "/receipts/rcpt_1?organisation=acme"):
        answer = await guarded.get(path, **PAGE)
        assert answer.status == 303
        assert answer.headers["Location"].startswith("/sign-in?next=/")
        assert (await guarded.get(path)).status == 401, "a program"
        assert (await guarded.get(path, "p402_wrong", **PAGE)).status == 401, "a program with a wrong key"
    assert (await guarded.get("/v1/charges", **PAGE)).status == 401
    stale = {"Cookie": "p402_session=gone"}
    assert (await guarded.get("/", **PAGE, **stale)).headers["Location"] == "/sign-in?next=/"
    assert (await guarded.get("/?organisation=acme", **PAGE)).headers["Location"] == (
        "/sign-in?next=/%3Forganisation%3Dacme"
    )


async def test_a_part_of_a_page_makes_the_whole_page_go_to_sign_in(guarded: Server) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": f"{guarded.url}/spend?by=project"}
    status, told, _ = await raw(guarded, "GET", "/", headers)
    assert (status, told["HX-Redirect"]) == (401, "/sign-in?next=/spend%3Fby%3Dproject")
    headers["HX-Current-URL"] = "https://evil.example//evil.example"
    assert (await raw(guarded, "GET", "/", headers))[1]["HX-Redirect"] == "/sign-in?next=/"


async def test_who_may_not_is_told_so_on_a_page_and_a_program_in_a_problem(guarded: Server) -> None:
    cookie = cookie_of(await sign_in(guarded, await guarded.key("ingest")))
    status, headers, text = await raw(guarded, "GET", "/", {**PAGE, **cookie})
    assert (status, headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert "This needs an API key with the scope &#39;spend:read&#39;" in text
    assert (await guarded.get("/", **cookie)).media_type == "application/problem+json"
    status, _, text = await raw(guarded, "GET", "/<b>nowhere</b>", PAGE)
    assert status == 404
    assert "Nothing is at /&lt;b&gt;nowhere&lt;/b&gt;." in text


async def test_attempts_are_limited_by_address(tmp_path: Path) -> None:
    async with serving(tmp_path, require_key=True, sign_in_attempts_per_minute=2) as server:
        key = await server.key("spend:read")
        answers = [await sign_in(server, "p402_wrong"), await sign_in(server, key), await sign_in(server, key)]
        assert [answer.status for answer in answers] == [401, 303, 429]
        assert (answers[-1].media_type, answers[-1].headers["Retry-After"]) == ("text/html", "30")
        server.clock.advance(seconds=30)
        assert (await sign_in(server, key)).status == 303


async def test_somebody_who_signed_in_is_limited_as_a_key_is(tmp_path: Path) -> None:
    async with serving(tmp_path, require_key=True, rate_limit_per_minute=2) as server:
        cookie = await as_person(server, "finance")
        assert [(await server.get("/v1/charges", **cookie)).status for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    ("role", "bound_to", "allowed"),
    [
        ("admin", {}, {"/v1/charges", "/v1/receipts", "/v1/exports", "/v1/holds", "/v1/keys", "PUT"}),
        ("finance", {}, {"/v1/charges", "/v1/receipts", "/v1/exports", "PUT"}),
        ("head", {"department": "legal"}, {"/v1/charges", "/v1/receipts"}),
        ("employee", {"employee": "e-1042"}, {"/v1/charges", "/v1/receipts"}),
        ("auditor", {}, {"/v1/charges", "/v1/receipts", "/v1/exports", "/v1/holds"}),
    ],
)
async def test_each_role_may_what_it_may(
    guarded: Server, role: Role, bound_to: dict[str, str], allowed: set[str]
) -> None:
    cookie = await as_person(guarded, role, **bound_to)
    for path in ("/v1/charges", "/v1/receipts", "/v1/exports", "/v1/holds", "/v1/keys"):
        answer = await guarded.get(path, **cookie)
        assert (answer.status == 200) == (path in allowed), (role, path)
        if answer.status != 200:
            assert (answer.status, f"your role, {role}, has" in answer.json["detail"]) == (403, True)
    put = await guarded.ask("PUT", "/v1/policies/legal", json={"strategy": "cost-first"}, headers={**cookie, **OURS})
    assert (put.status == 201) == ("PUT" in allowed), role
    assert (await guarded.get("/v1/charges?organisation=initech", **cookie)).status == 403


async def test_a_stream_ends_when_whoever_reads_it_signs_out(guarded: Server) -> None:
    cookie = cookie_of(await sign_in(guarded, await guarded.key("feedback", organisation="acme")))
    async with guarded.session.get(f"{guarded.url}/v1/feedback/stream", headers=cookie) as stream:
        assert stream.status == 200
        await guarded.ask("POST", "/sign-out", headers=cookie)
        assert (await stream.content.read()).endswith(b"event: revoked\ndata: {}\n\n")


async def test_where_nobody_needs_a_key_a_stale_cookie_does_no_harm_and_signing_in_gives_more(server: Server) -> None:
    stale = {"Cookie": "p402_session=gone"}
    assert (await server.get("/v1/charges", **stale)).status == 200
    assert (await server.get("/v1/keys", **stale)).status == 403
    assert (await server.ask("PUT", "/v1/budgets/b", json=BUDGET)).status == 403
    cookie = cookie_of(await sign_in(server, await server.key("admin")))
    assert (await server.get("/v1/keys", **cookie)).status == 200


async def test_the_page_says_who_is_signed_in_and_leaves_no_copy(guarded: Server) -> None:
    cookie = await as_person(guarded, "finance")
    answer = await guarded.get("/sign-in", **cookie)
    assert b"You are signed in as Ada" in answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    assert "form-action 'self'; frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    nobody = await guarded.get("/sign-in")
    assert b"signed in as" not in nobody.body
    assert b"/sign-in/oidc" not in nobody.body, "no provider is configured"
    assert (await guarded.get("/sign-in/oidc")).status == 404
    assert (await guarded.get("/sign-in/oidc/callback?code=x&state=y")).status == 404


# --- the demo


@dataclass(frozen=True)
class Demo:
    server: Server

    async def put(self, **headers: str) -> int:
        return (await self.server.ask("PUT", "/v1/budgets/b", json=BUDGET, headers=headers)).status


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    async with serving(tmp_path, demo=True) as server:
        yield Demo(server)


async def test_in_the_demo_everybody_on_this_machine_is_an_administrator(demo: Demo) -> None:
    assert (await demo.server.get("/v1/keys")).status == 200
    assert await demo.put() == 201
    assert await demo.put(**OURS) == 200


async def test_but_no_page_of_anybody_else_is(demo: Demo) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"Host": "evil.example"},
    ):
        assert await demo.put(**headers) == 403, headers


@pytest.mark.parametrize(
    "settings",
    [
        {"listen": "0.0.0.0:4318", "grpc_listen": ""},
        {"listen": "127.0.0.1:4318", "grpc_listen": "0.0.0.0:4317"},
        {"require_key": True},
        {"listen": "0.0.0.0:4318", "require_key": False},
    ],
)
def test_the_demo_is_refused_where_others_can_connect(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid, match="demo makes everybody an administrator"):
        load_settings(data_dir=tmp_path, demo=True, **settings)
