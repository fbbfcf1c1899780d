"""A call that is about to be made, as far as deciding about it needs to know, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from p402.decisions._value import value
from p402.vocabulary import Attribution, Level, Money

__all__ = ["Ability", "Code", "Decision", "Measure", "Question", "Verdict"]


class Measure(StrEnum):
    """What a budget counts."""

    COST = "cost"
    """Nano-USD."""
    TOKENS = "tokens"
    """Input and output together."""
    REQUESTS = "requests"
    CONCURRENCY = "concurrency"
    """Calls under way at the same time."""


class Ability(StrEnum):
    """What a call may need of a model beyond text in and text out."""

    TOOLS = "tools"
    JSON = "json"
    """Output in a required shape."""
    VISION = "vision"
    AUDIO = "audio"
    DOCUMENTS = "documents"
    REASONING = "reasoning"
    CACHING = "caching"
    """Prompt caching that the request controls."""
    EMBEDDING = "embedding"
    IMAGE_OUTPUT = "image_output"


class Verdict(StrEnum):
    """What becomes of a call."""

    ALLOW = "allow"
    CLAMP = "clamp"
    """With a shorter answer at most."""
    DOWNGRADE = "downgrade"
    """By a cheaper model."""
    WAIT = "wait"
    """Not yet: what others hold may come back."""
    BLOCK = "block"


class Code(StrEnum):
    """Why, for machines."""

    WITHIN_BUDGET = "within_budget"
    NO_BUDGET = "no_budget"
    BUDGET_EXHAUSTED = "budget_exhausted"
    HOLDS_PENDING = "holds_pending"
    REQUEST_CEILING = "request_ceiling"
    RULE = "rule"
    MODEL_DENIED = "model_denied"
    PROVIDER_DENIED = "provider_denied"
    ABOVE_MAX_TIER = "above_max_tier"
    BELOW_MIN_TIER = "below_min_tier"
    NO_SUITABLE_MODEL = "no_suitable_model"
    UNPRICED_MODEL = "unpriced_model"
    UNGUARDED = "unguarded"
    """The collector could not be asked, and the fail mode is open."""
    COLLECTOR_UNREACHABLE = "collector_unreachable"
    """The collector could not be asked, and the fail mode is closed."""


@value(frozen=True, slots=True, kw_only=True)
class Question:
    """One attempt at calling a model."""

    attribution: Attribution
    provider: str
    """``gen_ai.provider.name``."""
    model: str
    operation: str = "chat"
    input_tokens: int | None = 0
    """Never fewer than the provider will count; None if the request refers to content that it does not hold."""
    output_tokens: int | None = None
    """The most that the request allows for each choice; None if it does not say."""
    choices: int = 1
    needs: frozenset[Ability] = frozenset()
    can_clamp: bool = False
    """Whether a limit on the output may be set: not for answers in a required shape."""
    can_change_model: bool = True
    """False for requests that are signed, or whose endpoint serves one model."""
    any_provider: bool = False
    """Whether the endpoint is a gateway that takes any model."""
    writes_cache: bool = False
    media: bool = False
    """Whether there may be audio or images, in or out."""
    service_tier: str | None = None
    task_type: str | None = None
    complexity: int | None = None
    """0 (trivial) to 10, computed from the request's shape."""
    data_class: str | None = None
    """How confidential the content is, in the organisation's own words."""

    def to_wire(self) -> dict[str, Any]:
        """Write it as JSON values; what is as by default is left out."""
        wire: dict[str, Any] = {level.value: value for level, value in self.attribution if value is not None}
        for name in _PLAIN:
            if (value := getattr(self, name)) != _DEFAULTS[name]:
                wire[name] = value
        if self.needs:
            wire["needs"] = sorted(self.needs)
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Question:
        """Read what `to_wire` wrote; values are taken as they are, so check them at the door."""
        attribution = Attribution(
            **{level.value: wire.get(level.value) for level in Level if level is not Level.REQUEST}
        )
        return cls(
            attribution=attribution,
            needs=frozenset(map(Ability, wire.get("needs", ()))),
            **{name: wire[name] for name in _PLAIN if name in wire},
        )


@value(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about a call, and why."""

    verdict: Verdict
    code: Code
    rationale: str
    """For people, in one line: ``complexity=7, dept_policy=quality-first, …``."""
    model: str
    """The model to call: the one asked for, or another."""
    output_tokens: int | None = None
    """A limit on the output to be set for each choice; None leaves it as it is."""
    holds: Mapping[Measure, int]
    """What must be held for the call, by measure; empty when it is refused."""
    would: str | None = None
    """What budgets and policies that only observe would have done: ``block: budget legal-month``."""

    @property
    def goes_ahead(self) -> bool:
        """Whether the call is made."""
        return self.verdict in _GOING_AHEAD

    @property
    def ceiling(self) -> Money:
        """The most that the call can cost."""
        return Money(self.holds.get(Measure.COST, 0))


_GOING_AHEAD = (Verdict.ALLOW, Verdict.CLAMP, Verdict.DOWNGRADE)
_DEFAULTS: Mapping[str, Any] = {
    "provider": None,
    "model": None,
    "operation": "chat",
    "input_tokens": 0,
    "output_tokens": None,
    "choices": 1,
    "can_clamp": False,
    "can_change_model": True,
    "any_provider": False,
    "writes_cache": False,
    "media": False,
    "service_tier": None,
    "task_type": None,
    "complexity": None,
    "data_class": None,
}
_PLAIN = tuple(_DEFAULTS)
