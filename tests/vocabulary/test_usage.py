"""Usage: counts add up, and contradictions are put into words."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.vocabulary import Usage

NAMES = [field.name for field in fields(Usage)]
COUNTS = st.integers(0, 10**9)
USAGES = st.fixed_dictionaries(dict.fromkeys(NAMES, COUNTS)).map(lambda counts: Usage(**counts))


@given(USAGES, USAGES)
def test_every_kind_adds_up(one: Usage, other: Usage) -> None:
    total = one + other
    assert all(getattr(total, name) == getattr(one, name) + getattr(other, name) for name in NAMES)
    assert total.total_tokens == one.total_tokens + other.total_tokens


def test_adding_nothing_changes_nothing() -> None:
    usage = Usage(input_tokens=2847, output_tokens=10_000)
    assert usage + Usage() == usage
    assert usage.total_tokens == 12_847


def test_counts_that_fit_together_are_no_contradiction() -> None:
    usage = Usage(
        input_tokens=100,
        output_tokens=50,
        cache_read_input_tokens=60,
        cache_write_input_tokens=40,
        cache_write_1h_input_tokens=40,
        reasoning_output_tokens=50,
        audio_input_tokens=10,
        audio_cache_read_input_tokens=10,
    )
    assert usage.contradiction() is None


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        (Usage(input_tokens=-1), "input_tokens is negative (-1)"),
        (
            Usage(output_tokens=1, reasoning_output_tokens=2),
            "reasoning_output_tokens (2) is more than output_tokens (1)",
        ),
        (Usage(cache_read_input_tokens=1), "cache_read_input_tokens (1) is more than input_tokens (0)"),
        (
            Usage(input_tokens=2, cache_write_input_tokens=1, cache_write_1h_input_tokens=2),
            "cache_write_1h_input_tokens (2) is more than cache_write_input_tokens (1)",
        ),
        (
            Usage(input_tokens=3, cache_read_input_tokens=2, cache_write_input_tokens=2),
            "cached tokens (4) are more than input_tokens (3)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_contradiction_is_put_into_words(usage: Usage, said: str) -> None:
    assert usage.contradiction() == said
