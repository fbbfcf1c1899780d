"""Attribution: it survives the way through attributes, and what is not known stays unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.vocabulary import MAX_ID_LENGTH, Attribution, Level, is_valid_id

IDS = st.text(min_size=1, max_size=MAX_ID_LENGTH).filter(is_valid_id)
ATTRIBUTIONS = st.builds(Attribution, *[st.none() | IDS] * 6)


@given(ATTRIBUTIONS)
def test_attributes_read_back(attribution: Attribution) -> None:
    assert Attribution.from_attributes(attribution.to_attributes()) == attribution


@given(ATTRIBUTIONS, ATTRIBUTIONS)
def test_what_is_known_wins_over_the_base(own: Attribution, base: Attribution) -> None:
    for (_, result), (_, mine), (_, its) in zip(own.over(base), own, base, strict=True):
        assert result == (its if mine is None else mine)


@given(ATTRIBUTIONS)
def test_missing_levels_are_those_without_a_value(attribution: Attribution) -> None:
    assert attribution.missing == tuple(level for level, value in attribution if value is None)
    assert attribution.over(attribution) == attribution


def test_levels_go_from_the_payer_down_to_the_session() -> None:
    assert [level for level, _ in Attribution()] == list(Level)[:-1]
    assert Attribution("acme").to_attributes() == {"p402.organisation": "acme"}


@pytest.mark.parametrize("value", ["", " acme", "acme\n", "a" * 257, "two\nlines", "\x00", 7, None, b"acme"], ids=repr)
def test_what_cannot_be_an_id_counts_as_missing(value: Any) -> None:
    assert not is_valid_id(value)
    assert Attribution.from_attributes({"p402.department": value}).department is None
