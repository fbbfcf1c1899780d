"""Which model a call may use: the department's rules and tiers, before any money is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from p402.decisions._bound import most_input
from p402.decisions._catalogue import Catalogue, Model, Tier
from p402.decisions._policy import Policy, Rule, Strategy, matches
from p402.decisions._question import Ability, Code, Question
from p402.decisions._rate_card import RateCard

__all__ = ["CardFor", "Route", "route", "suitable"]

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
class _Limits:
    min_tier: Tier | None
    max_tier: Tier | None

    def problem(self, tier: Tier) -> Code | None:
        if self.max_tier is not None and tier.rank > self.max_tier.rank:
            return Code.ABOVE_MAX_TIER
        if self.min_tier is not None and tier.rank < self.min_tier.rank:
            return Code.BELOW_MIN_TIER
        return None


def route(question: Question, policy: Policy, catalogue: Catalogue, card_for: CardFor, at: datetime) -> Route:
    """Apply a policy to a call: keep its model, give another, or refuse."""
    rule = policy.rule_for(question, at)
    if rule is not None and rule.then.block is not None:
        return Route(question.model, Code.RULE, rule, rule.then.block)
    limits = _limits(policy, rule)
    wanted, code = question.model, None
    if rule is not None and rule.then.model is not None and rule.then.model != question.model:
        wanted, code = rule.then.model, Code.RULE
    problem = _problem(question, policy, limits, catalogue, wanted)
    if problem is None and code is None:
        return Route(wanted, None, rule)
    code = problem or code
    if not question.can_change_model:
        return Route(question.model, code, rule, "its request cannot be given another model")
    if problem is None:
        model = catalogue.find(question.provider, wanted)
        if model is None or model.can(_lasting(question), most_input(question, None)):
            return Route(wanted, code, rule)
    if problem is Code.PROVIDER_DENIED and not question.any_provider:
        return Route(question.model, code, rule, f"the provider {question.provider} may not be used")
    choices = suitable(question, policy, limits.min_tier, limits.max_tier, catalogue, card_for)
    first = next(choices, None)
    if first is None:
        return Route(question.model, code, rule, "no permitted model of its provider can do the call")
    return Route(first.model, code, rule)


def suitable(
    question: Question,
    policy: Policy,
    min_tier: Tier | None,
    max_tier: Tier | None,
    catalogue: Catalogue,
    card_for: CardFor,
) -> Iterator[Model]:
    """Give the models that may do a call and can, in the order of the policy's strategy; only such as have a price."""
    limits, needs = _Limits(min_tier, max_tier), _lasting(question)
    found: list[tuple[int, int, Model]] = []
    for model in catalogue.models:
        if model.provider != question.provider and not question.any_provider:
            continue
        if (Ability.EMBEDDING in model.abilities) != (Ability.EMBEDDING in needs):
            continue
        if limits.problem(model.tier) or not model.can(needs, most_input(question, model)):
            continue
        if question.output_tokens is not None and question.output_tokens > model.max_output_tokens:
            continue
        if not policy.permits(model.provider, model.model, question.data_class):
            continue
        card = card_for(model.provider, model.model, question.service_tier)
        if card is not None:
            price = card.ceiling(*_PROBE, writes_cache=False, media=False).nano_usd
            found.append((model.tier.rank, price, model))
    best_first = policy.strategy is not Strategy.COST_FIRST
    found.sort(key=lambda one: ((-one[0], -one[1]) if best_first else (one[1], one[0]), one[2].model))
    return (model for _, _, model in found)


def tiers_of(policy: Policy, rule: Rule | None) -> tuple[Tier | None, Tier | None]:
    """Give the lowest and the highest tier that a policy and the rule that applies leave together."""
    limits = _limits(policy, rule)
    return limits.min_tier, limits.max_tier


def _limits(policy: Policy, rule: Rule | None) -> _Limits:
    lows = [tier for tier in (policy.min_tier, rule.then.min_tier if rule else None) if tier is not None]
    highs = [tier for tier in (policy.max_tier, rule.then.max_tier if rule else None) if tier is not None]
    return _Limits(
        max(lows, key=lambda tier: tier.rank, default=None), min(highs, key=lambda tier: tier.rank, default=None)
    )


def _problem(question: Question, policy: Policy, limits: _Limits, catalogue: Catalogue, name: str) -> Code | None:
    if not policy.permits_provider(question.provider, question.data_class):
        return Code.PROVIDER_DENIED
    if not policy.permits(question.provider, name, question.data_class):
        return Code.MODEL_DENIED
    if limits.min_tier is None and limits.max_tier is None:
        return None
    model = catalogue.find(question.provider, name)
    if model is None:  # without a tier; whoever wants it names it
        return None if matches(name, policy.allowed_models) else Code.MODEL_DENIED
    return limits.problem(model.tier)


def _lasting(question: Question) -> frozenset[Ability]:
    if question.operation == "embeddings":
        return question.needs | {Ability.EMBEDDING}
    return question.needs
