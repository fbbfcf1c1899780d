"""Gateways that take any model, with the catalogue and the prices that ship: who is asked in whose spelling."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from p402.collector.pricing import load_price_book
from p402.collector.routing.catalogue import load_catalogue
from p402.decisions import Ability, Funds, Measure, Policy, Question, RateCard, Rules, Tier, Verdict, decide
from p402.vocabulary import Attribution

NOW = datetime(2026, 11, 25, tzinfo=UTC)
BOOK, CATALOGUE = load_price_book(), load_catalogue(None)


def card_for(provider: str, model: str, service_tier: str | None) -> RateCard | None:
    card = BOOK.card(provider, model, NOW, service_tier)
    return card if isinstance(card, RateCard) else None


@pytest.mark.parametrize(
    ("provider", "asked", "denied"),
    [
        ("litellm", "openai/gpt-6-sol", ()),
        ("litellm", "anthropic/claude-opus-4-5", ("openai", "gcp.*", "aws.*", "groq", "deepseek", "mistral_ai")),
        ("openrouter", "anthropic/claude-opus-4.5", ()),
        ("openrouter", "openai/gpt-4o", ()),
    ],
)
def test_a_call_moves_to_a_cheaper_model_in_the_gateway_s_spelling_and_with_its_price(
    provider: str, asked: str, denied: tuple[str, ...]
) -> None:
    question = Question(
        attribution=Attribution(organisation="acme"),
        provider=provider,
        model=asked,
        input_tokens=2_000,
        output_tokens=2_000,
        needs=frozenset({Ability.TOOLS, Ability.JSON}),
        any_provider=True,
    )
    policy = Policy(name="marketing", max_tier=Tier.ECONOMY, denied_providers=denied)
    decision = decide(question, Rules(policy, CATALOGUE, card_for), Funds(), NOW)
    assert decision.verdict is Verdict.DOWNGRADE, decision.rationale
    assert "/" in decision.model
    model = CATALOGUE.find(provider, decision.model, any_provider=True)
    assert model is not None
    assert (model.tier, question.needs <= model.abilities) == (Tier.ECONOMY, True)
    assert policy.permits_provider(model.provider, None)
    card, before = card_for(provider, decision.model, None), card_for(provider, asked, None)
    assert card is not None
    assert before is not None
    held = card.most_nano_usd(2_000, 2_000, writes_cache=False, media=False)
    assert decision.holds[Measure.COST] == held < before.most_nano_usd(2_000, 2_000, writes_cache=False, media=False)
