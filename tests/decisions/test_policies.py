"""Which rule applies to a call, and which model it gives it, before any money is looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given

from p402.decisions import (
    Ability,
    Action,
    Code,
    Condition,
    Decision,
    Funds,
    Policy,
    Question,
    Rule,
    Strategy,
    Tier,
    Verdict,
    decide,
)
from p402.vocabulary import Attribution
from support.decisions import MONDAY, calls, policies, rules_for

CALL = Question(
    attribution=Attribution(organisation="acme"), provider="acorn", model="oak", input_tokens=1_000, output_tokens=500
)


def given_to(question: Question, policy: Policy) -> str | None:
    """The model that a call gets; None if it is refused."""
    decision = decide(question, rules_for(policy), Funds(), MONDAY)
    return decision.model if decision.goes_ahead else None


def under(question: Question, policy: Policy) -> Decision:
    return decide(question, rules_for(policy), Funds(), MONDAY)


def rule(then: Action, name: str = "a rule", **when: object) -> Rule:
    return Rule(name=name, when=Condition(**when), then=then)  # type: ignore[arg-type] # by name


# --- conditions


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({}, True),
        ({"task_types": ("chat", "qa")}, True),
        ({"task_types": ("qa",)}, False),
        ({"complexity_from": 4}, True),
        ({"complexity_from": 5}, False),
        ({"complexity_to": 4}, True),
        ({"complexity_to": 3}, False),
        ({"data_classes": ("secret",)}, True),
        ({"models": ("o*",)}, True),
        ({"models": ("*o", "elm")}, False),
        ({"providers": ("acorn",)}, True),
        ({"providers": ("birch",)}, False),
        ({"task_types": ("chat",), "complexity_from": 9}, False),
    ],
)
def test_a_condition_holds_when_all_that_it_says_does(when: dict[str, object], *, holds: bool) -> None:
    question = replace(CALL, task_type="chat", complexity=4, data_class="secret")
    assert Condition(**when).holds(question, MONDAY) is holds  # type: ignore[arg-type] # by name


@pytest.mark.parametrize(
    "when", [{"task_types": ("chat",)}, {"complexity_to": 10}, {"complexity_from": 0}, {"data_classes": ("secret",)}]
)
def test_what_is_not_known_about_a_call_fulfils_no_condition(when: dict[str, object]) -> None:
    assert not Condition(**when).holds(CALL, MONDAY)  # type: ignore[arg-type] # by name


def test_only_the_star_is_special_in_a_pattern() -> None:
    for pattern, name in (("gpt-4o", "gpt-4oo"), ("[ab]", "a"), ("gpt.4", "gpt-4"), ("?", "a")):
        assert not Condition(models=(pattern,)).holds(replace(CALL, model=name), MONDAY)
    assert Condition(models=("a*c*",)).holds(replace(CALL, model="abcd"), MONDAY)


@pytest.mark.parametrize(
    ("local", "holds"),
    [("08:59", False), ("09:00", True), ("17:59", True), ("18:00", False)],
)
def test_a_time_of_day_is_local_and_its_end_is_not_included(local: str, *, holds: bool) -> None:
    # Berlin is an hour ahead of UTC in November.
    at = datetime.combine(MONDAY.date(), time.fromisoformat(local), UTC) - timedelta(hours=1)
    when = Condition(time_from=time(9), time_to=time(18), time_zone="Europe/Berlin")
    assert when.holds(CALL, at) is holds


def test_a_time_of_day_may_reach_over_midnight() -> None:
    night = Condition(time_from=time(22), time_to=time(6))
    assert night.holds(CALL, MONDAY.replace(hour=23))
    assert night.holds(CALL, MONDAY.replace(hour=5))
    assert not night.holds(CALL, MONDAY.replace(hour=12))


def test_weekdays_count_from_monday() -> None:
    assert Condition(weekdays=(1,)).holds(CALL, MONDAY)
    assert not Condition(weekdays=(2, 7)).holds(CALL, MONDAY)


@given(calls, policies)
def test_the_first_rule_that_applies_counts(question: Question, policy: Policy) -> None:
    found = policy.rule_for(question, MONDAY)
    applying = [one for one in policy.rules if one.when.holds(question, MONDAY)]
    assert found == (applying[0] if applying else None)


# --- what a policy makes of a call


def test_without_limits_every_call_keeps_its_model() -> None:
    assert given_to(replace(CALL, model="anything"), Policy(name="none")) == "anything"


def test_quality_first_takes_the_best_permitted_model_and_cost_first_the_cheapest() -> None:
    for strategy, model in ((Strategy.QUALITY_FIRST, "elm"), (Strategy.COST_FIRST, "moss")):
        assert given_to(CALL, Policy(name="p", strategy=strategy, max_tier=Tier.STANDARD)) == model


def test_a_limit_on_tiers_does_not_move_a_call_to_an_older_dearer_model() -> None:
    # Of the standard models old-elm is the dearest, dearer than oak itself.
    assert given_to(CALL, Policy(name="p", max_tier=Tier.STANDARD)) == "elm"


def test_a_model_below_the_minimum_tier_is_replaced_by_a_better_one_which_is_no_downgrade() -> None:
    decision = under(replace(CALL, model="moss"), Policy(name="legal", min_tier=Tier.PREMIUM))
    assert (decision.verdict, decision.code, decision.model) == (Verdict.ALLOW, Code.BELOW_MIN_TIER, "oak")


def test_a_rule_narrows_the_policy_s_tiers_and_never_widens_them() -> None:
    policy = Policy(name="p", max_tier=Tier.STANDARD, rules=(rule(Action(max_tier=Tier.PREMIUM)),))
    assert given_to(CALL, policy) == "elm"
    policy = Policy(name="p", max_tier=Tier.STANDARD, rules=(rule(Action(max_tier=Tier.ECONOMY)),))
    assert given_to(CALL, policy) == "moss"


def test_a_call_that_needs_what_lower_tiers_cannot_do_is_refused_and_told_so() -> None:
    decision = under(replace(CALL, needs=frozenset({Ability.AUDIO})), Policy(name="p", max_tier=Tier.STANDARD))
    assert (decision.verdict, decision.code) == (Verdict.BLOCK, Code.ABOVE_MAX_TIER)
    assert decision.rationale.endswith("refused=no permitted model of its provider can do the call")


def test_a_request_that_cannot_be_given_another_model_is_refused() -> None:
    decision = under(replace(CALL, can_change_model=False), Policy(name="p", denied_models=("oak",)))
    assert (decision.verdict, decision.code) == (Verdict.BLOCK, Code.MODEL_DENIED)


def test_a_rule_can_name_the_model_or_refuse_with_its_own_words() -> None:
    policy = Policy(
        name="p",
        rules=(
            rule(Action(block="no code leaves the house"), task_types=("code_review",)),
            rule(Action(model="elm"), complexity_to=5),
        ),
    )
    assert given_to(replace(CALL, complexity=5), policy) == "elm"
    assert given_to(replace(CALL, complexity=6), policy) == "oak"
    decision = under(replace(CALL, task_type="code_review", complexity=1), policy)
    assert (decision.verdict, decision.code) == (Verdict.BLOCK, Code.RULE)
    assert decision.rationale.endswith("refused=no code leaves the house")


@pytest.mark.parametrize(
    ("question", "named"),
    [
        (replace(CALL, needs=frozenset({Ability.VISION})), "moss"),  # moss sees nothing
        (replace(CALL, input_tokens=50_000), "moss"),  # too long for it
        (replace(CALL, output_tokens=10_000), "moss"),  # longer than its answers
        (CALL, "leaf"),  # another provider's
    ],
)
def test_a_model_that_a_rule_names_but_that_cannot_do_the_call_is_passed_over(question: Question, named: str) -> None:
    assert given_to(question, Policy(name="p", rules=(rule(Action(model=named)),))) == "oak"


def test_a_model_that_only_the_operator_knows_is_taken_at_the_rule_s_word() -> None:
    assert given_to(CALL, Policy(name="p", rules=(rule(Action(model="our-deployment")),))) == "our-deployment"


def test_a_model_without_a_tier_is_refused_under_tiers_unless_it_is_named() -> None:
    unknown = replace(CALL, model="fern", can_change_model=False)
    assert given_to(unknown, Policy(name="p", max_tier=Tier.STANDARD)) is None
    assert given_to(unknown, Policy(name="p", max_tier=Tier.STANDARD, allowed_models=("fern",))) == "fern"


def test_a_class_of_data_is_seen_by_its_providers_only() -> None:
    policy = Policy(name="legal", strategy=Strategy.COMPLIANCE_AWARE, data_classes={"secret": ("birch",)})
    assert given_to(replace(CALL, data_class="public"), policy) == "oak"
    decision = under(replace(CALL, data_class="secret"), policy)
    assert (decision.verdict, decision.code) == (Verdict.BLOCK, Code.PROVIDER_DENIED)


# --- gateways


GATEWAY = replace(CALL, provider="litellm", any_provider=True)


def test_at_a_gateway_a_call_may_move_to_any_provider() -> None:
    assert given_to(GATEWAY, Policy(name="p", max_tier=Tier.ECONOMY)) == "moss"
    assert (
        given_to(replace(GATEWAY, needs=frozenset({Ability.AUDIO})), Policy(name="p", max_tier=Tier.ECONOMY)) == "leaf"
    )


def test_at_a_gateway_what_counts_is_whose_the_model_is() -> None:
    policy = Policy(name="legal", data_classes={"secret": ("birch",)})
    assert given_to(replace(GATEWAY, data_class="secret"), policy) == "trunk"
    assert given_to(GATEWAY, Policy(name="p", denied_providers=("acorn",))) == "trunk"
    assert given_to(GATEWAY, Policy(name="p", denied_providers=("litellm",))) is None
