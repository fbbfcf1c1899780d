"""Which tiers of models are used for what kind of work, from sums by department, task type, provider and model (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from p402.collector.usage.slices import UsageSum
from p402.decisions import Tier
from p402.vocabulary import Money

__all__ = ["Part", "Work", "work_by_tier"]

_NOTHING = Money(0)


@dataclass(frozen=True, slots=True)
class Part:
    """Calls of one tier, or of one model."""

    calls: int = 0
    cost: Money = _NOTHING
    unpriced: int = 0

    def __add__(self, other: Part) -> Part:
        return Part(self.calls + other.calls, self.cost + other.cost, self.unpriced + other.unpriced)


@dataclass(frozen=True, slots=True)
class Work:
    """What one department used for one kind of work; ``""`` is the unattributed or unknown one."""

    department: str
    task_type: str
    total: Part
    tiers: Mapping[Tier | None, Part] = field(default_factory=dict)
    """None: models that the catalogue does not list."""
    models: Mapping[tuple[str, str], Part] = field(default_factory=dict)
    """By provider and model, the dearest first."""

    @property
    def premium(self) -> Part:
        """Of premium models."""
        return self.tiers.get(Tier.PREMIUM, Part())


def work_by_tier(sums: Iterable[UsageSum], tier_of: Callable[[str, str], Tier | None]) -> list[Work]:
    """Tell apart which tiers were used for what, where most was spent on premium models first.

    Args:
        sums: by department, task type, provider and model, in this order.
        tier_of: gives the tier of a model by its provider and name; None if it is not listed.
    """
    tiers: defaultdict[tuple[str, str], defaultdict[Tier | None, Part]] = defaultdict(lambda: defaultdict(Part))
    models: defaultdict[tuple[str, str], dict[tuple[str, str], Part]] = defaultdict(dict)
    for one in sums:
        department, task_type, provider, model = map(str, one.by)
        part = Part(one.charges, one.cost, one.unpriced_charges)
        tiers[department, task_type][tier_of(provider, model)] += part
        models[department, task_type][provider, model] = part
    found = []
    for key, by_tier in tiers.items():
        dearest = sorted(models[key].items(), key=lambda item: (-item[1].cost.nano_usd, item[0]))
        found.append(Work(*key, sum(by_tier.values(), Part()), dict(by_tier), dict(dearest)))
    return sorted(
        found,
        key=lambda work: (-work.premium.cost.nano_usd, -work.total.cost.nano_usd, work.department, work.task_type),
    )
