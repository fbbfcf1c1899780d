"""What is known of a department's rules, and of the leases that calls with one attribution share."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from p402.decisions import DEFAULT_POLICY, Decision, Measure, Question, RateCard, Rules, Verdict
from p402.instrumentation.feedback.admission import Pending
from p402.instrumentation.feedback.leases import Lease
from p402.instrumentation.feedback.wire import CardKey, Granted, RulesTold
from p402.vocabulary import Attribution, Level

__all__ = ["KnownRules", "Scope", "ScopeKey", "card_key"]

ScopeKey = tuple[str | None, ...]
"""Organisation, department, and the ids at the levels that have budgets."""

_TIGHT = 4  # calls; a lease for fewer says that little is left


class KnownRules:
    """The rules of a department, with prices as they become known."""

    def __init__(self, told: RulesTold, asked: Question, now: float) -> None:
        self.organisation, self.department = told.organisation, told.department
        """As the collector knows them: a key may be bound to others than the application names."""
        self.version = told.version
        self.levels = told.levels
        self.attributes = tuple(Level(level).attribute for level in told.levels)
        self.policy = told.policy
        self.ceilings = dict(told.ceilings)
        self.hard = told.hard
        self.cards: dict[CardKey, RateCard | None] = dict(told.cards)
        self.tiers = {asked.service_tier}
        """Service tiers whose prices are known."""
        self.checked_at = now
        """When the collector last said that they are current."""
        self.stale = False
        """Whether they have changed; they only tell the fail mode then."""
        self.rules = Rules(told.policy, told.catalogue, self._card)
        self.is_trivial = told.policy is DEFAULT_POLICY and not told.ceilings
        """Whether nothing is to be decided where no budget limits."""

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

    def learn(self, told: RulesTold | None, question: Question, card: RateCard | None, now: float) -> None:
        """Add what an answer tells beside its decision."""
        self.checked_at = now
        if told is not None:
            self.cards.update(told.cards)
            self.tiers.add(question.service_tier)
        if card is not None:
            self.cards[card_key(question)] = card
        else:
            self.cards.setdefault(card_key(question), None)

    def _card(self, provider: str, model: str, service_tier: str | None) -> RateCard | None:
        return self.cards.get((provider, model, service_tier))


@dataclass(slots=True)
class Scope:
    """Calls that share leases."""

    known: KnownRules
    leases: tuple[Lease, ...] = ()
    """Newest first; changed by putting another tuple in its place."""
    is_free: bool = False
    """Whether no budget limits these calls."""
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

    def judge(self, decision: Decision, granted: Granted | None) -> None:
        """Tell from an answer whether little is left."""
        self.is_tight = decision.verdict in (Verdict.WAIT, Verdict.BLOCK, Verdict.CLAMP) or (
            granted is not None
            and any(
                amount < _TIGHT * decision.holds[measure]
                for measure, amount in granted.amounts.items()
                if measure in decision.holds and measure is not Measure.CONCURRENCY
            )
        )


def card_key(question: Question) -> CardKey:
    """Name the prices that a question is about."""
    return question.provider, question.model, question.service_tier
