"""Canonical JSON: the bytes of RFC 8785 and nothing that readers could take differently."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from p402.receipts import canonical, parse_canonical
from p402.receipts.errors import NotCanonical

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))


@given(VALUES)
def test_bytes_are_those_of_the_reference_implementation(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(VALUES)
def test_reading_gives_the_value_back(value: Any) -> None:
    assert parse_canonical(canonical(value)) == value


def test_names_sort_as_utf_16() -> None:
    assert canonical({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    "value", [0.5, {"cost": 1.0}, {"é": [1.5]}, [{"a": {"b": float("nan")}}]], ids=["bare", "member", "after é", "deep"]
)
def test_floats_are_refused_and_located(value: Any) -> None:
    with pytest.raises(NotCanonical, match=r"^\$.* is the float .*decimal strings"):
        canonical(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), "\ud800", {1: 2}, {"a": b"bytes"}, {1, 2}], ids=repr)
def test_what_json_cannot_keep_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":2}',
        '{"a": 1}',
        '{"a":1,"a":1}',
        '{"a":1.0}',
        '{"a":1e3}',
        '{"a":NaN}',
        '"\\u0041"',
        '{"a":1}\n',
        '{"a":',
        "[" * 100_000,
        "\ufeff{}",
        "9" * 5000,
        "9" * 17,
    ],
    ids=lambda text: json.dumps(text[:12]),
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(NotCanonical):
        parse_canonical(text.encode())


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(NotCanonical):
        parse_canonical(b'"\xff"')
