"""The catalogue of models: their tiers and abilities, so that a call is only ever given to a model that can do it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from p402.decisions._question import Ability

__all__ = ["Catalogue", "Model", "Tier"]


class Tier(StrEnum):
    """Classes of models, from the cheapest up."""

    ECONOMY = "economy"
    STANDARD = "standard"
    PREMIUM = "premium"

    @property
    def rank(self) -> int:
        """0 for the lowest."""
        return _RANKS[self]


_RANKS = {Tier.ECONOMY: 0, Tier.STANDARD: 1, Tier.PREMIUM: 2}

# What providers append to a model's name without making it another model: dates, versions, "latest".
_SUFFIX = re.compile(r"(?:[-@](?:\d{4}-?\d{2}-?\d{2}|\d{3,4}|latest|v\d+(?::\d+)?))+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model at one provider."""

    provider: str
    """``gen_ai.provider.name``."""
    model: str
    tier: Tier
    context_tokens: int
    """Input and output together, or input alone where the provider counts so."""
    max_output_tokens: int
    """The most that one answer can have; what a request without a limit may cost."""
    abilities: frozenset[Ability] = frozenset()
    least_output_tokens: int = 256
    """Answers shorter than this are of no use: a limit is never set below."""

    def can(self, needs: frozenset[Ability], input_tokens: int) -> bool:
        """Tell whether the model has the abilities and room for the input."""
        return needs <= self.abilities and input_tokens <= self.context_tokens

    def to_wire(self) -> dict[str, Any]:
        """Write it as JSON values."""
        return {
            "provider": self.provider,
            "model": self.model,
            "tier": self.tier.value,
            "context_tokens": self.context_tokens,
            "max_output_tokens": self.max_output_tokens,
            "abilities": sorted(self.abilities),
            "least_output_tokens": self.least_output_tokens,
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Model:
        """Read what `to_wire` wrote."""
        return cls(
            provider=wire["provider"],
            model=wire["model"],
            tier=Tier(wire["tier"]),
            context_tokens=int(wire["context_tokens"]),
            max_output_tokens=int(wire["max_output_tokens"]),
            abilities=frozenset(map(Ability, wire["abilities"])),
            least_output_tokens=int(wire["least_output_tokens"]),
        )


class Catalogue:
    """All known models."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.models = tuple(models)
        self._by_name = {(model.provider, model.model): model for model in self.models}

    def find(self, provider: str, name: str) -> Model | None:
        """Find a model by its name, as it is or without what only dates or versions it; None if it is not listed."""
        found = self._by_name.get((provider, name))
        if found is None:
            found = self._by_name.get((provider, _SUFFIX.sub("", name)))
        return found
