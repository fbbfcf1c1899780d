"""Premium models are told apart by department and type of task."""

from __future__ import annotations

from p402.collector.usage.slices import UsageSum
from p402.collector.usage.tiers import work_by_tier
from p402.decisions import Tier
from p402.vocabulary import Money

TIERS = {"opus": Tier.PREMIUM, "haiku": Tier.ECONOMY}


def used(department: str, task_type: str, model: str, cents: int, calls: int = 1) -> UsageSum:
    return UsageSum((department, task_type, "anthropic", model), Money(cents * 10_000_000), calls, 0, 0, 0, 0)


def test_work_is_ranked_by_what_goes_to_premium_models_and_nothing_is_lost() -> None:
    sums = [
        used("legal", "review", "opus", 5),
        used("legal", "review", "haiku", 90, 9),
        used("sales", "", "opus", 40, 2),
        used("sales", "", "homemade", 1),
        used("legal", "sorting", "haiku", 500),
    ]
    work = work_by_tier(sums, lambda _, model: TIERS.get(model))
    assert [(one.department, one.task_type) for one in work] == [
        ("sales", ""),
        ("legal", "review"),
        ("legal", "sorting"),
    ]
    assert [one.premium.cost for one in work] == [Money(400_000_000), Money(50_000_000), Money(0)]
    assert work[0].tiers[None].calls == 1  # a model that the catalogue does not list is in no tier
    assert list(work[1].models) == [("anthropic", "haiku"), ("anthropic", "opus")]
    assert sum(one.total.calls for one in work) == sum(one.charges for one in sums)
    assert sum(one.total.cost.nano_usd for one in work) == sum(one.cost.nano_usd for one in sums)
