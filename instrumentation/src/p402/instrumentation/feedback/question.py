"""A request → the question that is decided: what it can cost at most, what it needs, what may be changed (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from p402.decisions import Ability, Question
from p402.instrumentation.feedback.bounds import read_input
from p402.instrumentation.providers.facts import RequestFacts
from p402.vocabulary import Attribution

__all__ = ["GATEWAYS", "About", "is_standard", "question_of", "tier_of"]

GATEWAYS = frozenset({"gateway", "litellm", "openrouter", "portkey"})
"""What ``P402_OPENAI_HOSTS`` may call a host that takes any provider's models."""

_STANDARD_TIERS = frozenset({"auto", "default", "on_demand", "standard", "standard_only"})
_MOST_CHOICES = 1_000
_REASONING = ("reasoning", "reasoning_effort", "thinking", "think")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is known of a call apart from its body."""

    provider: str
    """``gen_ai.provider.name``."""
    path: str
    attribution: Attribution
    changeable: bool
    """Whether another body, or another path, can be sent: not if it is signed, or the client cannot."""
    task_type: str | None = None
    complexity: int | None = None
    data_class: str | None = None


def question_of(about: About, facts: RequestFacts, body: Mapping[str, Any], raw: bytes) -> Question:
    """Describe a call to those who decide about it.

    Args:
        about: who and where.
        facts: what its dialect reads.
        body: parsed.
        raw: as it is sent.
    """
    given = read_input(about.provider, facts.model, body, raw)
    config = body.get("generationConfig")
    config = config if isinstance(config, Mapping) else {}
    shaped = _shaped(body, config)
    needs = given.needs | _needs(facts, about.path, body, config)
    if shaped:
        needs.add(Ability.JSON)
    if given.caches:
        needs.add(Ability.CACHING)
    makes_media = Ability.IMAGE_OUTPUT in needs or not facts.countable
    return Question(
        attribution=about.attribution,
        provider=about.provider,
        model=facts.model,
        operation=facts.operation,
        input_tokens=given.tokens,
        output_tokens=facts.max_tokens,
        choices=_choices(body, config),
        needs=frozenset(needs),
        can_clamp=about.changeable
        and facts.countable
        and facts.operation != "embeddings"
        and not shaped
        and not _forced(body.get("tool_choice")),
        can_change_model=about.changeable and "rawPredict" not in about.path and "RawPredict" not in about.path,
        any_provider=about.provider in GATEWAYS,
        writes_cache=about.provider == "openai" or given.caches,
        media=given.media or makes_media or Ability.AUDIO in needs,
        service_tier=tier_of(body),
        task_type=about.task_type,
        complexity=about.complexity,
        data_class=about.data_class,
    )


def _needs(facts: RequestFacts, path: str, body: Mapping[str, Any], config: Mapping[str, Any]) -> set[Ability]:
    needs = set()
    if facts.operation == "embeddings":
        needs.add(Ability.EMBEDDING)
    if any(body.get(name) for name in _REASONING) or config.get("thinkingConfig"):
        needs.add(Ability.REASONING)
    if body.get("cachedContent"):
        needs.add(Ability.CACHING)
    wanted = config.get("responseModalities") or body.get("modalities")
    kinds = {str(kind).lower() for kind in wanted} if isinstance(wanted, list) else set()
    if "image" in kinds or "/images/" in path:
        needs.add(Ability.IMAGE_OUTPUT)
    if "audio" in kinds or "/audio/" in path:
        needs.add(Ability.AUDIO)
    return needs


def _shaped(body: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Tell whether the answer must have a form, so that a shorter one would be of no use."""
    for name in ("response_format", "text", "output_config"):
        asked = body.get(name)
        if isinstance(asked, Mapping):
            form = asked.get("format")
            kind = form.get("type") if isinstance(form, Mapping) else asked.get("type")
            if isinstance(kind, str) and kind.startswith("json"):
                return True
    if body.get("output_format") or body.get("format"):
        return True
    mime = config.get("responseMimeType")
    return mime == "application/json" or bool(config.get("responseSchema") or config.get("responseJsonSchema"))


def _forced(choice: object) -> bool:
    """Tell whether a tool must be called: its arguments are of no use when they are cut."""
    if isinstance(choice, Mapping):
        return choice.get("type") not in ("auto", "none")
    return choice in ("required", "any")


def _choices(body: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    given = [body.get("n"), body.get("best_of"), config.get("candidateCount")]
    return min(_MOST_CHOICES, max([1, *(n for n in given if type(n) is int)]))


def tier_of(body: Mapping[str, Any]) -> str | None:
    """Give the service tier that a request asks for; None for the one that every call has."""
    if body.get("speed") == "fast":  # Anthropic's
        return "fast"
    asked = body.get("service_tier") or body.get("serviceTier")
    if isinstance(asked, Mapping):  # Bedrock's
        asked = asked.get("type")
    return asked if isinstance(asked, str) and not is_standard(asked) else None


def is_standard(tier: str | None) -> bool:
    """Tell whether a tier, in a provider's word, is the one that every call has."""
    return tier is None or tier.lower() in _STANDARD_TIERS
