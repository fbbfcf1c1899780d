"""A small market of models for tests of decisions: two providers, three tiers, made-up prices; and what may be asked of it."""

from __future__ import annotations

from datetime import UTC, datetime, time

from hypothesis import strategies as st

from p402.decisions import (
    KINDS,
    Ability,
    Action,
    AtCap,
    Catalogue,
    Condition,
    FailMode,
    Funds,
    Measure,
    Mode,
    Model,
    Policy,
    Question,
    RateCard,
    Rule,
    Rules,
    Rung,
    Strategy,
    Tier,
)
from p402.vocabulary import Attribution

__all__ = ["CATALOGUE", "MARKET", "MONDAY", "calls", "card_for", "funds", "models", "named", "policies", "rules_for"]

MONDAY = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)

_ALL = frozenset(Ability) - {Ability.EMBEDDING}


def _model(provider: str, name: str, tier: Tier, context: int, output: int, *needs: Ability, least: int = 256) -> Model:
    return Model(
        provider=provider,
        model=name,
        tier=tier,
        context_tokens=context,
        max_output_tokens=output,
        abilities=frozenset(needs),
        least_output_tokens=least,
    )


MARKET = (
    _model("acorn", "oak", Tier.PREMIUM, 200_000, 64_000, *_ALL, least=1_024),
    _model("acorn", "elm", Tier.STANDARD, 200_000, 32_000, Ability.TOOLS, Ability.JSON, Ability.VISION),
    _model("acorn", "moss", Tier.ECONOMY, 32_000, 8_000, Ability.TOOLS),
    _model("acorn", "old-elm", Tier.STANDARD, 16_000, 4_000, Ability.TOOLS),
    _model("acorn", "ring-embed", Tier.ECONOMY, 8_000, 0, Ability.EMBEDDING),
    _model("birch", "trunk", Tier.PREMIUM, 100_000, 16_000, *_ALL),
    _model("birch", "leaf", Tier.ECONOMY, 100_000, 16_000, *_ALL),
    _model("birch", "bud", Tier.ECONOMY, 100_000, 16_000),  # nobody knows what it costs
)
CATALOGUE = Catalogue(MARKET)

_PRICES = {  # nano-USD for a token in, a token out
    "oak": (5_000, 25_000),
    "elm": (1_000, 5_000),
    "moss": (100, 500),
    "old-elm": (8_000, 40_000),
    "ring-embed": (20, 0),
    "trunk": (4_000, 20_000),
    "leaf": (50, 400),
}


def named(name: str) -> Model:
    """Give a model of the market."""
    return next(model for model in MARKET if model.model == name)


