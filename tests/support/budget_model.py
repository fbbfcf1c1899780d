"""What budgets must come to, worked out in plain Python from the facts: who spent what, and who holds what for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from p402.collector.budgets.definition import BudgetDefinition, amount_of

HELD = -1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OFFSETS = {"UTC": timedelta(0), "Asia/Kolkata": timedelta(hours=5, minutes=30)}
ROLLING = {"60s": (60, 1), "15m": (900, 15), "24h": (86_400, 3_600)}
"""Length and slice in seconds."""

Who = Mapping[str, str]
Place = tuple[int, str, int]
"""Budget, node, start of the account."""


@dataclass
class ABudget:
    """A budget as it is now; its cap may change."""

    id: int
    definition: BudgetDefinition
    facts_before: int
    """How many facts there were when it was made."""
    overrides: list[tuple[int, datetime]] = field(default_factory=list)

    def node(self, who: Who) -> str | None:
        """Whose account a call belongs to; None: the budget does not count it."""
        written = self.definition
        if any(who.get(level.value) != node for level, node in written.within.items()):
            return None
        if written.level == "request":
            return ""
        node = who.get(written.level.value)
        return node if written.node in ("*", node) else None

    @property
    def counts_spend(self) -> bool:
        return self.definition.level != "request" and self.definition.measure != "concurrency"

    @property
    def rolls(self) -> bool:
        return self.definition.period == "rolling"

    def cap(self, at: datetime) -> int:
        cap = amount_of(self.definition.measure, self.definition.cap)
        return cap + sum(amount for amount, until in self.overrides if at < until)

    def start(self, at: datetime) -> int:
        """Start of the account of something that is spent at a time."""
        seconds = int((at - EPOCH).total_seconds())
        if self.rolls:
            slice_ = ROLLING[self.definition.length or ""][1]
            return seconds // slice_ * slice_ * 1000
        return int((self._begin(at) - EPOCH).total_seconds()) * 1000

    def since(self, at: datetime) -> int:
        """Start of the oldest account that counts at a time."""
        if not self.rolls:
            return self.start(at)
        length, slice_ = ROLLING[self.definition.length or ""]
        return (int((at - EPOCH).total_seconds()) - length) // slice_ * slice_ * 1000

    def end(self, at: datetime) -> datetime | None:
        """When the period that a time lies in is over."""
        begin = self._begin(at)
        match self.definition.period.value:
            case "day":
                return begin + timedelta(days=1)
            case "week":
                return begin + timedelta(days=7)
            case "month":
                return self._begin(begin + timedelta(days=32))
        return None

    def forgets(self, expires_at: datetime) -> datetime | None:
        """When the calls of a lease that expires at a time do not count any more, whatever they were."""
        if self.definition.measure == "concurrency":
            return expires_at
        return expires_at + timedelta(seconds=ROLLING[self.definition.length or ""][0]) if self.rolls else None

    def _begin(self, at: datetime) -> datetime:
        offset = OFFSETS[self.definition.time_zone]
        day = (at + offset).replace(hour=0, minute=0, second=0, microsecond=0)
        match self.definition.period.value:
            case "total" | "rolling":
                return EPOCH
            case "week":
                day -= timedelta(days=day.weekday())
            case "month":
                day = day.replace(day=1)
        return day - offset


@dataclass
class ALease:
    """A hold and what is left of it, by budget."""

    id: str
    kind: str
    key: str
    who: Who
    expires_at: datetime
    holds: dict[int, AHold]
    state: str = "open"
    calls: int = 0
    changed_at: datetime = EPOCH


@dataclass
class AHold:
    node: str
    start: int
    remaining: int
    until: datetime | None


@dataclass
class AFact:
    """A charge, and where it was put when it came."""

    who: Who
    at: datetime
    amounts: Mapping[str, int]
    key: str
    lease: str | None
    """As it was named."""
    placed: dict[int, tuple[str, int]] = field(default_factory=dict)


@dataclass
class Model:
    """Everything that happened to an organisation."""

    budgets: dict[str, ABudget] = field(default_factory=dict)
    facts: list[AFact] = field(default_factory=list)
    leases: dict[str, ALease] = field(default_factory=dict)
    overruns: Counter[tuple[int, str]] = field(default_factory=Counter)

    def path(self, who: Who) -> Iterator[tuple[ABudget, str]]:
        for budget in self.budgets.values():
            node = budget.node(who)
            if node is not None:
                yield budget, node

    def spent_in(self, budget: ABudget, node: str, start: int) -> int:
        """What one account has spent."""
        measure = budget.definition.measure.value
        if not budget.counts_spend:
            return 0
        return sum(
            fact.amounts[measure]
            for number, fact in enumerate(self.facts)
            if self._place(budget, fact, number) == (node, start)
        )

    def spent(self, budget: ABudget, node: str, at: datetime) -> int:
        """What counts as spent at a time."""
        if not budget.rolls:
            return self.spent_in(budget, node, budget.start(at))
        measure, since = budget.definition.measure.value, budget.since(at)
        return sum(
            fact.amounts[measure]
            for fact in self.facts
            if budget.counts_spend and budget.node(fact.who) == node and budget.start(fact.at) >= since
        )

    def holding(self, budget_id: int, node: str, start: int, state: str) -> int:
        """What leases of a state hold in an account."""
        return sum(
            hold.remaining
            for lease in self.leases.values()
            for id_, hold in lease.holds.items()
            if lease.state == state and (id_, hold.node, hold.start) == (budget_id, node, start)
        )

    def taken(self, budget: ABudget, node: str, at: datetime) -> int:
        """What counts against the cap."""
        start = HELD if budget.rolls else budget.start(at)
        held = sum(self.holding(budget.id, node, start, state) for state in ("open", "unreconciled"))
        return self.spent(budget, node, at) + held

    # --- what happens

    def opened(
        self, id_: str, kind: str, key: str, who: Who, amounts: Mapping[str, int], longest: timedelta, at: datetime
    ) -> ALease:
        """Money was moved into a lease."""
        accounts = [
            (budget, node)
            for budget, node in self.path(who)
            if budget.definition.level != "request" and budget.definition.measure.value in amounts
        ]
        ends = [end for budget, _ in accounts if not budget.rolls and (end := budget.end(at)) is not None]
        if kind == "lease":
            ends += [until for budget, _ in self.path(who) for _, until in budget.overrides if until > at]
        expires_at = min([at + longest, *ends])
        holds = {
            budget.id: AHold(
                node,
                HELD if budget.rolls else budget.start(at),
                amounts[budget.definition.measure.value],
                budget.forgets(expires_at),
            )
            for budget, node in accounts
        }
        lease = self.leases[id_] = ALease(id_, kind, key, who, expires_at, holds)
        return lease

    def charged(self, facts: Iterable[AFact], at: datetime) -> None:
        """Charges came together."""
        before = {
            (budget.id, node, None if budget.rolls else start): self._spent_at(budget, node, start, at)
            for fact in facts
            for budget, node, start in self._places(fact, self._lease(fact.lease, fact.key))
        }
        touched = set(before)
        for fact in facts:
            lease = self._lease(fact.lease, fact.key)
            for budget, node, start in self._places(fact, lease):
                fact.placed[budget.id] = node, start
            if lease is not None:
                self._take(lease, fact, at)
                self._came(lease)
            self.facts.append(fact)
        for budget in self.budgets.values():
            for key_ in (place for place in touched if place[0] == budget.id):
                if budget.definition.mode.value == "enforce":
                    spent, cap = self._spent_at(budget, key_[1], key_[2] or 0, at), budget.cap(at)
                    self.overruns[budget.id, key_[1]] += max(0, spent - cap) - max(0, before[key_] - cap)

    def told_again(self, fact: AFact, lease_id: str, key: str, at: datetime, *, agrees: bool) -> None:
        """Somebody reported a call that is charged, under a lease."""
        lease = self._lease(lease_id, key)
        if lease is None or key != fact.key or (lease.kind != "lease" and lease.calls):
            return
        named = fact.lease is not None
        if not named:
            fact.lease = lease_id
            self._take(lease, fact, at)
        if agrees and not (named and lease.kind == "lease"):
            lease.changed_at = at
            self._came(lease)

    def _take(self, lease: ALease, fact: AFact, at: datetime) -> None:
        lease.changed_at = at
        for budget, node in self.path(fact.who):
            hold = lease.holds.get(budget.id)
            if budget.counts_spend and hold is not None and hold.node == node:
                hold.remaining -= min(hold.remaining, fact.amounts[budget.definition.measure.value])

    def _came(self, lease: ALease) -> None:
        lease.calls += 1
        if lease.kind != "lease":
            self.let_go(lease, {})

    def let_go(self, lease: ALease, keep: Mapping[int, int]) -> None:
        """What is not kept is free again."""
        for budget_id, hold in lease.holds.items():
            hold.remaining = min(hold.remaining, keep.get(budget_id, 0))
        if not any(keep.values()):
            lease.state = "closed"

    def expired(self, at: datetime, settle_within: timedelta, grace: timedelta) -> None:
        """Somebody looked at the time."""
        for lease in self.leases.values():
            if lease.state == "open" and lease.expires_at < at - settle_within:
                self._age(lease, at)
                if lease.kind == "authorize":
                    self.let_go(lease, {})
                lease.state = "unreconciled" if any(hold.remaining for hold in lease.holds.values()) else "closed"
                lease.changed_at = at
            if lease.state == "unreconciled" and self._age(lease, at):
                lease.state = "unreconciled" if any(hold.remaining for hold in lease.holds.values()) else "closed"
            if lease.state == "unreconciled" and lease.changed_at <= at - grace:
                self.let_go(lease, {})

    @staticmethod
    def _age(lease: ALease, at: datetime) -> bool:
        old = [hold for hold in lease.holds.values() if hold.remaining and hold.until is not None and hold.until <= at]
        for hold in old:
            hold.remaining = 0
        return bool(old)

    def _lease(self, lease_id: str | None, key: str) -> ALease | None:
        lease = self.leases.get(lease_id or "")
        return lease if lease is not None and lease.key == key else None

    def _places(self, fact: AFact, lease: ALease | None) -> list[tuple[ABudget, str, int]]:
        """The accounts that a new charge goes to: that of its hold, else that of the moment when the call began."""
        found = []
        for budget, node in self.path(fact.who):
            if budget.counts_spend:
                hold = lease.holds.get(budget.id) if lease else None
                mine = hold is not None and hold.node == node and not budget.rolls
                found.append((budget, node, hold.start if mine and hold else budget.start(fact.at)))
        return found

    def _place(self, budget: ABudget, fact: AFact, number: int) -> tuple[str, int] | None:
        if number >= budget.facts_before:
            return fact.placed.get(budget.id)
        node = budget.node(fact.who)
        return None if node is None else (node, budget.start(fact.at))

    def _spent_at(self, budget: ABudget, node: str, start: int, at: datetime) -> int:
        return self.spent(budget, node, at) if budget.rolls else self.spent_in(budget, node, start)
