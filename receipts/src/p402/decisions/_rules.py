"""What applies to the calls of a department, apart from money."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from p402.decisions._catalogue import Catalogue, Model
from p402.decisions._policy import DEFAULT_POLICY, Policy, Strategy
from p402.decisions._question import Question
from p402.decisions._rate_card import RateCard

__all__ = ["CardFor", "Choice", "Rules"]

CardFor = Callable[[str, str, str | None], RateCard | None]
"""Finds the rate card of a model by provider, name and service tier; None if the model has no known price."""

_PROBE = (1_000, 500)  # input and output tokens by which models are compared
_MOST_REMEMBERED = 1_024  # names of models, which come from outside


class Choice(NamedTuple):
    """A model that a call could be moved to."""

    name: str
    """As the call has to spell it."""
    model: Model
    price: int
    """Of a small call, to compare by."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What applies to the calls of a department. The order of models is remembered: make new rules when prices change."""

    policy: Policy
    catalogue: Catalogue
    card_for: CardFor
    said: str = field(init=False, repr=False, compare=False)
    """The policy as reasons name it; empty for the default."""
    _ranked: dict[tuple[str, str, bool, str | None], tuple[Choice, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        policy = self.policy
        known = policy is not DEFAULT_POLICY
        said = f"dept_policy={policy.strategy}, policy={policy.name}@{policy.version}" if known else ""
        object.__setattr__(self, "said", said)

    def find(self, question: Question, name: str) -> Model | None:
        """Find a model in the catalogue by the name that a call has for it."""
        return self.catalogue.find(question.provider, name, any_provider=question.any_provider)

    def ranked(self, question: Question) -> tuple[Choice, ...]:
        """Give all models with a price that a call could be moved to, in the order of the policy's strategy."""
        key = question.provider, question.model, question.any_provider, question.service_tier
        known = self._ranked.get(key)
        if known is None:
            if len(self._ranked) >= _MOST_REMEMBERED:
                self._ranked.clear()
            known = self._ranked[key] = self._rank(question)
        return known

    def price(self, question: Question, name: str) -> int | None:
        """Give what a small call of a model costs at most; None if it has no known price."""
        card = self.card_for(question.provider, name, question.service_tier)
        return None if card is None else card.most_nano_usd(*_PROBE, writes_cache=False, media=False)

    def _rank(self, question: Question) -> tuple[Choice, ...]:
        named = self.catalogue.candidates(question.provider, question.model, any_provider=question.any_provider)
        priced = [
            Choice(name, model, price) for name, model in named if (price := self.price(question, name)) is not None
        ]
        if self.policy.strategy is Strategy.COST_FIRST:
            priced.sort(key=lambda one: (one.price, one.model.tier.rank, one.name))
        else:
            priced.sort(key=lambda one: (-one.model.tier.rank, -one.price, one.name))
        return tuple(priced)
