"""Question, rules and funds → decision (pure): first the policy, then the money, and at a cap the policy's ladder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from p402.decisions._bound import covers, longest_output, most_input, most_that, output_that_fits
from p402.decisions._catalogue import Model
from p402.decisions._policy import Mode, Policy, Rung
from p402.decisions._question import Code, Decision, Measure, Question, Verdict
from p402.decisions._rate_card import RateCard
from p402.decisions._route import Route, route, suitable
from p402.decisions._rules import Rules
from p402.vocabulary import Money

__all__ = ["Funds", "decide"]

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Funds(NamedTuple):
    """What can be held for a call. A measure that is missing is not limited."""

    left: Mapping[Measure, int] = _NOTHING
    """What the tightest budget of the path has left: its cap less what is spent, held and unreconciled."""
    coming: Mapping[Measure, int] = _NOTHING
    """What every budget of the path would have left if all that others hold now were given back."""
    ceiling: Mapping[Measure, int] = _NOTHING
    """The most that any one call may take."""
    budget: Mapping[Measure, str] = _NOTHING
    """The budgets that limit, as rationales name them."""
    hard: bool = False
    """Whether some budget must hold for every call, so that one without a known price is refused."""


class _Plan(NamedTuple):
    """A model for the call, and what it may take."""

    model: str
    known: Model | None
    card: RateCard | None
    input_tokens: int
    output_tokens: int
    holds: Mapping[Measure, int]


def decide(question: Question, rules: Rules, funds: Funds, at: datetime) -> Decision:
    """Decide about one attempt at a call."""
    if rules.policy.mode is not Mode.OBSERVE:
        return _decide(question, rules, funds, at)
    meant = _decide(question, rules, funds, at)
    without = Policy(name=rules.policy.name, version=rules.policy.version, mode=Mode.OBSERVE)
    made = _decide(question, replace(rules, policy=without), funds, at)
    if (meant.verdict, meant.model, meant.output_tokens) == (made.verdict, made.model, made.output_tokens):
        return made
    return replace(made, would=f"{meant.verdict}: {meant.rationale}")


def _decide(question: Question, rules: Rules, funds: Funds, at: datetime) -> Decision:
    routed = route(question, rules, at)
    said = _facts(question, rules, routed)
    if routed.refused:
        return _refusal(question, routed.code or Code.RULE, f"{said}, refused={routed.refused}")
    plan = _plan(question, rules, routed.model)
    code = Code.WITHIN_BUDGET if funds.left or funds.ceiling else Code.NO_BUDGET
    moved = routed.model != question.model
    if moved:
        code = routed.code or code
    if plan.card is None and (Measure.COST in funds.left or Measure.COST in funds.ceiling):
        code = Code.UNPRICED_MODEL
        if funds.hard:
            return _refusal(question, code, f"{said}, refused=the model has no known price and a hard budget applies")
    left = _least(funds.left, funds.ceiling) if funds.ceiling else funds.left
    if not covers(left, plan.holds):
        return _at_cap(question, rules, funds, left, plan, said, at)
    verdict = Verdict.DOWNGRADE if moved and _is_lower(question, rules, plan) else Verdict.ALLOW
    return Decision(verdict=verdict, code=code, rationale=said, model=plan.model, holds=plan.holds)


def _refusal(question: Question, code: Code, why: str) -> Decision:
    return Decision(verdict=Verdict.BLOCK, code=code, rationale=why, model=question.model, holds={})


def _plan(question: Question, rules: Rules, name: str) -> _Plan:
    model = rules.find(question, name)
    card = rules.card_for(question.provider, name, question.service_tier)
    inputs, outputs = most_input(question, model), longest_output(question, model)
    return _Plan(name, model, card, inputs, outputs, most_that(question, card, inputs, outputs))


def _at_cap(
    question: Question, rules: Rules, funds: Funds, left: Mapping[Measure, int], plan: _Plan, said: str, at: datetime
) -> Decision:
    """Go down the policy's ladder; what does not help ends in a refusal that names the budget."""
    short = next(measure for measure, amount in plan.holds.items() if measure in left and amount > left[measure])
    by_ceiling = short in funds.ceiling and funds.ceiling[short] < funds.left.get(short, plan.holds[short])
    said = f"{said}, {_shortage(short, funds, left, plan, by_ceiling=by_ceiling)}"
    code = Code.REQUEST_CEILING if by_ceiling else Code.BUDGET_EXHAUSTED
    for rung in rules.policy.at_cap.rungs:
        if rung is Rung.CLAMP and (clamped := _clamped(question, rules, plan, left)):
            return _going(
                Verdict.CLAMP, code, f"{said}, max_output_tokens={clamped.output_tokens}", clamped, limit=True
            )
        if rung is Rung.DOWNGRADE and (lower := _lower(question, rules, plan, left, at)):
            limited = lower.output_tokens < longest_output(question, lower.known)
            return _going(Verdict.DOWNGRADE, code, f"{said}, model={lower.model}", lower, limit=limited)
        if rung is Rung.WAIT:
            coming = {measure: funds.coming.get(measure, amount) for measure, amount in funds.left.items()}
            hoped = _least(coming, funds.ceiling)
            clamps = Rung.CLAMP in rules.policy.at_cap.rungs and _clamped(question, rules, plan, hoped)
            more = {measure: amount - left[measure] for measure, amount in hoped.items() if amount > left[measure]}
            if more and (covers(hoped, plan.holds) or clamps):
                measure = short if short in more else next(iter(more))
                why = f"{said}, waiting_for={_amount(measure, more[measure])}"
                return Decision(
                    verdict=Verdict.WAIT, code=Code.HOLDS_PENDING, rationale=why, model=plan.model, holds={}
                )
    return Decision(verdict=Verdict.BLOCK, code=code, rationale=said, model=question.model, holds={})


