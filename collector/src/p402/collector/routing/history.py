"""What a policy would have made of calls that were made: recorded charges, run through it (pure).

Recorded charges do not tell all that a request does. What a call needed beyond its text (tools, a required shape, images)
is not among it, so a move may turn out not to be possible; and a rule about complexity cannot be judged where nobody
computed it. A call that is moved is assumed to use as many tokens as it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from p402.collector.pricing import PriceBook, Priced
from p402.decisions import (
    Ability,
    Catalogue,
    Decision,
    Funds,
    Mode,
    Policy,
    Question,
    RateCard,
    Rules,
    Verdict,
    decide,
)
from p402.vocabulary import Charge, Money

__all__ = ["Example", "History", "Move", "Tally", "replayed"]

_MOST_EXAMPLES = 3  # of each verdict
_NO_FUNDS = Funds()
_NOTHING = Money(0)


@dataclass(slots=True)
class Tally:
    """Calls, and what they cost as recorded; calls without a known price count, and add nothing."""

    calls: int = 0
    unpriced: int = 0
    cost: Money = _NOTHING

    def add(self, cost: Money | None) -> None:
        """Count one call."""
        self.calls += 1
        if cost is None:
            self.unpriced += 1
        else:
            self.cost += cost


@dataclass(slots=True)
class Move:
    """Calls that would have had another model."""

    calls: int = 0
    incomparable: int = 0
    """Calls whose price before or after is not known; they are not in the costs."""
    before: Money = _NOTHING
    after: Money = _NOTHING


@dataclass(frozen=True, slots=True)
class Example:
    """One call as it was, and what would have become of it."""

    seq: int
    charge: Charge
    decision: Decision


@dataclass(slots=True)
class History:
    """What would have become of the calls of a period."""

    looked_at: Tally = field(default_factory=Tally)
    verdicts: dict[Verdict, Tally] = field(default_factory=dict)
    moves: dict[tuple[str, str, str], Move] = field(default_factory=dict)
    """By provider, model before, model after."""
    rules: Counter[str] = field(default_factory=Counter)
    """How many calls each rule applied to."""
    without_complexity: Tally = field(default_factory=Tally)
    """Calls that a rule about complexity could decide, but whose complexity nobody computed: not judged."""
    examples: list[Example] = field(default_factory=list)


PolicyFor = Callable[[str | None], Policy]
"""Gives the policy of a department."""


class _Replay:
    """Runs charges through policies, remembering what is the same for many."""

    def __init__(self, policy_for: PolicyFor, catalogue: Catalogue, prices: PriceBook) -> None:
        self._policy_for = policy_for
        self._catalogue = catalogue
        self._prices = prices
        self._rules: dict[tuple[str | None, datetime], Rules] = {}
        self.found = History()

    def add(self, seq: int, charge: Charge) -> None:
        found = self.found
        found.looked_at.add(charge.cost)
        rules = self._rules_for(charge)
        question = _question(charge)
        if _hangs_on_complexity(question, rules.policy, charge.started_at):
            found.without_complexity.add(charge.cost)
            return
        decision = decide(question, rules, _NO_FUNDS, charge.started_at)
        tally = found.verdicts.setdefault(decision.verdict, Tally())
        tally.add(charge.cost)
        if (rule := rules.policy.rule_for(question, charge.started_at)) is not None:
            found.rules[rule.name] += 1
        changed = decision.model != question.model
        if changed:
            self._add_move(charge, question, decision)
        if (changed or not decision.goes_ahead) and tally.calls <= _MOST_EXAMPLES:
            found.examples.append(Example(seq, charge, decision))

    def _add_move(self, charge: Charge, question: Question, decision: Decision) -> None:
        move = self.found.moves.setdefault((charge.provider, question.model, decision.model), Move())
        move.calls += 1
        after = self._prices.price(
            charge.provider, decision.model, charge.usage, charge.started_at, charge.service_tier
        )
        if charge.cost is None or not isinstance(after, Priced):
            move.incomparable += 1
        else:
            move.before += charge.cost
            move.after += after.cost

    def _rules_for(self, charge: Charge) -> Rules:
        """Kept as long as no price changes, so that a month's worth of calls does not rank the models anew for each."""
        at = charge.started_at
        key = charge.attribution.department, self._prices.span(at).since
        rules = self._rules.get(key)
        if rules is None:

            def card_for(provider: str, model: str, service_tier: str | None) -> RateCard | None:
                card = self._prices.card(provider, model, at, service_tier)
                return card if isinstance(card, RateCard) else None

            policy = replace(self._policy_for(charge.attribution.department), mode=Mode.ENFORCE)
            rules = self._rules[key] = Rules(policy, self._catalogue, card_for)
        return rules


def replayed(charges: Mapping[int, Charge], policy_for: PolicyFor, catalogue: Catalogue, prices: PriceBook) -> History:
    """Run charges (by their sequence numbers) through the policies of their departments, as if these were enforced."""
    replay = _Replay(policy_for, catalogue, prices)
    for seq, charge in charges.items():
        replay.add(seq, charge)
    return replay.found


def _question(charge: Charge) -> Question:
    usage = charge.usage
    needs = set()
    if usage.audio_input_tokens:
        needs.add(Ability.AUDIO)
    if usage.image_input_tokens:
        needs.add(Ability.VISION)
    return Question(
        attribution=charge.attribution,
        provider=charge.provider,
        model=charge.request_model or charge.model,
        operation=charge.operation,
        input_tokens=usage.input_tokens,
        output_tokens=None if charge.operation == "embeddings" else usage.output_tokens,
        needs=frozenset(needs),
        service_tier=charge.service_tier,
        task_type=charge.task_type,
        complexity=charge.complexity,
        data_class=charge.data_class,
    )


def _hangs_on_complexity(question: Question, policy: Policy, at: datetime) -> bool:
    """Tell whether a rule about complexity could be the first that applies to a call whose complexity is not known."""
    if question.complexity is not None:
        return False
    for rule in policy.rules:
        asks = rule.when.complexity_from is not None or rule.when.complexity_to is not None
        if asks and replace(rule.when, complexity_from=None, complexity_to=None).holds(question, at):
            return True
        if not asks and rule.when.holds(question, at):
            return False
    return False
