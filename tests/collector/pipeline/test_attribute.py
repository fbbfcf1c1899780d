"""Who a call was for."""

from __future__ import annotations

from typing import Any

import pytest

from p402.collector.pipeline.attribute import attribute
from p402.collector.pipeline.records import Attributed
from p402.collector.receiver.otlp_decode import decode_traces
from p402.vocabulary import Attribution, Level
from support.otlp import ATTRIBUTION, ASpan, request_of

NOBODY = Attribution()
ALL = Attribution("acme", "legal", "contracts", "globex", "e-1042", "review-7")


def owner(
    attributes: dict[str, Any], resource: dict[str, Any] | None = None, bound_to: Attribution = NOBODY
) -> Attributed:
    [span] = decode_traces(request_of([ASpan(attributes=attributes)], resource)).spans
    return attribute(span, bound_to, "default")


def test_a_span_says_who_the_call_was_for() -> None:
    assert owner(ATTRIBUTION).attribution == ALL


def test_what_the_span_leaves_open_the_resource_says() -> None:
    found = owner({"p402.department": "legal"}, {"p402.organisation": "acme", "p402.department": "sales"})
    assert found.attribution == Attribution("acme", "legal")


def test_the_keys_binding_wins_over_what_is_asserted() -> None:
    found = owner(ATTRIBUTION, bound_to=Attribution("initech", "ops"))
    assert found.attribution == Attribution("initech", "ops", "contracts", "globex", "e-1042", "review-7")


def test_a_call_of_nobody_is_the_default_organisations_and_unattributed_below() -> None:
    found = owner({})
    assert found.attribution == Attribution("default")
    assert found.attribution.missing == tuple(Level)[1:6]


@pytest.mark.parametrize("name", ["gen_ai.conversation.id", "session.id"])
def test_what_others_call_a_session_stands_in_for_one(name: str) -> None:
    assert owner({name: "conv-1"}).attribution.session == "conv-1"
    assert owner({name: "conv-1", "p402.session": "mine"}).attribution.session == "mine"
    assert owner({name: "conv-1"}, {"p402.session": "process"}).attribution.session == "process"


def test_the_conversation_comes_before_the_browsers_session() -> None:
    assert owner({"session.id": "browser", "gen_ai.conversation.id": "conv-1"}).attribution.session == "conv-1"


@pytest.mark.parametrize("value", ["", " ", " legal", "legal\n", "a\0b", "x" * 257, 7, True, b"legal", ("legal",)])
@pytest.mark.parametrize("level", ["organisation", "department", "session"])
def test_what_cannot_be_an_id_counts_as_missing(level: str, value: object) -> None:
    assert owner({f"p402.{level}": value, "gen_ai.conversation.id": value}).attribution == Attribution("default")


@pytest.mark.parametrize(
    ("bound_to", "deepest"),
    [
        (NOBODY, None),
        (Attribution("acme"), Level.ORGANISATION),
        (Attribution("acme", "legal"), Level.DEPARTMENT),
        (Attribution("acme", "legal", "contracts", "globex", "e-1042"), Level.EMPLOYEE),
        (Attribution("acme", None, "contracts"), Level.ORGANISATION),
        (Attribution(department="legal"), None),
    ],
)
def test_attribution_is_verified_as_deep_as_the_binding_has_no_gap(
    bound_to: Attribution, deepest: Level | None
) -> None:
    assert owner(ATTRIBUTION, bound_to=bound_to).verified_through is deepest
