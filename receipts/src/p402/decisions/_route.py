"""Which model a call may use: the department's rules and tiers, before any money is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from p402.decisions._bound import most_input
from p402.decisions._catalogue import Catalogue, Model, Tier
from p402.decisions._policy import Policy, Rule, Strategy, matches
from p402.decisions._question import Ability, Code, Question
from p402.decisions._rate_card import RateCard

__all__ = ["CardFor", "Choice", "Route", "route", "suitable"]

CardFor = Callable[[str, str, str | None], RateCard | None]
"""Finds the rate card of a model by provider, name and service tier; None if the model has no known price."""

_PROBE = (1_000, 500)  # input and output tokens by which models are compared


@dataclass(frozen=True, slots=True)
class Route:
    """The model that policy gives a call."""

    model: str
    code: Code | None
    """Why it is not the one asked for, or why there is none; None if nothing was to be said."""
    rule: Rule | None
    refused: str | None = None
    """Why the call may not be made at all."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that may do a call, and can."""

    name: str
    """As the call has to spell it."""
    model: Model
    price: int
    """Of a small call, to compare by."""


def route(question: Question, policy: Policy, catalogue: Catalogue, card_for: CardFor, at: datetime) -> Route:
    """Apply a policy to a call: keep its model, give another, or refuse."""
    rule = policy.rule_for(question, at)
    if rule is not None and rule.then.block is not None:
        return Route(question.model, Code.RULE, rule, rule.then.block)
    wanted = question.model
    if rule is not None and rule.then.model is not None and _could_serve(question, catalogue, rule.then.model):
        wanted = rule.then.model
    low, high = tiers_of(policy, rule)
    problem = _problem(question, policy, low, high, catalogue, wanted)
    if problem is None and wanted == question.model:
        return Route(wanted, None, rule)
    code = problem or Code.RULE
    if not question.can_change_model:
        return Route(question.model, code, rule, "its request cannot be given another model")
    if problem is None:
        return Route(wanted, code, rule)
    if problem is Code.PROVIDER_DENIED and not question.any_provider:
        return Route(question.model, code, rule, f"the provider {question.provider} may not be used")
    choices = suitable(question, policy, low, high, catalogue, card_for)
    if problem is Code.ABOVE_MAX_TIER and choices:
        # A limit on tiers is there to save: an older model of a lower tier may cost more than the one asked for.
        asked = card_for(question.provider, wanted, question.service_tier)
        most = _probe(asked) if asked else None
        choices = [choice for choice in choices if most is None or choice.price <= most] or choices
    if not choices:
        return Route(question.model, code, rule, "no permitted model of its provider can do the call")
    return Route(choices[0].name, code, rule)


def suitable(
    question: Question,
    policy: Policy,
    min_tier: Tier | None,
    max_tier: Tier | None,
    catalogue: Catalogue,
    card_for: CardFor,
) -> list[Choice]:
    """Give the models that may do a call and can, in the order of the policy's strategy; only such as have a price."""
    needs = _lasting(question)
    asked = catalogue.find(question.provider, question.model, any_provider=question.any_provider)
    inputs, outputs = most_input(question, asked), question.output_tokens
    found: list[Choice] = []
    for name, model in catalogue.candidates(question.provider, question.model, any_provider=question.any_provider):
        if (Ability.EMBEDDING in model.abilities) != (Ability.EMBEDDING in needs):
            continue
        if _tier_problem(model.tier, min_tier, max_tier) or not model.can(needs, inputs, outputs):
            continue
        if not _permits(question, policy, model, name):
            continue
        card = card_for(question.provider, name, question.service_tier)
        if card is not None:
            found.append(Choice(name, model, _probe(card)))
    if policy.strategy is Strategy.COST_FIRST:
        return sorted(found, key=lambda one: (one.price, one.model.tier.rank, one.name))
    return sorted(found, key=lambda one: (-one.model.tier.rank, -one.price, one.name))


def tiers_of(policy: Policy, rule: Rule | None) -> tuple[Tier | None, Tier | None]:
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


def _could_serve(question: Question, catalogue: Catalogue, name: str) -> bool:
    """Tell whether a call can be given a model that a rule names; one that is in no catalogue is taken at its word."""
    if name == question.model:
        return True
    model = catalogue.find(question.provider, name, any_provider=question.any_provider)
    if model is None:
        return not catalogue.is_elsewhere(question.provider, name, any_provider=question.any_provider)
    asked = catalogue.find(question.provider, question.model, any_provider=question.any_provider)
    if not question.any_provider and asked is not None and asked.vendor != model.vendor:
        return False
    return model.can(_lasting(question), most_input(question, asked), question.output_tokens)


def _problem(
    question: Question, policy: Policy, low: Tier | None, high: Tier | None, catalogue: Catalogue, name: str
) -> Code | None:
    restricts = policy.restricts_names
    if not restricts and low is None and high is None:
        return None
    model = catalogue.find(question.provider, name, any_provider=question.any_provider)
    if restricts:
        if not _permits_provider(question, policy, model):
            return Code.PROVIDER_DENIED
        if not policy.permits_model(*_names(question, model, name)):
            return Code.MODEL_DENIED
    if low is None and high is None:
        return None
    if model is None:  # without a tier; whoever wants it names it
        return None if matches(name, policy.allowed_models) else Code.MODEL_DENIED
    return _tier_problem(model.tier, low, high)


def _permits(question: Question, policy: Policy, model: Model, name: str) -> bool:
    return _permits_provider(question, policy, model) and policy.permits_model(*_names(question, model, name))


def _permits_provider(question: Question, policy: Policy, model: Model | None) -> bool:
    """At a gateway what counts is whose the model is, where that is known; the gateway itself can be denied."""
    if question.any_provider and model is not None:
        if matches(question.provider, policy.denied_providers):
            return False
        return policy.permits_provider(model.provider, question.data_class)
    return policy.permits_provider(question.provider, question.data_class)


def _names(question: Question, model: Model | None, name: str) -> tuple[str, ...]:
    return (name, model.model) if question.any_provider and model is not None else (name,)


def _probe(card: RateCard) -> int:
    return card.ceiling(*_PROBE, writes_cache=False, media=False).nano_usd


def _lasting(question: Question) -> frozenset[Ability]:
    if question.operation == "embeddings":
        return question.needs | {Ability.EMBEDDING}
    return question.needs
