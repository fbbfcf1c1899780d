"""The catalogue of models: their tiers and abilities, so that a call is only ever given to a model that can do it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from p402.decisions._names import bare, in_the_region_of, in_the_style_of, of_vendor, without_region
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model at one provider."""

    provider: str
    """``gen_ai.provider.name``."""
    model: str
    tier: Tier
    context_tokens: int
    """The longest input that it takes; where the provider counts the answer too, both together."""
    max_output_tokens: int
    """The most that one answer can have; what a request without a limit may cost."""
    abilities: frozenset[Ability] = frozenset()
    least_output_tokens: int = 256
    """Answers shorter than this are of no use: a limit is never set below."""
    aliases: tuple[str, ...] = ()
    """Other names of it at the provider."""
    vendor: str = ""
    """Who made it, where the provider gives each maker's models an API of their own: a call stays with its vendor."""
    offered: bool = True
    """Whether calls may be moved to it. Not so if it is to be retired, has an API of its own, or must be deployed first."""

    def can(self, needs: frozenset[Ability], input_tokens: int, output_tokens: int | None = None) -> bool:
        """Tell whether the model has the abilities and room for the input, and for the answer that is asked for."""
        if not needs <= self.abilities:
            return False
        if output_tokens is None:
            return input_tokens <= self.context_tokens
        return output_tokens <= self.max_output_tokens and input_tokens + output_tokens <= self.context_tokens

    def to_wire(self) -> dict[str, Any]:
        """Write it as JSON values; what is as by default is left out."""
        wire: dict[str, Any] = {
            "provider": self.provider,
            "model": self.model,
            "tier": self.tier.value,
            "context_tokens": self.context_tokens,
            "max_output_tokens": self.max_output_tokens,
            "abilities": sorted(self.abilities),
            "least_output_tokens": self.least_output_tokens,
        }
        if self.aliases:
            wire["aliases"] = list(self.aliases)
        if self.vendor:
            wire["vendor"] = self.vendor
        if not self.offered:
            wire["offered"] = False
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Model:
        """Read what `to_wire` wrote.

        Raises:
            ValueError, KeyError, TypeError: if that is something else.
        """
        return cls(
            provider=wire["provider"],
            model=wire["model"],
            tier=Tier(wire["tier"]),
            context_tokens=int(wire["context_tokens"]),
            max_output_tokens=int(wire["max_output_tokens"]),
            abilities=frozenset(map(Ability, wire["abilities"])),
            least_output_tokens=int(wire["least_output_tokens"]),
            aliases=tuple(wire.get("aliases", ())),
            vendor=wire.get("vendor", ""),
            offered=bool(wire.get("offered", True)),
        )


class Catalogue:
    """All known models."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.models = tuple(models)
        self._by_name: dict[tuple[str, str], Model] = {}
        self._by_bare_name: dict[str, Model] = {}
        self._offered: dict[str, list[Model]] = {}
        for model in self.models:
            for name in (model.model, *model.aliases):
                self._by_name.setdefault((model.provider, name), model)
        for model in self.models:
            for name in (model.model, *model.aliases):
                self._by_name.setdefault((model.provider, bare(name)), model)
                self._by_bare_name.setdefault(bare(name), model)
            if model.offered:
                self._offered.setdefault(model.provider, []).append(model)

    def find(self, provider: str, name: str, *, any_provider: bool = False) -> Model | None:
        """Find a model by its name, as it is or without what only dates, versions or places it; None if it is not listed.

        Args:
            provider: ``gen_ai.provider.name``; of a gateway its own.
            name: as the request says it; at a gateway perhaps with the vendor in front: ``openai/gpt-4o``.
            any_provider: whether the provider is a gateway, so that the model may be anyone's.
        """
        found = self._by_name.get((provider, name)) or self._by_name.get((provider, bare(name)))
        if found is not None:
            return found
        if (placed := without_region(name)) is not None:
            return self._by_name.get((provider, placed)) or self._by_name.get((provider, bare(placed)))
        if not any_provider:
            return None
        if (of := of_vendor(name)) is not None:
            return self._by_name.get(of) or self._by_name.get((of[0], bare(of[1])))
        return self._by_bare_name.get(bare(name))

    def is_elsewhere(self, provider: str, name: str, *, any_provider: bool = False) -> bool:
        """Tell whether a name is known, but not at this provider: a call for it would fail there."""
        of = of_vendor(name)
        known = bare(of[1] if of else name) in self._by_bare_name
        return known and self.find(provider, name, any_provider=any_provider) is None

    def candidates(self, provider: str, asked: str, *, any_provider: bool) -> Iterable[tuple[str, Model]]:
        """Give the models that a call for ``asked`` could be moved to, each with its name in the spelling used there."""
        own = self._offered.get(provider, ())
        if any_provider and not own:
            known = (model for models in self._offered.values() for model in models)
            return [(in_the_style_of(asked, model.provider, model.model), model) for model in known]
        found = self.find(provider, asked)
        vendor = found.vendor if found else ""
        return [(in_the_region_of(asked, model.model), model) for model in own if model.vendor == vendor]
