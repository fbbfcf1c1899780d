"""What is known of a department's rules, and of the limits and leases that calls with one attribution share."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from p402.decisions import DEFAULT_POLICY, Decision, Measure, Question, RateCard, Rules, Verdict
from p402.instrumentation.feedback.admission import Pending
from p402.instrumentation.feedback.leases import Lease
from p402.instrumentation.feedback.wire import Answer, CardKey, Granted, Limits, RulesTold
from p402.vocabulary import Attribution, Level

__all__ = ["KnownRules", "Scope", "ScopeKey", "card_key"]

ScopeKey = tuple[str | None, ...]
"""Organisation, department, and the ids at the levels that have budgets."""

_TIGHT = 4  # calls; a lease for fewer says that little is left


class KnownRules:
    """The rules of a department, with prices as they become known."""

    def __init__(self, told: RulesTold, asked: Question, now: float, current_until: float) -> None:
        self.organisation, self.department = told.organisation, told.department
        """As the collector knows them: a key may be bound to others than the application names."""
        self.version = told.version
        self.levels = told.levels
        self.attributes = tuple(Level(level).attribute for level in told.levels)
        self.policy = told.policy
        self.limits = told.limits
        """For calls of which an older collector does not tell their own."""
        self.may_be_hard = told.limits.hard
        """Whether some budget of some of its calls must hold for every call."""
        self.cards: dict[CardKey, RateCard | None] = dict(told.cards)
        self.tiers = {asked.service_tier}
        """Service tiers whose prices are known."""
        self.checked_at = now
        """When the collector last said that they are current."""
        self.current_until = current_until
        """When prices change, though no rules do."""
        self.stale = False
        """Whether they have changed; they only tell the fail mode then."""
        self.rules = Rules(told.policy, told.catalogue, self._card)

    def scope_key(self, attribution: Attribution) -> ScopeKey:
        """Name what calls with this attribution share."""
        return (
            attribution.organisation,
            attribution.department,
            *[getattr(attribution, level) for level in self.levels],
        )

    def suffices(self, question: Question) -> bool:
        """Tell whether all prices are known that a decision about this question may need."""
        return question.service_tier in self.tiers and card_key(question) in self.cards

    def is_outdated_by(self, told: RulesTold, asked_at: float) -> bool:
        """Tell whether an answer's rules are others than these."""
        return self.stale or self.version != told.version or asked_at >= self.current_until

    def learn(self, answer: Answer, question: Question, now: float) -> None:
        """Add what an answer tells beside its decision."""
        self.checked_at = now
        if answer.rules is not None:
            self.cards.update(answer.rules.cards)
            self.tiers.add(question.service_tier)
        if answer.card is not None:
            self.cards[card_key(question)] = answer.card
        else:
            self.cards.setdefault(card_key(question), None)
        if answer.limits is not None:
            self.may_be_hard = self.may_be_hard or answer.limits.hard

    def _card(self, provider: str, model: str, service_tier: str | None) -> RateCard | None:
        return self.cards.get((provider, model, service_tier))


@dataclass(slots=True)
class Scope:
    """Calls that share limits and leases."""

    known: KnownRules
    limits: Limits
    """As last told; before that, whether a budget may be hard."""
    leases: tuple[Lease, ...] = ()
    """Newest first; changed by putting another tuple in its place."""
    is_free: bool = False
    """Whether no budget limits these calls, apart from ceilings for each."""
    is_trivial: bool = False
    """Whether nothing is to be decided about them."""
    current_until: float = math.inf
    """When limits or prices change, though no rules do."""
    is_tight: bool = False
    """Whether little is left, so that money goes back as soon as a call has finished."""
    asking: int = 0
    """How many requests for leases are under way."""
    used_at: float = 0.0
    quiet_until: float = 0.0
    """No lease is asked for ahead before this."""
    last: Question | None = None
    queue: deque[Pending] = field(default_factory=deque)
    """Calls that wait for their turn to ask."""
    sleeping: deque[Pending] = field(default_factory=deque)
    """Calls that wait for money to come back."""

    @property
    def askers(self) -> int:
        """How many of these calls may ask at once: where much is left, one answer suffices for many."""
        return 2 if self.is_tight else 1

    def learn(self, answer: Answer, asked_at: float) -> None:
        """Take over what limits these calls, and tell from an answer whether little is left."""
        decision = answer.decision
        self.limits = self.known.limits if answer.limits is None else answer.limits
        self.current_until = min(self.known.current_until, asked_at + answer.current_seconds)
        self.is_free = answer.lease is None and decision.goes_ahead
        self.is_trivial = self.is_free and self.known.policy is DEFAULT_POLICY and not self.limits.ceilings
        self.is_tight = decision.verdict in (Verdict.WAIT, Verdict.BLOCK, Verdict.CLAMP) or (
            answer.lease is not None and _is_little(answer.lease, decision)
        )


def _is_little(granted: Granted, decision: Decision) -> bool:
    return any(
        amount < _TIGHT * decision.holds[measure]
        for measure, amount in granted.amounts.items()
        if measure in decision.holds and measure is not Measure.CONCURRENCY
    )


def card_key(question: Question) -> CardKey:
    """Name the prices that a question is about."""
    return question.provider, question.model, question.service_tier
