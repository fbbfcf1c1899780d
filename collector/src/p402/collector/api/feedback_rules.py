"""The rules that a lease comes with, as JSON text. The catalogue and its prices are long, and written once for each change."""

from __future__ import annotations

import json
from datetime import datetime

from p402.collector.api.feedback_schema import LimitsView
from p402.collector.pricing import PriceBook
from p402.collector.storage.decisions import Granted
from p402.decisions import Catalogue, Question, RateCard, policy_to_wire
from p402.vocabulary import Level

__all__ = ["RulesView"]

_MOST_TIERS = 100  # service tiers come from outside


class RulesView:
    """Writes rules."""

    def __init__(self, catalogue: Catalogue, prices: PriceBook) -> None:
        self._models = catalogue.models
        self._catalogue = json.dumps([model.to_wire() for model in catalogue.models])
        self._prices = prices
        self._cards: dict[tuple[str | None, datetime], str] = {}

    def text(self, granted: Granted, question: Question, limits: LimitsView, at: datetime) -> str:
        """Write the rules for calls like the one that was asked about."""
        assert granted.budgets is not None
        assert granted.policy is not None
        assert granted.attribution is not None
        levels = {*granted.budgets.levels(), Level.DEPARTMENT, *((Level.EMPLOYEE,) if granted.by_employee else ())}
        rules = json.dumps(
            {
                "organisation": granted.attribution.organisation,
                "department": granted.attribution.department,
                "version": granted.budgets.version,
                "by_employee": granted.by_employee,
                "levels": sorted(levels),
                "policy": policy_to_wire(granted.policy),
                **limits,
            }
        )
        return f'{rules[:-1]}, "catalogue": {self._catalogue}, "cards": {self._cards_text(question.service_tier, at)}}}'

    def _cards_text(self, service_tier: str | None, at: datetime) -> str:
        key = service_tier, self._prices.span(at).since
        if (known := self._cards.get(key)) is not None:
            return known
        if len(self._cards) >= _MOST_TIERS:
            self._cards.clear()
        cards = []
        for model in self._models:
            card = self._prices.card(model.provider, model.model, at, service_tier)
            if isinstance(card, RateCard):
                named = {"provider": model.provider, "model": model.model, "service_tier": service_tier}
                cards.append({**named, "card": card.to_wire()})
        text = self._cards[key] = json.dumps(cards)
        return text
