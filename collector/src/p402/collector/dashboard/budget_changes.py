"""What the page of a budget does: the same changes as the API's, and a preview of one on what was spent lately."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from p402.collector.api.auth import Principal
from p402.collector.api.budget_views import OverrideBody, in_part, read_override
from p402.collector.api.endpoint import Caller
from p402.collector.api.problem import BadRequest
from p402.collector.budgets.budget import Budget
from p402.collector.budgets.definition import BudgetDefinition, budget_of
from p402.collector.budgets.trial import Trial
from p402.collector.dashboard.budget_words import nodes_said, tried_in_words
from p402.collector.dashboard.names import Nodes
from p402.collector.storage.budget_trials import TriedPeriod, periods_tried, trial_in
from p402.collector.storage.budgets import (
    BudgetChange,
    BudgetChangeKind,
    StoredBudget,
    add_override,
    apply_budgets,
    retire_budget,
)
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.vocabulary import Clock, IdFactory

__all__ = ["BudgetChanges", "BudgetPreview"]

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class BudgetPreview:
    """A budget that is not in force, and what it would have done."""

    budget: Budget
    periods: Sequence[TriedPeriod]
    """The last complete one and the present one; none where calls under way are counted, which nobody remembers."""
    kind: BudgetChangeKind
    differences: Mapping[str, tuple[Any, Any]]
    """Of the fields that would change the values before and after."""

    @property
    def nodes(self) -> Nodes:
        """What may have names."""
        tried = [node for period in self.periods for node, _ in self.shown(period)]
        return [*nodes_said(self.budget), *((self.budget.level, node) for node in tried)]

    def shown(self, period: TriedPeriod) -> Sequence[tuple[str, Trial]]:
        """Give the nodes of a period that a page has room for."""
        return period.tried[:_SHOWN]

    def title(self, period: TriedPeriod) -> str:
        """Name one of the periods."""
        return tried_in_words(self.budget, period.begin, over=period.over)


class BudgetChanges:
    """Changes budgets for somebody, within their part of the tree."""

    def __init__(self, database: Database, clock: Clock, new_id: IdFactory) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def preview(self, caller: Caller, wanted: BudgetDefinition) -> BudgetPreview:
        """Say what would change, and try the budget on the calls of the last complete period and of the present one."""
        organisation, now = caller.organisation, self._clock.now()

        def look(connection: Connection) -> BudgetPreview:
            [change] = apply_budgets(connection, organisation, [wanted], actor="", at=now, dry_run=True)
            budget = budget_of(0, organisation, wanted.name, wanted.to_json(), now)
            sql = driver(connection)
            periods = [trial_in(sql, budget, begin, end, over=over) for begin, end, over in periods_tried(budget, now)]
            return BudgetPreview(budget, periods, change.kind, change.differences)

        return await self._database.read(look, long=True)

    async def apply(self, caller: Caller, wanted: BudgetDefinition, *, only_new: bool = False) -> BudgetChange:
        """Make a budget, or change it.

        Raises:
            BadRequest: if it has to be new, and is not.
            BudgetTaken: if the name is that of a budget in another part of the tree.
        """
        organisation, now = caller.organisation, self._clock.now()

        def change(connection: Connection) -> BudgetChange:
            if only_new:
                [would] = apply_budgets(connection, organisation, [wanted], actor="", at=now, dry_run=True)
                if would.kind is not BudgetChangeKind.CREATED:
                    raise BadRequest(f"name: there is a budget {wanted.name!r} already; take another name.")
            [made] = apply_budgets(
                connection, organisation, [wanted], actor=_actor(caller), at=now, may=_may(caller.principal)
            )
            return made

        return await self._database.write(change)

    async def retire(self, caller: Caller, name: str) -> None:
        """Take a budget out of force.

        Raises:
            BudgetUnknown: if there is none that the caller may change.
        """
        now, may = self._clock.now(), _may(caller.principal)
        await self._database.write(
            lambda connection: retire_budget(
                connection, caller.organisation, name, actor=_actor(caller), at=now, may=may
            )
        )

    async def override(self, caller: Caller, stored: StoredBudget, body: OverrideBody) -> None:
        """Allow more than a budget's cap until a time.

        Raises:
            BadRequest: naming what is wrong with it.
            BudgetUnknown: if the budget has gone.
        """
        now, name, may = self._clock.now(), stored.definition.name, _may(caller.principal)
        override = read_override(body, stored.definition, self._new_id("ovr", now), now)
        await self._database.write(
            lambda connection: add_override(
                connection, caller.organisation, name, override, actor=_actor(caller), may=may
            )
        )


def _actor(caller: Caller) -> str:
    return caller.principal.actor or ""


def _may(principal: Principal) -> Callable[[BudgetDefinition], bool]:
    return lambda definition: in_part(principal, definition)
