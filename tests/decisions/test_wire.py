"""What is written as JSON for those who decide elsewhere is read back as it was."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from p402.decisions import (
    Funds,
    Model,
    Policy,
    Question,
    RateCard,
    decide,
    policy_from_wire,
    policy_to_wire,
)
from support.decisions import MONDAY, calls, card_for, funds, models, policies, rules_for


def sent(wire: dict[str, Any]) -> dict[str, Any]:
    """What arrives at the other end."""
    arrived: dict[str, Any] = json.loads(json.dumps(wire))
    return arrived


@given(policies)
def test_a_policy_survives_the_wire(policy: Policy) -> None:
    assert policy_from_wire(sent(policy_to_wire(policy))) == policy


@given(calls)
def test_a_question_survives_the_wire(question: Question) -> None:
    assert Question.from_wire(sent(question.to_wire())) == question


@given(models)
def test_a_model_survives_the_wire(model: Model) -> None:
    assert Model.from_wire(sent(model.to_wire())) == model


@given(st.sampled_from(["oak", "elm", "moss"]))
def test_a_rate_card_gives_the_same_ceilings_after_the_wire(name: str) -> None:
    card = card_for("acorn", name, None)
    assert card is not None
    again = RateCard.from_wire(sent(card.to_wire()))
    for writes_cache in (False, True):
        assert again.ceiling(10, 20, writes_cache=writes_cache, media=True) == card.ceiling(
            10, 20, writes_cache=writes_cache, media=True
        )


@given(calls, policies, funds)
def test_whoever_decides_by_what_was_sent_decides_the_same(question: Question, policy: Policy, money: Funds) -> None:
    here = decide(question, rules_for(policy), money, MONDAY)
    there = decide(
        Question.from_wire(sent(question.to_wire())),
        rules_for(policy_from_wire(sent(policy_to_wire(policy)))),
        money,
        MONDAY,
    )
    assert there == here
