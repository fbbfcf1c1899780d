"""A request → the question that is decided: what it can cost at most, what it needs, what may be changed (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from p402.decisions import Ability, Question
from p402.instrumentation.feedback.bounds import read_input
from p402.instrumentation.providers.facts import RequestFacts
from p402.vocabulary import Attribution

__all__ = ["GATEWAYS", "About", "is_standard", "question_of", "tier_of"]

GATEWAYS = frozenset({"gateway", "litellm", "openrouter", "portkey"})
"""What ``P402_OPENAI_HOSTS`` may call a host that takes any provider's models."""

_STANDARD_TIERS = frozenset({"auto", "default", "on_demand", "standard", "standard_only"})
_MOST_CHOICES = 1_000
_REASONING = frozenset({"reasoning", "reasoning_effort", "thinking", "think"})
_FORMS = ("response_format", "text", "output_config")
_SPECIAL = frozenset(
    {
        *_REASONING, *_FORMS, "best_of", "cachedContent", "format", "generationConfig", "modalities", "n", "output_format",
        "serviceTier", "service_tier", "speed", "tool_choice",
    }
)  # fmt: skip
"""Fields of a body that are looked at here; a request that has none of them, as most have not, is plain."""
_MADE = {"image": Ability.IMAGE_OUTPUT, "audio": Ability.AUDIO}
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class About(NamedTuple):
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
    special = _NOTHING if _SPECIAL.isdisjoint(body) else body
    config = special.get("generationConfig")
    config = config if isinstance(config, dict) else _NOTHING
    shaped = bool(special) and _shaped(special, config)
    needs = given.needs
    _add_needs(needs, facts, about.path, special, config)
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
        choices=_choices(special, config) if special else 1,
        needs=frozenset(needs),
        can_clamp=about.changeable
        and facts.countable
        and facts.operation != "embeddings"
        and not shaped
        and not _forced(special.get("tool_choice")),
        can_change_model=about.changeable and not _is_for_one_model(about.path),
        any_provider=about.provider in GATEWAYS,
        writes_cache=about.provider == "openai" or given.caches,
        media=given.media or makes_media or Ability.AUDIO in needs,
        service_tier=tier_of(special) if special else None,
        task_type=about.task_type,
        complexity=about.complexity,
        data_class=about.data_class,
    )


def _is_for_one_model(path: str) -> bool:
    """Tell whether no other model can be called in the same way: Vertex AI's partners' have their own bodies, tuned ones their own paths."""
    return "awPredict" in path or (path.endswith("enerateContent") and "/models/" not in path)


def _add_needs(
    needs: set[Ability], facts: RequestFacts, path: str, body: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Add what a model must be able to do, apart from the content that it must read."""
    if facts.operation == "embeddings":
        needs.add(Ability.EMBEDDING)
    if "/images/" in path:
        needs.add(Ability.IMAGE_OUTPUT)
    if "/audio/" in path:
        needs.add(Ability.AUDIO)
    if not body:
        return
    if any(body.get(name) for name in _REASONING) or config.get("thinkingConfig"):
        needs.add(Ability.REASONING)
    if body.get("cachedContent"):
        needs.add(Ability.CACHING)
    wanted = config.get("responseModalities") or body.get("modalities")
    for kind in wanted if isinstance(wanted, list) else ():
        if (ability := _MADE.get(str(kind).lower())) is not None:
            needs.add(ability)


def _shaped(body: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Tell whether the answer must have a form, so that a shorter one would be of no use."""
    for name in _FORMS:
        asked = body.get(name)
        if isinstance(asked, dict):
            form = asked.get("format")
            kind = form.get("type") if isinstance(form, dict) else asked.get("type")
            if isinstance(kind, str) and kind.startswith("json"):
                return True
    if body.get("output_format") or body.get("format"):
        return True
    mime = config.get("responseMimeType")
    return mime == "application/json" or bool(config.get("responseSchema") or config.get("responseJsonSchema"))


def _forced(choice: object) -> bool:
    """Tell whether a tool must be called: its arguments are of no use when they are cut."""
    if isinstance(choice, dict):
        return choice.get("type") not in ("auto", "none")
    return choice in ("required", "any")


def _choices(body: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    choices = 1
    for given in (body.get("n"), body.get("best_of"), config.get("candidateCount")):
        if type(given) is int and given > choices:
            choices = given
    return min(_MOST_CHOICES, choices)


def tier_of(body: Mapping[str, Any]) -> str | None:
    """Give the service tier that a request asks for; None for the one that every call has."""
    if body.get("speed") == "fast":  # Anthropic's
        return "fast"
    asked = body.get("service_tier") or body.get("serviceTier")
    if isinstance(asked, dict):  # Bedrock's
        asked = asked.get("type")
    return asked if isinstance(asked, str) and not is_standard(asked) else None


def is_standard(tier: str | None) -> bool:
    """Tell whether a tier, in a provider's word, is the one that every call has."""
    return tier is None or tier.lower() in _STANDARD_TIERS
