"""Requests of other sites are told from ours, and nobody is sent to another site."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from p402.collector.access.attempt import Attempt
from p402.collector.access.places import is_cross_origin, local_path

HOST = "p402.example.com"


@pytest.mark.parametrize(
    ("method", "headers", "refused"),
    [
        # The table of net/http's CrossOriginProtection
        ("POST", {"sec-fetch-site": "same-origin"}, False),
        ("POST", {"sec-fetch-site": "none"}, False),
        ("POST", {"sec-fetch-site": "cross-site"}, True),
        ("POST", {"sec-fetch-site": "same-site"}, True),
        ("POST", {"sec-fetch-site": ""}, True),
        ("POST", {}, False),
        ("POST", {"origin": f"https://{HOST}"}, False),
        ("POST", {"origin": "https://evil.example"}, True),
        ("POST", {"origin": f"https://{HOST}:8443"}, True),
        ("POST", {"origin": f"https://{HOST}.evil.example"}, True),
        ("POST", {"origin": "null"}, True),
        ("POST", {"origin": ""}, True),
        ("POST", {"origin": "https://["}, True),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "https://evil.example"}, False),
        ("GET", {"sec-fetch-site": "cross-site"}, False),
        ("HEAD", {"sec-fetch-site": "cross-site"}, False),
        ("OPTIONS", {"sec-fetch-site": "cross-site"}, False),
        ("PUT", {"sec-fetch-site": "cross-site"}, True),
        ("DELETE", {"origin": "https://evil.example"}, True),
    ],
)
def test_what_another_site_makes_a_browser_send_is_told_from_the_rest(
    method: str, headers: dict[str, str], *, refused: bool
) -> None:
    assert is_cross_origin(method, CIMultiDict(headers), HOST) == refused


def test_behind_a_proxy_the_public_address_is_ours_too() -> None:
    headers = CIMultiDict({"origin": f"https://{HOST}"})
    assert is_cross_origin("POST", headers, "10.0.0.7:4318")
    assert not is_cross_origin("POST", headers, "10.0.0.7:4318", f"https://{HOST}")
    assert is_cross_origin("POST", CIMultiDict({"origin": "null"}), "10.0.0.7:4318", f"https://{HOST}")


@pytest.mark.parametrize("path", ["/", "/receipts/rcpt_1", "/?organisation=acme&month=2026-10", "/a%2Fb?x=%C3%A9#part"])
def test_a_path_of_ours_stays_what_it_is(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "elsewhere",
    [
        None, "", "x", "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example",
        "javascript:alert(1)", "/\t/evil.example", "\n//evil.example", " //evil.example", "/x\r\nSet-Cookie: a=b",
        "/x\\..\\y", "/\udcff", "/" + "x" * 2_000,
    ],
)  # fmt: skip
def test_what_is_no_path_of_ours_becomes_the_first_page(elsewhere: str | None) -> None:
    assert local_path(elsewhere) == "/"


@given(st.text(max_size=60) | st.text(alphabet="/\\:.@%\t\n aé?#;", max_size=12))
def test_whatever_is_wanted_the_browser_stays_here(wanted: str) -> None:
    path = local_path(wanted)
    assert path.isascii()
    assert path.isprintable()
    there = urlsplit(urljoin(f"https://{HOST}/sign-in", path.replace("\\", "/")))
    assert (there.scheme, there.netloc) == ("https", HOST)


@given(st.text(max_size=60))
def test_an_attempt_is_what_its_cookie_says(then: str) -> None:
    begun = Attempt.begin(then)
    again = Attempt.of_cookie(begun.cookie)
    assert again == begun
    assert again.has_state(begun.state)
    assert (again.nonce, again.verifier, again.then) == (begun.nonce, begun.verifier, local_path(then))


def test_no_attempt_has_the_state_of_another_and_none_tells_its_verifier() -> None:
    one, other = Attempt.begin("/"), Attempt.begin("/")
    assert not one.has_state(other.state)
    for state in ("", one.state[:-1], one.state.lower(), "é", "\udcff"):
        assert not one.has_state(state)
    told = {one.state, one.nonce, one.challenge}
    assert len(told) == 3
    assert not told & {one.verifier, one.secret}


@pytest.mark.parametrize("value", ["", ".", "x./", "a" * 43, "é" * 43 + ".%2F", f"{'a' * 44}.%2F"])
def test_what_is_no_cookie_of_an_attempt_is_none(value: str) -> None:
    assert Attempt.of_cookie(value) is None
