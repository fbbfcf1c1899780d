"""What a changed policy would have done to the calls of a month, for the page that is about to change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from p402.collector.api.endpoint import Caller
from p402.collector.api.policy_trials import judged, policies_in_force
from p402.collector.api.policy_views import JudgedPeriod
from p402.collector.pricing import PriceBook
from p402.collector.routing.schema import PolicyDefinition
from p402.collector.storage.database import Database
from p402.collector.storage.policies import DEFAULT_DEPARTMENT, current_policies
from p402.decisions import Catalogue, Verdict
from p402.vocabulary import Attribution, Charge, Clock, Money

__all__ = ["PolicyPreview", "PolicyTrials"]


@dataclass(frozen=True, slots=True)
class PolicyPreview:
    """What a policy would have made of the calls of one month."""

    definition: PolicyDefinition
    begin: datetime
    judged: JudgedPeriod
    over: bool
    """Whether the month is complete."""

    @property
    def difference(self) -> Money:
        """What the moved calls would have cost more; negative: less."""
        moved = self.judged["moved"]
        return Money.parse(moved["cost_after_usd"]) - Money.parse(moved["cost_before_usd"])

    @property
    def refused(self) -> int:
        """Calls that would have been refused."""
        found = self.judged["verdicts"].get(Verdict.BLOCK)
        return 0 if found is None else found["calls"]


class PolicyTrials:
    """Tries policies on the ledger."""

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue, prices: PriceBook) -> None:
        self._database = database
        self._clock = clock
        self._catalogue = catalogue
        self._prices = prices

    async def preview(self, caller: Caller, department: str, wanted: PolicyDefinition, period: str) -> PolicyPreview:
        """Try a policy on its department's calls; the default on those of departments without a policy of their own.

        Args:
            caller: who asks.
            department: whose policy it would be; ``""`` is the organisation's default.
            wanted: the policy.
            period: ``now`` for this month so far; else the last one, or this one if that had no call.
        """
        now = self._clock.now().astimezone(UTC)
        this = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        last = (this - timedelta(days=1)).replace(day=1)
        if period != "now":
            found = await self._judge(caller, department, wanted, (last, this))
            if found["looked_at"]["calls"]:
                return PolicyPreview(wanted, last, found, over=True)
        return PolicyPreview(wanted, this, await self._judge(caller, department, wanted, (this, now)), over=False)

    async def _judge(
        self, caller: Caller, department: str, wanted: PolicyDefinition, period: tuple[datetime, datetime]
    ) -> JudgedPeriod:
        organisation = caller.organisation
        within = caller.principal.within(organisation).over(Attribution(department=department or None))

        def look(connection: Connection) -> JudgedPeriod:
            others: set[str | None] = set()
            if department == DEFAULT_DEPARTMENT:
                others = {stored.department for stored in current_policies(connection, organisation)}
                others.discard(DEFAULT_DEPARTMENT)

            def concerned(charge: Charge) -> bool:
                return charge.attribution.department not in others

            proposed = policies_in_force(connection, organisation, wanted)
            return judged(connection, within, period, proposed, self._catalogue, self._prices, concerned)

        return await self._database.read(look, long=True)