def card_for(provider: str, name: str, service_tier: str | None) -> RateCard | None:
    """Give the made-up prices; a gateway passes on what its models cost."""
    name = name.rpartition("/")[2]
    if service_tier == "batch" or name not in _PRICES or provider not in ("acorn", "birch", "litellm"):
        return None
    if provider != "litellm" and named(name).provider != provider:
        return None
    price_in, price_out = _PRICES[name]
    rates = {"input_tokens": price_in, "output_tokens": price_out, "cache_read_input_tokens": -price_in // 2}
    return RateCard(decimals=0, rates=tuple(rates.get(kind, 0) for kind in KINDS))


def rules_for(policy: Policy) -> Rules:
    """Put a policy to work on this market."""
    return Rules(policy, CATALOGUE, card_for)


# --- what may be asked, for property tests

_tiers = st.none() | st.sampled_from(Tier)
_names = st.sampled_from(["oak", "elm", "moss", "old-elm", "ring-embed", "trunk", "leaf", "bud", "fern"])
_patterns = st.sampled_from(["oak", "elm", "*elm", "moss", "*", "leaf", "t*k", "fern"])
_providers = st.sampled_from(["acorn", "birch", "litellm", "*"])
_words = st.sampled_from(["chat", "summarisation", "code_review"])
_secrecy = st.sampled_from(["public", "secret"])


def _some(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strategy, max_size=2).map(tuple)


calls = st.builds(
    Question,
    attribution=st.just(Attribution(organisation="acme", department="legal")),
    provider=st.sampled_from(["acorn", "birch"]),
    model=_names,
    operation=st.sampled_from(["chat", "chat", "chat", "embeddings"]),
    input_tokens=st.none() | st.integers(0, 250_000),
    output_tokens=st.none() | st.integers(1, 70_000),
    choices=st.integers(1, 3),
    needs=st.frozensets(st.sampled_from([Ability.TOOLS, Ability.JSON, Ability.VISION, Ability.AUDIO]), max_size=2),
    can_clamp=st.booleans(),
    can_change_model=st.booleans(),
    writes_cache=st.booleans(),
    media=st.booleans(),
    service_tier=st.sampled_from([None, None, "batch"]),
    task_type=st.none() | _words,
    complexity=st.none() | st.integers(0, 10),
    data_class=st.none() | _secrecy,
)

_conditions = st.builds(
    Condition,
    task_types=_some(_words),
    complexity_from=st.none() | st.integers(0, 10),
    complexity_to=st.none() | st.integers(0, 10),
    data_classes=_some(_secrecy),
    models=_some(_patterns),
    providers=_some(_providers),
    weekdays=st.lists(st.integers(1, 7), max_size=3, unique=True).map(tuple),
    time_from=st.none() | st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    time_to=st.none() | st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
)
_actions = st.builds(
    Action, block=st.none() | st.just("not here"), model=st.none() | _names, min_tier=_tiers, max_tier=_tiers
)
policies = st.builds(
    Policy,
    name=st.just("legal"),
    version=st.integers(0, 9),
    mode=st.sampled_from(Mode),
    strategy=st.sampled_from(Strategy),
    min_tier=_tiers,
    max_tier=_tiers,
    allowed_models=_some(_patterns),
    denied_models=_some(_patterns),
    allowed_providers=_some(_providers),
    denied_providers=_some(_providers),
    data_classes=st.dictionaries(_secrecy, st.lists(_providers, min_size=1, max_size=2).map(tuple), max_size=1),
    rules=st.lists(
        st.builds(Rule, name=st.sampled_from(["first", "second"]), when=_conditions, then=_actions), max_size=3
    ).map(tuple),
    at_cap=st.builds(
        AtCap,
        rungs=st.lists(st.sampled_from(Rung), max_size=3, unique=True).map(tuple),
        least_output_tokens=st.integers(1, 5_000),
        wait_seconds=st.sampled_from([0.5, 2.0]),
    ),
    fail_mode=st.none() | st.sampled_from(FailMode),
)

_amounts = st.dictionaries(
    st.sampled_from(Measure), st.integers(0, 3_000_000_000) | st.integers(0, 100_000), max_size=3
)


def _funds(left: dict[Measure, int], held: dict[Measure, int], ceiling: dict[Measure, int]) -> Funds:
    coming = {measure: amount + held.get(measure, 0) for measure, amount in left.items()}
    return Funds(left=left, coming=coming, ceiling=ceiling, budget={Measure.COST: "legal-month"})


funds = st.builds(
    lambda money, hard: money._replace(hard=hard), st.builds(_funds, _amounts, _amounts, _amounts), st.booleans()
)

models = st.builds(
    Model,
    provider=st.sampled_from(["acorn", "birch"]),
    model=st.text("abc-.", min_size=1, max_size=8),
    tier=st.sampled_from(Tier),
    context_tokens=st.integers(0, 10**7),
    max_output_tokens=st.integers(0, 10**6),
    abilities=st.frozensets(st.sampled_from(Ability)),
    least_output_tokens=st.integers(0, 10**4),
    aliases=st.lists(st.text("abc", min_size=1, max_size=4), max_size=2).map(tuple),
    vendor=st.sampled_from(["", "acorn"]),
    offered=st.booleans(),
)
