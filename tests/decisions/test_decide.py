"""What holds for every decision, whatever is asked, by whatever policy and with whatever money."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.decisions import (
    DEFAULT_POLICY,
    Ability,
    Action,
    AtCap,
    Code,
    Condition,
    Decision,
    Funds,
    Measure,
    Mode,
    Policy,
    Question,
    Rule,
    Rung,
    Strategy,
    Tier,
    Verdict,
    decide,
)
from p402.vocabulary import Attribution
from support.decisions import CATALOGUE, MONDAY, calls, card_for, funds, policies, rules_for

USD = 10**9


def asked(**changed: object) -> Question:
    """A call of oak: 10,000 tokens in, at most 2,000 out, so at most $0.05 + $0.05."""
    plain = Question(
        attribution=Attribution(organisation="acme"),
        provider="acorn",
        model="oak",
        input_tokens=10_000,
        output_tokens=2_000,
        can_clamp=True,
    )
    return replace(plain, **changed)  # type: ignore[arg-type] # by name


def decided(question: Question, policy: Policy = DEFAULT_POLICY, **money: object) -> Decision:
    return decide(question, rules_for(policy), Funds(**money), MONDAY)  # type: ignore[arg-type] # by name


def ladder(*rungs: Rung, **more: object) -> Policy:
    return Policy(name="legal", at_cap=AtCap(rungs=rungs, **more))  # type: ignore[arg-type] # by name


def ceiling(question: Question, name: str) -> int | None:
    """What the question costs at most at a model, reckoned by hand."""
    model, card = CATALOGUE.find(question.provider, name), card_for(question.provider, name, question.service_tier)
    if card is None:
        return None
    inputs = (
        question.input_tokens if question.input_tokens is not None else model.context_tokens if model else 2_000_000
    )
    longest = question.output_tokens or (model.max_output_tokens if model else 131_072)
    outputs = 0 if question.operation == "embeddings" else longest * question.choices
    return card.rates[0] * inputs + card.rates[1] * outputs


# --- properties


@given(calls, policies, funds)
def test_what_a_call_holds_is_covered_by_what_is_left_and_by_every_ceiling(
    question: Question, policy: Policy, money: Funds
) -> None:
    decision = decide(question, rules_for(policy), money, MONDAY)
    assert bool(decision.holds) == decision.goes_ahead
    for measure, amount in decision.holds.items():
        assert amount <= money.left.get(measure, amount)
        assert amount <= money.ceiling.get(measure, amount)
    if decision.goes_ahead and money.hard and (Measure.COST in money.left or Measure.COST in money.ceiling):
        assert Measure.COST in decision.holds


@given(calls, policies, funds)
def test_a_call_is_never_moved_to_a_model_that_cannot_do_it(question: Question, policy: Policy, money: Funds) -> None:
    decision = decide(question, rules_for(policy), money, MONDAY)
    if not decision.goes_ahead or decision.model == question.model:
        return
    assert question.can_change_model
    model, before = CATALOGUE.find(question.provider, decision.model), CATALOGUE.find(question.provider, question.model)
    if model is None:  # a rule named it, and only the operator knows it
        assert decision.model == "fern"
        return
    assert question.needs <= model.abilities
    assert (question.operation == "embeddings") <= (Ability.EMBEDDING in model.abilities)
    inputs = question.input_tokens
    if inputs is None:
        inputs = before.context_tokens if before else 2_000_000
    assert inputs + (question.output_tokens or 0) <= model.context_tokens
    assert (question.output_tokens or 0) <= model.max_output_tokens


@given(calls, policies, funds)
def test_the_model_of_a_call_is_within_the_tiers_and_permitted(
    question: Question, policy: Policy, money: Funds
) -> None:
    decision = decide(question, rules_for(policy), money, MONDAY)
    if not decision.goes_ahead or policy.mode is Mode.OBSERVE:
        return
    assert policy.permits_model(decision.model)
    assert policy.permits_provider(question.provider, question.data_class)
    rule, model = policy.rule_for(question, MONDAY), CATALOGUE.find(question.provider, decision.model)
    if model is not None:
        for limits in (policy, rule.then if rule else Action()):
            assert limits.min_tier is None or model.tier.rank >= limits.min_tier.rank
            assert limits.max_tier is None or model.tier.rank <= limits.max_tier.rank


@given(calls, policies, funds)
def test_a_downgrade_is_never_dearer_than_what_was_asked_for(question: Question, policy: Policy, money: Funds) -> None:
    decision = decide(question, rules_for(policy), money, MONDAY)
    rule = policy.rule_for(question, MONDAY)
    by_rule = policy.mode is Mode.ENFORCE and rule is not None and rule.then.model is not None
    before = ceiling(question, question.model)
    if decision.verdict is Verdict.DOWNGRADE and before is not None and not by_rule:
        assert decision.holds[Measure.COST] <= before or decision.code in (Code.MODEL_DENIED, Code.BELOW_MIN_TIER)


@given(calls, policies, funds)
def test_an_answer_is_never_clamped_below_the_floors_nor_where_it_must_not_be(
    question: Question, policy: Policy, money: Funds
) -> None:
    decision = decide(question, rules_for(policy), money, MONDAY)
    if decision.output_tokens is None:
        assert decision.verdict is not Verdict.CLAMP
        return
    assert question.can_clamp
    assert Rung.CLAMP in policy.at_cap.rungs
    model = CATALOGUE.find(question.provider, decision.model)
    floor = max(policy.at_cap.least_output_tokens, model.least_output_tokens if model else 0)
    longest = question.output_tokens or (model.max_output_tokens if model else 131_072)
    assert min(floor, longest) <= decision.output_tokens < longest


@given(calls, policies, funds)
def test_a_call_waits_only_for_money_that_may_come_back_and_would_then_suffice(
    question: Question, policy: Policy, money: Funds
) -> None:
    decision = decide(question, rules_for(policy), money, MONDAY)
    if decision.verdict is not Verdict.WAIT:
        return
    assert money.coming != money.left
    later = decide(question, rules_for(policy), money._replace(left=money.coming), MONDAY)
    assert later.goes_ahead


@given(calls, policies, funds)
def test_a_policy_that_observes_changes_no_call_and_is_as_good_as_none(
    question: Question, policy: Policy, money: Funds
) -> None:
    observing = replace(policy, mode=Mode.OBSERVE)
    decision = decide(question, rules_for(observing), money, MONDAY)
    without = decide(question, rules_for(DEFAULT_POLICY), money, MONDAY)
    assert (decision.verdict, decision.model, decision.output_tokens) == (without.verdict, without.model, None)
    assert decision.holds == without.holds
    assert decision.model == question.model
    enforced = decide(question, rules_for(replace(policy, mode=Mode.ENFORCE)), money, MONDAY)
    same = (enforced.verdict, enforced.model, enforced.output_tokens) == (decision.verdict, decision.model, None)
    assert (decision.would is None) == same


@given(calls, policies, funds, st.integers(0, 10**9))
def test_more_money_never_turns_a_call_that_goes_ahead_unchanged_away(
    question: Question, policy: Policy, money: Funds, more: int
) -> None:
    if decide(question, rules_for(policy), money, MONDAY).verdict is not Verdict.ALLOW:
        return
    richer = money._replace(left={measure: amount + more for measure, amount in money.left.items()})
    assert decide(question, rules_for(policy), richer, MONDAY).verdict is Verdict.ALLOW


# --- the ladder, by example


def test_a_call_that_fits_is_allowed_and_holds_the_most_it_can_cost() -> None:
    decision = decided(asked(), left={Measure.COST: USD})
    assert (decision.verdict, decision.code, decision.rationale) == (Verdict.ALLOW, Code.WITHIN_BUDGET, "no_policy")
    assert decision.holds == {
        Measure.COST: 100_000_000,
        Measure.TOKENS: 12_000,
        Measure.REQUESTS: 1,
        Measure.CONCURRENCY: 1,
    }


def test_without_a_limit_the_model_s_longest_answer_is_held() -> None:
    assert decided(asked(output_tokens=None)).holds[Measure.COST] == 10_000 * 5_000 + 64_000 * 25_000


def test_input_that_is_elsewhere_counts_as_all_that_the_model_takes() -> None:
    assert decided(asked(input_tokens=None)).holds[Measure.TOKENS] == 202_000


def test_at_the_cap_an_answer_is_clamped_to_what_is_left() -> None:
    # $0.09 less the input's $0.05 buys 1,600 tokens of output at $0.000025.
    decision = decided(asked(), ladder(Rung.CLAMP), left={Measure.COST: 90_000_000})
    assert (decision.verdict, decision.output_tokens) == (Verdict.CLAMP, 1_600)
    assert decision.rationale.endswith("left=$0.09, needed=$0.1, max_output_tokens=1600")


def test_an_answer_too_short_to_be_of_use_is_refused_instead() -> None:
    # $0.07 buys 800 tokens, and oak needs 1,024.
    decision = decided(asked(), ladder(Rung.CLAMP), left={Measure.COST: 70_000_000}, budget={Measure.COST: "legal"})
    assert (decision.verdict, decision.code) == (Verdict.BLOCK, Code.BUDGET_EXHAUSTED)
    assert "budget=legal, left=$0.07, needed=$0.1" in decision.rationale


def test_at_the_cap_the_best_cheaper_model_that_fits_is_taken() -> None:
    decision = decided(asked(), ladder(Rung.DOWNGRADE), left={Measure.COST: 90_000_000})
    assert (decision.verdict, decision.model) == (Verdict.DOWNGRADE, "elm")


def test_cost_first_takes_the_cheapest_one() -> None:
    policy = replace(ladder(Rung.DOWNGRADE), strategy=Strategy.COST_FIRST)
    assert decided(asked(), policy, left={Measure.COST: 90_000_000}).model == "moss"


def test_the_order_of_the_rungs_is_the_policy_s() -> None:
    money = {Measure.COST: 90_000_000}
    assert decided(asked(), ladder(Rung.CLAMP, Rung.DOWNGRADE), left=money).verdict is Verdict.CLAMP
    assert decided(asked(), ladder(Rung.DOWNGRADE, Rung.CLAMP), left=money).verdict is Verdict.DOWNGRADE


def test_a_downgrade_may_be_clamped_too_where_the_ladder_has_both() -> None:
    # elm: 10,000 * 1,000 = $0.01 of input; $0.017 left buys 1,400 of 2,000 tokens at 5,000.
    decision = decided(
        asked(), replace(ladder(Rung.DOWNGRADE, Rung.CLAMP), min_tier=Tier.STANDARD), left={Measure.COST: 17_000_000}
    )
    assert (decision.verdict, decision.model, decision.output_tokens) == (Verdict.DOWNGRADE, "elm", 1_400)


def test_no_downgrade_below_the_minimum_tier() -> None:
    policy = replace(ladder(Rung.DOWNGRADE), min_tier=Tier.PREMIUM)
    assert decided(asked(), policy, left={Measure.COST: 90_000_000}).verdict is Verdict.BLOCK


@pytest.mark.parametrize(("coming", "verdict"), [(100_000_000, Verdict.WAIT), (99_999_999, Verdict.BLOCK)])
def test_a_call_waits_when_what_others_hold_could_make_up_for_it(coming: int, verdict: Verdict) -> None:
    decision = decided(asked(), left={Measure.COST: 90_000_000}, coming={Measure.COST: coming})
    assert decision.verdict is verdict
    assert ("waiting_for=$0.01" in decision.rationale) is (verdict is Verdict.WAIT)


def test_what_a_ceiling_forbids_is_not_waited_for() -> None:
    plenty, little = {Measure.COST: USD}, {Measure.COST: 90_000_000}
    decision = decided(asked(), ceiling=little, left={Measure.COST: USD // 2}, coming=plenty)
    assert (decision.verdict, decision.code) == (Verdict.BLOCK, Code.REQUEST_CEILING)
    assert "ceiling=$0.09" in decision.rationale


def test_of_a_ceiling_and_a_budget_that_leaves_less_the_budget_is_named() -> None:
    decision = decided(asked(), ceiling={Measure.COST: 90_000_000}, left={Measure.COST: 0})
    assert (decision.code, "left=$0" in decision.rationale) == (Code.BUDGET_EXHAUSTED, True)


def test_a_model_without_a_price_goes_ahead_unless_a_budget_is_hard() -> None:
    question = asked(provider="birch", model="bud")
    open_, hard = (decided(question, left={Measure.COST: 1}, hard=hard) for hard in (False, True))
    assert (open_.verdict, open_.code, Measure.COST in open_.holds) == (Verdict.ALLOW, Code.UNPRICED_MODEL, False)
    assert (hard.verdict, hard.code) == (Verdict.BLOCK, Code.UNPRICED_MODEL)


def test_the_rationale_says_complexity_strategy_version_rule_and_why() -> None:
    policy = Policy(
        name="marketing",
        version=3,
        strategy=Strategy.COST_FIRST,
        rules=(Rule(name="simple", when=Condition(complexity_to=5), then=Action(max_tier=Tier.STANDARD)),),
    )
    decision = decided(asked(complexity=2), policy)
    assert decision.rationale == (
        "complexity=2, dept_policy=cost-first, policy=marketing@3, rule=simple, because=above_max_tier, model=moss"
    )
    assert (decision.verdict, decision.code) == (Verdict.DOWNGRADE, Code.ABOVE_MAX_TIER)


def test_what_an_observing_policy_would_have_done_is_said() -> None:
    policy = Policy(name="legal", mode=Mode.OBSERVE, denied_models=("oak",), allowed_providers=("acorn",))
    decision = decided(asked(can_change_model=False), policy)
    assert (decision.verdict, decision.model) == (Verdict.ALLOW, "oak")
    assert decision.would is not None
    assert decision.would.startswith("block: dept_policy=quality-first, policy=legal@0, because=model_denied")
