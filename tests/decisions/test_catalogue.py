"""Names of models as providers and gateways spell them, and what a catalogue makes of them."""

from __future__ import annotations

import pytest

from p402.decisions import Ability, Catalogue, Model, Tier


def model(provider: str, name: str, **more: object) -> Model:
    plain = {"tier": Tier.STANDARD, "context_tokens": 100_000, "max_output_tokens": 10_000}
    return Model(provider=provider, model=name, **{**plain, **more})  # type: ignore[arg-type] # by name


CATALOGUE = Catalogue(
    [
        model("openai", "gpt-4o"),
        model("openai", "gpt-4-turbo", aliases=("gpt-4-1106-preview",), offered=False),
        model("openai", "gpt-4", offered=False),
        model("anthropic", "claude-haiku-4-5"),
        model("gcp.gemini", "gemini-2.5-flash"),
        model("gcp.vertex_ai", "claude-haiku-4-5@20251001", vendor="anthropic"),
        model("gcp.vertex_ai", "gemini-2.5-flash", vendor="google"),
        model("aws.bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0", vendor="anthropic"),
        model("aws.bedrock", "anthropic.claude-opus-5", vendor="anthropic"),
        model("aws.bedrock", "amazon.nova-lite-v1:0", vendor="amazon"),
        model("groq", "openai/gpt-oss-20b"),
        model("openrouter", "anthropic/claude-haiku-4.5"),
        model("openrouter", "openai/gpt-4o"),
    ]
)


@pytest.mark.parametrize(
    ("provider", "name", "found"),
    [
        ("openai", "gpt-4o", "gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai", "gpt-4-0613", "gpt-4"),
        ("openai", "gpt-4-1106-preview", "gpt-4-turbo"),
        ("openai", "ft:gpt-4o-2024-08-06:acme::abc", "gpt-4o"),
        ("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("anthropic", "claude-haiku-4-5-latest", "claude-haiku-4-5"),
        ("gcp.gemini", "gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("gcp.gemini", "gemini-2.5-flash-001", "gemini-2.5-flash"),
        ("gcp.vertex_ai", "claude-haiku-4-5", "claude-haiku-4-5@20251001"),
        ("aws.bedrock", "eu.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("aws.bedrock", "us-gov.anthropic.claude-haiku-4-5-20260101-v2:0", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("groq", "openai/gpt-oss-20b", "openai/gpt-oss-20b"),
        ("openai", "gpt-4o-mini", None),
        ("openai", "claude-haiku-4-5", None),
        ("openai", "anthropic/claude-haiku-4-5", None),
        ("nobody", "gpt-4o", None),
    ],
)
def test_a_model_is_found_by_any_of_its_names_at_its_provider(provider: str, name: str, found: str | None) -> None:
    known = CATALOGUE.find(provider, name)
    assert (known.model if known else None) == found


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("openai/gpt-4o", "openai"),
        ("openai/gpt-4o-2024-08-06", "openai"),
        ("openrouter/openai/gpt-4o", "openai"),
        ("anthropic/claude-haiku-4-5-20251001", "anthropic"),
        ("gemini/gemini-2.5-flash", "gcp.gemini"),
        ("google/gemini-2.5-flash", "gcp.gemini"),
        ("vertex_ai/gemini-2.5-flash", "gcp.vertex_ai"),
        ("bedrock/eu.anthropic.claude-opus-5", None),
        ("gpt-4o", "openai"),
        ("mistral/unheard-of", None),
    ],
)
def test_a_gateway_s_names_may_have_the_vendor_in_front(name: str, provider: str | None) -> None:
    known = CATALOGUE.find("litellm", name, any_provider=True)
    assert (known.provider if known else None) == provider


def spelled(provider: str, asked: str, *, any_provider: bool = False) -> set[str]:
    return {name for name, _ in CATALOGUE.candidates(provider, asked, any_provider=any_provider)}


def test_a_call_moves_within_its_provider_to_models_that_are_offered() -> None:
    assert spelled("openai", "gpt-4") == {"gpt-4o"}


def test_a_call_stays_with_its_vendor_where_each_has_an_api_of_its_own() -> None:
    assert spelled("gcp.vertex_ai", "gemini-2.5-flash") == {"gemini-2.5-flash"}
    assert spelled("gcp.vertex_ai", "claude-haiku-4-5") == {"claude-haiku-4-5@20251001"}
    assert spelled("gcp.vertex_ai", "llama-unheard-of") == set()


def test_a_call_stays_in_its_region() -> None:
    assert spelled("aws.bedrock", "eu.anthropic.claude-opus-5") == {
        "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        "eu.anthropic.claude-opus-5",
    }


def test_names_at_a_gateway_are_spelled_as_the_one_that_was_asked_for() -> None:
    with_vendor = spelled("litellm", "openai/gpt-4o", any_provider=True)
    assert {"openai/gpt-4o", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash"} <= with_vendor
    assert {"gpt-4o", "claude-haiku-4-5"} <= spelled("litellm", "gpt-4o", any_provider=True)
    assert "google/gemini-2.5-flash" in spelled("litellm", "google/gemini-2.5-pro", any_provider=True)


def test_a_gateway_with_models_of_its_own_in_the_catalogue_is_given_those_names() -> None:
    names = spelled("openrouter", "openai/gpt-4o", any_provider=True)
    assert names == {"anthropic/claude-haiku-4.5", "openai/gpt-4o"}


def test_a_model_elsewhere_is_told_from_one_that_nobody_knows() -> None:
    assert CATALOGUE.is_elsewhere("openai", "claude-haiku-4-5")
    assert CATALOGUE.is_elsewhere("openai", "anthropic/claude-haiku-4-5")
    assert not CATALOGUE.is_elsewhere("openai", "gpt-4o")
    assert not CATALOGUE.is_elsewhere("openai", "our-deployment")


def test_a_model_can_do_a_call_that_it_has_the_abilities_and_room_for() -> None:
    known = model("openai", "m", abilities=frozenset({Ability.TOOLS}))
    assert known.can(frozenset({Ability.TOOLS}), 100_000)
    assert known.can(frozenset(), 90_000, 10_000)
    assert not known.can(frozenset({Ability.JSON}), 1)
    assert not known.can(frozenset(), 100_001)
    assert not known.can(frozenset(), 90_001, 10_000)
    assert not known.can(frozenset(), 1, 10_001)
