"""Which model a call may use: the department's rules and tiers, before any money is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from p402.decisions._bound import most_input
from p402.decisions._catalogue import Model, Tier
from p402.decisions._policy import Policy, Rule, matches
from p402.decisions._question import Ability, Code, Question
from p402.decisions._rules import Choice, Rules

__all__ = ["Route", "route", "suitable"]


class Route(NamedTuple):
    """The model that policy gives a call."""

    model: str
    code: Code | None
    """Why it is not the one asked for, or why there is none; None if nothing was to be said."""
    rule: Rule | None
    refused: str | None = None
    """Why the call may not be made at all."""


def route(question: Question, rules: Rules, at: datetime) -> Route:
    """Apply a policy to a call: keep its model, give another, or refuse."""
    policy = rules.policy
    rule = policy.rule_for(question, at) if policy.rules else None
    if rule is not None and rule.then.block is not None:
        return Route(question.model, Code.RULE, rule, rule.then.block)
    wanted = question.model
    if rule is not None and rule.then.model is not None and _could_serve(question, rules, rule.then.model):
        wanted = rule.then.model
    problem = _problem(question, rules, rule, wanted)
    if problem is None and wanted == question.model:
        return Route(wanted, None, rule)
    code = problem or Code.RULE
    if not question.can_change_model:
        return Route(question.model, code, rule, "its request cannot be given another model")
    if problem is None:
        return Route(wanted, code, rule)
    if problem is Code.PROVIDER_DENIED and not question.any_provider:
        return Route(question.model, code, rule, f"the provider {question.provider} may not be used")
    # A limit on tiers is there to save, and an older model of a lower tier may cost more than the one asked for.
    most = rules.price(question, wanted) if problem is Code.ABOVE_MAX_TIER else None
    dearer: Choice | None = None
    for choice in suitable(question, rules, rule):
        if most is None or choice.price <= most:
            return Route(choice.name, code, rule)
        dearer = dearer or choice
    if dearer is not None:
        return Route(dearer.name, code, rule)
    return Route(question.model, code, rule, "no permitted model of its provider can do the call")


def suitable(question: Question, rules: Rules, rule: Rule | None) -> Iterator[Choice]:
    """Give the models that may do a call and can, in the order of the policy's strategy; only such as have a price."""
    needs = _lasting(question)
    embeds = Ability.EMBEDDING in needs
    inputs, outputs = most_input(question, rules.find(question, question.model)), question.output_tokens
    low, high = _tiers(rules.policy, rule)
    restricts = rules.policy.restricts_names
    for choice in rules.ranked(question):
        model = choice.model
        if (
            _tier_problem(model.tier, low, high) is None
            and (Ability.EMBEDDING in model.abilities) == embeds
            and model.can(needs, inputs, outputs)
            and not (restricts and _name_problem(question, rules.policy, model, choice.name))
        ):
            yield choice


def _tiers(policy: Policy, rule: Rule | None) -> tuple[Tier | None, Tier | None]:
    """Give the lowest and the highest tier that a policy and the rule that applies leave together."""
    low, high = policy.min_tier, policy.max_tier
    if rule is not None:
        if (other := rule.then.min_tier) is not None and (low is None or other.rank > low.rank):
            low = other
        if (other := rule.then.max_tier) is not None and (high is None or other.rank < high.rank):
            high = other
    return low, high


def _tier_problem(tier: Tier, low: Tier | None, high: Tier | None) -> Code | None:
    if high is not None and tier.rank > high.rank:
        return Code.ABOVE_MAX_TIER
    if low is not None and tier.rank < low.rank:
        return Code.BELOW_MIN_TIER
    return None


def _could_serve(question: Question, rules: Rules, name: str) -> bool:
    """Tell whether a call can be given a model that a rule names; one that is in no catalogue is taken at its word."""
    if name == question.model:
        return True
    model = rules.find(question, name)
    if model is None:
        return not rules.catalogue.is_elsewhere(question.provider, name, any_provider=question.any_provider)
    asked = rules.find(question, question.model)
    if not question.any_provider and asked is not None and asked.vendor != model.vendor:
        return False
    return model.can(_lasting(question), most_input(question, asked), question.output_tokens)


def _problem(question: Question, rules: Rules, rule: Rule | None, name: str) -> Code | None:
    policy = rules.policy
    low, high = _tiers(policy, rule)
    limits_tiers, restricts = low is not None or high is not None, policy.restricts_names
    if not limits_tiers and not restricts:
        return None
    model = rules.find(question, name)
    if restricts and (problem := _name_problem(question, policy, model, name)) is not None:
        return problem
    if not limits_tiers:
        return None
    if model is None:  # without a tier; whoever wants it names it
        return None if matches(name, policy.allowed_models) else Code.MODEL_DENIED
    return _tier_problem(model.tier, low, high)


def _name_problem(question: Question, policy: Policy, model: Model | None, name: str) -> Code | None:
    """At a gateway what counts is whose the model is, where that is known; the gateway itself can be denied."""
    provider, own_name = question.provider, name
    if question.any_provider and model is not None:
        if matches(provider, policy.denied_providers):
            return Code.PROVIDER_DENIED
        provider, own_name = model.provider, model.model
    if not policy.permits_provider(provider, question.data_class):
        return Code.PROVIDER_DENIED
    return None if policy.permits_model(name, own_name) else Code.MODEL_DENIED


def _lasting(question: Question) -> frozenset[Ability]:
    if question.operation == "embeddings":
        return question.needs | {Ability.EMBEDDING}
    return question.needs
