"""The catalogue that ships: every name has a price, tiers are in order; and what an operator's file does to it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from p402.collector.pricing import load_price_book
from p402.collector.routing.catalogue import CatalogueInvalid, load_catalogue
from p402.decisions import Ability, Model, RateCard, Tier

NOW = datetime(2026, 11, 25, tzinfo=UTC)
OURS, BOOK = load_catalogue(None), load_price_book()


def card(model: Model, name: str) -> RateCard:
    found = BOOK.card(model.provider, name, NOW)
    assert isinstance(found, RateCard), f"{model.provider} {name}: {found}"
    return found


def test_every_name_of_a_model_has_a_price_at_its_provider() -> None:
    for model in OURS.models:
        for name in (model.model, *model.aliases):
            card(model, name)


def test_a_model_s_limits_fit_together() -> None:
    for model in OURS.models:
        assert 0 < model.context_tokens <= 2_000_000, model
        if Ability.EMBEDDING in model.abilities:
            assert (model.abilities, model.max_output_tokens) == (frozenset({Ability.EMBEDDING}), 0), model
        else:
            assert model.least_output_tokens < model.max_output_tokens <= model.context_tokens, model


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gcp.gemini", "mistral_ai", "deepseek", "x_ai", "cohere"])
def test_of_what_is_offered_economy_costs_less_than_premium(provider: str) -> None:
    def prices(tier: Tier) -> list[int]:
        return [
            card(model, model.model).most_nano_usd(1_000, 500, writes_cache=False, media=False)
            for model in OURS.models
            if (model.provider, model.tier, model.offered) == (provider, tier, True)
            and Ability.EMBEDDING not in model.abilities
        ]

    assert max(prices(Tier.ECONOMY)) < min(prices(Tier.PREMIUM), default=10**18)


@pytest.mark.parametrize(
    ("provider", "name", "tier"),
    [
        ("anthropic", "claude-opus-4-5-20251101", Tier.PREMIUM),
        ("anthropic", "claude-haiku-4-5", Tier.ECONOMY),
        ("openai", "gpt-4o-2024-08-06", Tier.STANDARD),
        ("openai", "gpt-5-mini", Tier.STANDARD),
        ("gcp.gemini", "gemini-2.5-pro", Tier.PREMIUM),
        ("gcp.vertex_ai", "gemini-2.5-flash", Tier.STANDARD),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", Tier.STANDARD),
        ("aws.bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", Tier.ECONOMY),
        ("aws.bedrock", "amazon.nova-lite-v1:0", Tier.ECONOMY),
        ("azure.ai.openai", "gpt-4.1-mini", Tier.ECONOMY),
        ("mistral_ai", "mistral-large-latest", Tier.PREMIUM),
        ("groq", "openai/gpt-oss-20b", Tier.ECONOMY),
        ("openrouter", "anthropic/claude-haiku-4.5", Tier.ECONOMY),
    ],
)
def test_well_known_names_have_their_tier(provider: str, name: str, tier: Tier) -> None:
    found = OURS.find(provider, name)
    assert found is not None
    assert found.tier is tier


def written(folder: Path, text: str) -> Path:
    file = folder / "models.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_an_operator_adds_models_and_says_otherwise_of_ours(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        [[group]]
        providers = ["azure.ai.openai"]
        context_tokens = 1000
        max_output_tokens = 100
        tier = "standard"
        models = [{ model = "chat-prod", aliases = ["chat-test"] }, { model = "gpt-5", tier = "economy" }]
        """,
    )
    theirs = load_catalogue(file)
    assert len(theirs.models) == len(OURS.models) + 1
    for name, tier in (("chat-prod", Tier.STANDARD), ("chat-test", Tier.STANDARD), ("gpt-5", Tier.ECONOMY)):
        found = theirs.find("azure.ai.openai", name)
        assert found is not None
        assert (found.tier, found.context_tokens) == (tier, 1_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[group", "is no TOML"),
        ("", "group: Field required"),
        ('[[group]]\nproviders = []\nmodels = [{ model = "m" }]', "group[0].providers: Tuple should have at least 1"),
        (
            '[[group]]\nproviders = ["p"]\nmodels = [{ model = "m", tier = "best" }]',
            "group[0].models[0].tier: Input should be 'economy', 'standard' or 'premium'",
        ),
        (
            '[[group]]\nproviders = ["p"]\nmodels = [{ model = "m", teir = "economy" }]',
            "group[0].models[0].teir: there is no such field",
        ),
        (
            '[[group]]\nproviders = ["p"]\nmodels = [{ model = "m", tier = "economy" }]',
            "does not say context_tokens, max_output_tokens of 'm' of p",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_what_is_wrong_and_where(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CatalogueInvalid) as refusal:
        load_catalogue(written(tmp_path, text))
    assert told in str(refusal.value)
    assert "models.toml" in str(refusal.value)


def test_a_name_may_be_given_once_only(tmp_path: Path) -> None:
    limits = 'tier = "economy"\ncontext_tokens = 1\nmax_output_tokens = 1\n'
    models = 'models = [{ model = "m" }, { model = "n", aliases = ["m"] }]'
    with pytest.raises(CatalogueInvalid, match="names 'm' of groq twice"):
        load_catalogue(written(tmp_path, f'[[group]]\nproviders = ["groq"]\n{limits}{models}'))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid, match=r"none\.toml cannot be read"):
        load_catalogue(tmp_path / "none.toml")