def _going(verdict: Verdict, code: Code, said: str, plan: _Plan, *, limit: bool) -> Decision:
    return Decision(
        verdict=verdict,
        code=code,
        rationale=said,
        model=plan.model,
        output_tokens=plan.output_tokens if limit else None,
        holds=plan.holds,
    )


def _clamped(question: Question, rules: Rules, plan: _Plan, left: Mapping[Measure, int]) -> _Plan | None:
    """Shorten the answer to what is left; None if that would be too short to be of use."""
    if not question.can_clamp:
        return None
    least = max(rules.policy.at_cap.least_output_tokens, plan.known.least_output_tokens if plan.known else 0)
    least = min(least, plan.output_tokens)
    if not covers(left, most_that(question, plan.card, plan.input_tokens, least)):
        return None
    fits = output_that_fits(question, plan.card, plan.input_tokens, (least, plan.output_tokens), left)
    return plan._replace(output_tokens=fits, holds=most_that(question, plan.card, plan.input_tokens, fits))


def _lower(question: Question, rules: Rules, plan: _Plan, left: Mapping[Measure, int], at: datetime) -> _Plan | None:
    """Find a cheaper model that the policy permits, that can do the call, and that what is left suffices for."""
    if not question.can_change_model:
        return None
    most = plan.holds.get(Measure.COST, 0)
    for choice in suitable(question, rules, rules.policy.rule_for(question, at)):
        other = _plan(question, rules, choice.name)
        if choice.name == plan.model or other.holds.get(Measure.COST, 0) >= most:
            continue
        if covers(left, other.holds):
            return other
        if Rung.CLAMP in rules.policy.at_cap.rungs and (clamped := _clamped(question, rules, other, left)):
            return clamped
    return None


def _is_lower(question: Question, rules: Rules, given: _Plan) -> bool:
    """Tell whether a model is below the one that was asked for: of no higher tier, and no dearer."""
    asked = _plan(question, rules, question.model)
    if asked.known and given.known and given.known.tier.rank > asked.known.tier.rank:
        return False
    cost, asked_cost = given.holds.get(Measure.COST), asked.holds.get(Measure.COST)
    return cost is not None and asked_cost is not None and cost <= asked_cost


def _least(one: Mapping[Measure, int], other: Mapping[Measure, int]) -> dict[Measure, int]:
    return {
        measure: min(limits[measure] for limits in (one, other) if measure in limits)
        for measure in (*one, *(measure for measure in other if measure not in one))
    }


def _facts(question: Question, rules: Rules, routed: Route) -> str:
    """Write what a decision rests on in one line."""
    parts = [] if question.complexity is None else [f"complexity={question.complexity}"]
    if rules.said:
        parts.append(rules.said)
    if routed.rule is not None:
        parts.append(f"rule={routed.rule.name}")
    if routed.code is not None:
        parts.append(f"because={routed.code}")
    if routed.model != question.model:
        parts.append(f"model={routed.model}")
    return ", ".join(parts) or "no_policy"


def _shortage(short: Measure, funds: Funds, left: Mapping[Measure, int], plan: _Plan, *, by_ceiling: bool) -> str:
    name = funds.budget.get(short, "budget")
    kind = "ceiling" if by_ceiling else "left"
    return f"budget={name}, {kind}={_amount(short, left[short])}, needed={_amount(short, plan.holds[short])}"


def _amount(measure: Measure, amount: int) -> str:
    return f"${Money(amount)}" if measure is Measure.COST else f"{amount} {measure}"
