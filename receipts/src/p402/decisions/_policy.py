"""A department's policy: which models its calls may use, and what happens at a cap. Data, matched in order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from p402.decisions._catalogue import Tier
from p402.decisions._question import Question

__all__ = ["DEFAULT_POLICY", "Action", "AtCap", "Condition", "FailMode", "Mode", "Policy", "Rule", "Rung", "Strategy"]


class Mode(StrEnum):
    """Whether something is enforced, or only recorded."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class Strategy(StrEnum):
    """Which of the suitable models is taken when the one asked for may not be used or paid."""

    QUALITY_FIRST = "quality-first"
    """The best one."""
    COST_FIRST = "cost-first"
    """The cheapest one."""
    COMPLIANCE_AWARE = "compliance-aware"
    """The best one of a provider that may see the data."""


class FailMode(StrEnum):
    """What happens when the collector cannot be asked."""

    OPEN = "open"
    """Calls go on, metered and marked as unguarded."""
    CLOSED = "closed"
    """Calls are refused."""


class Rung(StrEnum):
    """What to try, in the order of the policy, when the money left does not cover a call."""

    CLAMP = "clamp"
    DOWNGRADE = "downgrade"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a rule applies: all that is given must hold. Nothing given: always."""

    task_types: tuple[str, ...] = ()
    complexity_from: int | None = None
    complexity_to: int | None = None
    """The last complexity that is included."""
    data_classes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Names with ``*`` for any characters."""
    providers: tuple[str, ...] = ()
    weekdays: tuple[int, ...] = ()
    """1 is Monday (ISO 8601)."""
    time_from: time | None = None
    time_to: time | None = None
    """Not included; before ``time_from``, the span reaches over midnight."""
    time_zone: str = "UTC"

    def holds(self, question: Question, at: datetime) -> bool:
        """Tell whether it applies to a call at a time. What is not known about a call fulfils no condition about it."""
        if self.task_types and question.task_type not in self.task_types:
            return False
        if self.data_classes and question.data_class not in self.data_classes:
            return False
        if self.models and not matches(question.model, self.models):
            return False
        if self.providers and not matches(question.provider, self.providers):
            return False
        if self.complexity_from is not None or self.complexity_to is not None:
            if question.complexity is None:
                return False
            if (
                not (self.complexity_from or 0)
                <= question.complexity
                <= (10 if self.complexity_to is None else self.complexity_to)
            ):
                return False
        return not (self.weekdays or self.time_from or self.time_to) or self._is_time(at)

    def _is_time(self, at: datetime) -> bool:
        local = at.astimezone(ZoneInfo(self.time_zone))
        if self.weekdays and local.isoweekday() not in self.weekdays:
            return False
        begin, end, now = self.time_from or time.min, self.time_to, local.time()
        if end is None:
            return now >= begin
        return begin <= now < end if begin < end else now >= begin or now < end


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a rule says; the policy's own limits hold beside it."""

    block: str | None = None
    """A reason: the call is refused."""
    model: str | None = None
    """The call is made with this model, if it can do it."""
    min_tier: Tier | None = None
    max_tier: Tier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a policy."""

    name: str
    when: Condition
    then: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class AtCap:
    """What to do when the money left does not cover a call. What is not tried, or does not help, ends in a refusal."""

    rungs: tuple[Rung, ...] = (Rung.WAIT,)
    least_output_tokens: int = 512
    """A limit on the output is never set below this, nor below the model's own."""
    wait_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy of a department."""

    name: str
    version: int = 0
    mode: Mode = Mode.ENFORCE
    strategy: Strategy = Strategy.QUALITY_FIRST
    min_tier: Tier | None = None
    max_tier: Tier | None = None
    allowed_models: tuple[str, ...] = ()
    denied_models: tuple[str, ...] = ()
    allowed_providers: tuple[str, ...] = ()
    denied_providers: tuple[str, ...] = ()
    data_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a class of data the providers that may see it."""
    rules: tuple[Rule, ...] = ()
    """The first that applies counts."""
    at_cap: AtCap = AtCap()
    fail_mode: FailMode | None = None
    """None leaves it to the service's own setting."""

    def rule_for(self, question: Question, at: datetime) -> Rule | None:
        """Find the first rule that applies."""
        return next((rule for rule in self.rules if rule.when.holds(question, at)), None)

    @property
    def restricts_names(self) -> bool:
        """Whether anything is said about models or providers by name."""
        return bool(
            self.allowed_models
            or self.denied_models
            or self.allowed_providers
            or self.denied_providers
            or self.data_classes
        )

    def permits_model(self, *names: str) -> bool:
        """Tell whether a model may be used, whatever its tier: one of its names is allowed, and none is denied."""
        return not any(matches(name, self.denied_models) for name in names) and (
            not self.allowed_models or any(matches(name, self.allowed_models) for name in names)
        )

    def permits_provider(self, provider: str, data_class: str | None) -> bool:
        """Tell whether a provider may be used, and may see data of a class."""
        if (self.allowed_providers and not matches(provider, self.allowed_providers)) or matches(
            provider, self.denied_providers
        ):
            return False
        if data_class is not None and data_class in self.data_classes:
            return matches(provider, self.data_classes[data_class])
        return True


DEFAULT_POLICY = Policy(name="none")
"""What holds for a department without a policy: every model, and waiting for a moment at a cap."""


@lru_cache(maxsize=4096)
def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a name is one of some patterns in which ``*`` stands for any characters."""
    return bool(patterns) and _pattern(patterns).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns), re.DOTALL)
