"""A policy in words, one sentence for each thing that it says (pure)."""

from __future__ import annotations

from p402.collector.routing.schema import ActionDefinition, AtCapDefinition, ConditionDefinition, PolicyDefinition
from p402.decisions import FailMode, Mode, Rung, Strategy

__all__ = ["policy_in_words", "tiers_in_words"]

_STRATEGIES = {
    Strategy.QUALITY_FIRST: "the best one that suits takes its place",
    Strategy.COST_FIRST: "the cheapest one that suits takes its place",
    Strategy.COMPLIANCE_AWARE: "the best one of a provider that may see the data takes its place",
}
_RUNGS = {
    Rung.CLAMP: "shorten the answer, not below {least} tokens",
    Rung.DOWNGRADE: "take a cheaper model",
    Rung.WAIT: "wait up to {wait:g} s for what others hold",
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def policy_in_words(policy: PolicyDefinition) -> list[str]:
    """Say what a policy says."""
    said = []
    if policy.mode is Mode.OBSERVE:
        said.append("It is only observed: what it would do is noted with each call, and nothing is changed or refused.")
    said.append(f"Where the model that is asked for may not be used or paid, {_STRATEGIES[policy.strategy]}.")
    if tiers := tiers_in_words(policy):
        said.append(f"Models are of the tier {tiers}.")
    for kind, allowed, denied in (
        ("models", policy.allowed_models, policy.denied_models),
        ("providers", policy.allowed_providers, policy.denied_providers),
    ):
        if allowed:
            said.append(f"Only these {kind} may be used: {', '.join(allowed)}.")
        if denied:
            said.append(f"These {kind} may not be used: {', '.join(denied)}.")
    for name, providers in policy.data_classes.items():
        whom = ", ".join(providers) or "no provider"
        said.append(f"Data of the class {name} may be seen by {whom}{' only' if providers else ''}.")
    for number, rule in enumerate(policy.rules, start=1):
        said.append(f"Rule {number}, {rule.name}: {_when(rule.when)}, {_then(rule.then)}.")
    said.append(f"When the money left does not cover a call: {_at_cap(policy.at_cap)}.")
    if policy.fail_mode is not None:
        goes_on = policy.fail_mode is FailMode.OPEN
        said.append(
            f"While the collector cannot be asked, calls {'go on, and are marked' if goes_on else 'are refused'}."
        )
    return said


def tiers_in_words(policy: PolicyDefinition | ActionDefinition) -> str:
    """Say which tiers of models are permitted: ``economy to standard``; empty: all."""
    if policy.min_tier is None and policy.max_tier is None:
        return ""
    if policy.min_tier is None:
        return f"{policy.max_tier} at most"
    if policy.max_tier is None:
        return f"{policy.min_tier} at least"
    return str(policy.min_tier) if policy.min_tier is policy.max_tier else f"{policy.min_tier} to {policy.max_tier}"


def _when(when: ConditionDefinition) -> str:
    parts = []
    if when.task_types:
        parts.append(f"for {' or '.join(when.task_types)}")
    if when.complexity_from is not None or when.complexity_to is not None:
        low, high = when.complexity_from or 0, 10 if when.complexity_to is None else when.complexity_to
        parts.append(f"with a complexity of {low} to {high}")
    if when.data_classes:
        parts.append(f"with data of the class {' or '.join(when.data_classes)}")
    if when.models:
        parts.append(f"asking for {' or '.join(when.models)}")
    if when.providers:
        parts.append(f"at {' or '.join(when.providers)}")
    if when.weekdays:
        parts.append(f"on {', '.join(_DAYS[number - 1] for number in when.weekdays)}")
    if when.time_from or when.time_to:
        parts.append(f"from {when.time_from or '00:00'} to {when.time_to or '24:00'}")
    if when.weekdays or when.time_from or when.time_to:
        parts.append(f"({when.time_zone})")
    return f"calls {' '.join(parts)}" if parts else "every call that no rule before this was for"


def _then(then: ActionDefinition) -> str:
    if then.block is not None:
        return f"are refused: {then.block}"
    said = [f"use {then.model}"] if then.model is not None else []
    if tiers := tiers_in_words(then):
        said.append(f"have a model of the tier {tiers}")
    return " and ".join(said)


def _at_cap(at_cap: AtCapDefinition) -> str:
    tries = [_RUNGS[rung].format(least=at_cap.least_output_tokens, wait=at_cap.wait_seconds) for rung in at_cap.rungs]
    return ", else ".join([*tries, "refuse it"])
