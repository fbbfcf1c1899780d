"""Policies as JSON values: how they are stored, and sent to those who decide with a lease."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from typing import Any

from p402.decisions._catalogue import Tier
from p402.decisions._policy import Action, AtCap, Condition, FailMode, Mode, Policy, Rule, Rung, Strategy

__all__ = ["policy_from_wire", "policy_to_wire"]


def policy_to_wire(policy: Policy) -> dict[str, Any]:
    """Write a policy as JSON values."""
    return {
        "name": policy.name,
        "version": policy.version,
        "mode": policy.mode,
        "strategy": policy.strategy,
        "min_tier": policy.min_tier,
        "max_tier": policy.max_tier,
        "allowed_models": list(policy.allowed_models),
        "denied_models": list(policy.denied_models),
        "allowed_providers": list(policy.allowed_providers),
        "denied_providers": list(policy.denied_providers),
        "data_classes": {name: list(providers) for name, providers in policy.data_classes.items()},
        "rules": [_rule_to_wire(rule) for rule in policy.rules],
        "at_cap": {
            "rungs": list(policy.at_cap.rungs),
            "least_output_tokens": policy.at_cap.least_output_tokens,
            "wait_seconds": policy.at_cap.wait_seconds,
        },
        "fail_mode": policy.fail_mode,
    }


def policy_from_wire(wire: Mapping[str, Any]) -> Policy:
    """Read what `policy_to_wire` wrote; missing parts are as by default.

    Raises:
        ValueError, KeyError, TypeError: if that is something else.
    """
    at_cap = wire.get("at_cap") or {}
    return Policy(
        name=wire["name"],
        version=int(wire.get("version", 0)),
        mode=Mode(wire.get("mode", Mode.ENFORCE)),
        strategy=Strategy(wire.get("strategy", Strategy.QUALITY_FIRST)),
        min_tier=_tier(wire.get("min_tier")),
        max_tier=_tier(wire.get("max_tier")),
        **{name: tuple(wire.get(name) or ()) for name in _PATTERNS},
        data_classes={name: tuple(providers) for name, providers in (wire.get("data_classes") or {}).items()},
        rules=tuple(map(_rule_from_wire, wire.get("rules") or ())),
        at_cap=AtCap(
            rungs=tuple(map(Rung, at_cap.get("rungs", AtCap().rungs))),
            least_output_tokens=int(at_cap.get("least_output_tokens", AtCap().least_output_tokens)),
            wait_seconds=float(at_cap.get("wait_seconds", AtCap().wait_seconds)),
        ),
        fail_mode=FailMode(mode) if (mode := wire.get("fail_mode")) else None,
    )


_PATTERNS = ("allowed_models", "denied_models", "allowed_providers", "denied_providers")
_LISTS = ("task_types", "data_classes", "models", "providers", "weekdays")


def _rule_to_wire(rule: Rule) -> dict[str, Any]:
    when, then = rule.when, rule.then
    condition: dict[str, Any] = {name: list(value) for name in _LISTS if (value := getattr(when, name))}
    for name in ("complexity_from", "complexity_to"):
        if (bound := getattr(when, name)) is not None:
            condition[name] = bound
    for name in ("time_from", "time_to"):
        if (moment := getattr(when, name)) is not None:
            condition[name] = moment.isoformat("minutes")
    if when.time_zone != "UTC":
        condition["time_zone"] = when.time_zone
    action = {name: getattr(then, name) for name in ("block", "model", "min_tier", "max_tier")}
    return {"name": rule.name, "when": condition, "then": {name: value for name, value in action.items() if value}}


def _rule_from_wire(wire: Mapping[str, Any]) -> Rule:
    when, then = wire.get("when") or {}, wire.get("then") or {}
    return Rule(
        name=wire["name"],
        when=Condition(
            **{name: tuple(when.get(name) or ()) for name in _LISTS},
            complexity_from=when.get("complexity_from"),
            complexity_to=when.get("complexity_to"),
            time_from=_time(when.get("time_from")),
            time_to=_time(when.get("time_to")),
            time_zone=when.get("time_zone", "UTC"),
        ),
        then=Action(
            block=then.get("block"),
            model=then.get("model"),
            min_tier=_tier(then.get("min_tier")),
            max_tier=_tier(then.get("max_tier")),
        ),
    )


def _tier(value: str | None) -> Tier | None:
    return None if value is None else Tier(value)


def _time(value: str | None) -> time | None:
    return None if value is None else time.fromisoformat(value)
