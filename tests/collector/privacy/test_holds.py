"""What of the records a legal hold covers."""

from __future__ import annotations

from typing import Any

import pytest

from p402.collector.privacy.holds import Held, Hold, matters_over
from p402.vocabulary import Attribution

ADA = Attribution("acme", "legal", "tender", "globex", "ada", "s-1")


def locate(kind: str, organisation: str, name: str) -> bytes:
    return f"{kind}/{organisation}/{name}".encode()


def hold(**of: Any) -> Hold:
    return Hold(id="hold_1", **{"organisation": "acme", "matter": "m", **of})


@pytest.mark.parametrize(
    ("of", "covered"),
    [
        ({}, True),
        ({"organisation": "initech"}, False),
        ({"department": "legal"}, True),
        ({"department": "sales"}, False),
        ({"project": "tender", "client": "globex"}, True),
        ({"project": "tender", "client": "other"}, False),
        ({"person": locate("person", "acme", "ada")}, True),
        ({"person": locate("person", "acme", "bob")}, False),
        ({"session": locate("session", "acme", "s-1")}, True),
        ({"session": locate("session", "acme", "s-2")}, False),
        ({"begins_at": 100}, True),
        ({"begins_at": 201}, False),
        ({"begins_at": 200}, True),
        ({"ends_at": 100}, False),
        ({"ends_at": 101}, True),
    ],
)
def test_a_hold_covers_what_fits_all_that_it_says(of: dict[str, Any], covered: bool) -> None:  # noqa: FBT001
    """A record is about calls from 100 to 200."""
    assert hold(**of).covers(ADA, 100, 200, locate) == covered


def test_a_record_of_nobody_is_not_covered_by_a_hold_on_a_person() -> None:
    assert not hold(person=locate("person", "acme", "ada")).covers(Attribution("acme"), 0, 1, locate)


def test_matters_are_named_once_each() -> None:
    holds = [hold(matter="b"), hold(matter="a"), hold(matter="b", department="legal"), hold(matter="c", department="x")]
    assert matters_over(holds, ADA, 100, 200, locate) == ["a", "b"]


@pytest.mark.parametrize(
    ("of", "all_of_her"),
    [
        ({}, True),
        ({"person": locate("person", "acme", "ada")}, True),
        ({"person": locate("person", "acme", "bob")}, False),
        ({"person": locate("person", "acme", "ada"), "project": "tender"}, False),
        ({"begins_at": 1}, False),
    ],
)
def test_all_of_a_person_is_held_by_what_is_not_narrowed(of: dict[str, Any], all_of_her: bool) -> None:  # noqa: FBT001
    assert hold(**of).holds_all_of(locate("person", "acme", "ada")) == all_of_her


def test_a_refusal_names_every_matter() -> None:
    assert "doe, roe" in str(Held(["doe", "roe"]))
