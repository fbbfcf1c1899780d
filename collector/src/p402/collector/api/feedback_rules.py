"""The rules that a lease comes with, as JSON text. The catalogue and the prices in it are long, and written once an hour."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from p402.collector.api.feedback_schema import amounts_view
from p402.collector.budgets.grant import ceilings
from p402.collector.storage.decisions import Granted
from p402.decisions import Catalogue, Question, RateCard, policy_to_wire
from p402.vocabulary import Level

__all__ = ["RulesView"]

CardAt = Callable[[str, str, str | None, datetime], RateCard | None]

_MOST_TIERS = 100  # service tiers come from outside


class RulesView:
    """Writes rules."""

    def __init__(self, catalogue: Catalogue, card_at: CardAt) -> None:
        self._models = catalogue.models
        self._catalogue = json.dumps([model.to_wire() for model in catalogue.models])
        self._card_at = card_at
        self._cards: dict[tuple[str | None, int], str] = {}

    def text(self, granted: Granted, question: Question, at: datetime) -> str:
        """Write the rules for calls like the one that was asked about."""
        assert granted.budgets is not None
        assert granted.policy is not None
        assert granted.attribution is not None
        path = granted.budgets.on_path(granted.attribution)
        levels = {*granted.budgets.levels(), Level.DEPARTMENT, *((Level.EMPLOYEE,) if granted.by_employee else ())}
        rules = json.dumps(
            {
                "organisation": granted.attribution.organisation,
                "department": granted.attribution.department,
                "version": granted.budgets.version,
                "by_employee": granted.by_employee,
                "levels": sorted(levels),
                "policy": policy_to_wire(granted.policy),
                "ceilings": amounts_view(ceilings(path, at)),
                "hard": any(on.budget.hard for on in path),
            }
        )
        return f'{rules[:-1]}, "catalogue": {self._catalogue}, "cards": {self._cards_text(question.service_tier, at)}}}'

    def _cards_text(self, service_tier: str | None, at: datetime) -> str:
        key = service_tier, int(at.timestamp()) // 3600
        if (known := self._cards.get(key)) is not None:
            return known
        if len(self._cards) >= _MOST_TIERS:
            self._cards.clear()
        cards = []
        for model in self._models:
            card = self._card_at(model.provider, model.model, service_tier, at)
            if card is not None:
                named = {"provider": model.provider, "model": model.model, "service_tier": service_tier}
                cards.append({**named, "card": card.to_wire()})
        text = self._cards[key] = json.dumps(cards)
        return text
