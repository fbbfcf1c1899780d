"""What is said to the collector and what it answers: JSON ↔ the rules' own types (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from p402.decisions import (
    DEFAULT_POLICY,
    Catalogue,
    Code,
    Decision,
    Measure,
    Model,
    Policy,
    Question,
    RateCard,
    Verdict,
    policy_from_wire,
)
from p402.vocabulary import Level, Money

__all__ = ["LEASE_SECONDS", "Answer", "CardKey", "Granted", "RulesTold", "ask", "read_answer", "settlement"]

LEASE_SECONDS = 30
"""For how long money is asked for."""

CardKey = tuple[str, str, str | None]
"""Provider, model, service tier."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease as it was granted."""

    id: str
    amounts: Mapping[Measure, int]
    seconds: float
    """For how long, from the moment of asking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesTold:
    """What applies to a department's calls."""

    organisation: str
    department: str | None
    """As the collector knows it: its directory may say whose department an employee's calls are."""
    by_employee: bool
    """Whether calls that name no department may be of several, each by its employee."""
    version: int
    levels: tuple[str, ...]
    """Calls that agree on these share leases."""
    policy: Policy
    catalogue: Catalogue
    cards: Mapping[CardKey, RateCard]
    ceilings: Mapping[Measure, int]
    hard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the collector says to a question."""

    decision: Decision
    lease: Granted | None
    rules: RulesTold | None
    """None if those that the asker has are current."""
    card: RateCard | None
    """Prices of the model that was asked for."""
    retry_after: float = field(default=0.25)


def ask(question: Question, rules_version: int | None) -> dict[str, Any]:
    """Write the body of ``POST /v1/leases``."""
    return {"question": question.to_wire(), "rules_version": rules_version, "expires_in_seconds": LEASE_SECONDS}


def settlement(calls: int, keep: Mapping[Measure, int]) -> dict[str, Any]:
    """Write the body of ``POST /v1/leases/{id}/settle``."""
    return {"calls": calls, "keep": {measure.value: _told(measure, amount) for measure, amount in keep.items()}}


def read_answer(wire: Mapping[str, Any], now: datetime, *, with_rules: bool) -> Answer:
    """Read the answer to a question.

    Args:
        wire: parsed JSON.
        now: for when the answer does not say when it was given.
        with_rules: whether it must bring rules, because the asker has none.

    Raises:
        ValueError, KeyError, TypeError: if it is something else.
    """
    decided, lease, rules, card = wire["decision"], wire.get("lease"), wire.get("rules"), wire.get("card")
    if with_rules and rules is None:
        raise ValueError("The answer brings no rules.")
    decision = Decision(
        verdict=Verdict(decided["verdict"]),
        code=Code(decided["code"]),
        rationale=decided["rationale"],
        model=decided["model"],
        output_tokens=decided.get("output_tokens"),
        holds=_amounts(decided.get("holds") or {}),
        would=decided.get("would"),
    )
    granted = None
    if lease is not None:
        given_at = datetime.fromisoformat(decided["decided_at"]) if "decided_at" in decided else now
        seconds = (datetime.fromisoformat(lease["expires_at"]) - given_at).total_seconds()
        granted = Granted(lease["id"], _amounts(lease["amounts"]), min(seconds, LEASE_SECONDS))
    return Answer(
        decision=decision,
        lease=granted,
        rules=None if rules is None else _rules(rules),
        card=None if card is None else RateCard.from_wire(card["card"]),
        retry_after=float(decided.get("retry_after_seconds") or 0.25),
    )


def _rules(wire: Mapping[str, Any]) -> RulesTold:
    policy = policy_from_wire(wire["policy"])
    return RulesTold(
        organisation=wire["organisation"],
        department=wire.get("department"),
        by_employee=bool(wire.get("by_employee")),
        version=int(wire["version"]),
        levels=tuple(Level(level).value for level in wire["levels"]),
        policy=DEFAULT_POLICY if policy == DEFAULT_POLICY else policy,
        catalogue=Catalogue(map(Model.from_wire, wire["catalogue"])),
        cards=_cards(wire["cards"]),
        ceilings=_amounts(wire["ceilings"]),
        hard=bool(wire["hard"]),
    )


def _cards(wire: Sequence[Mapping[str, Any]]) -> dict[CardKey, RateCard]:
    return {(one["provider"], one["model"], one.get("service_tier")): RateCard.from_wire(one["card"]) for one in wire}


def _amounts(wire: Mapping[str, str]) -> dict[Measure, int]:
    return {
        (measure := Measure(name)): Money.parse(amount).nano_usd if measure is Measure.COST else int(amount)
        for name, amount in wire.items()
    }


def _told(measure: Measure, amount: int) -> str:
    return str(Money(amount)) if measure is Measure.COST else str(amount)
