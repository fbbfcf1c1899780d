"""Which models are used where: premium ones by department and type of task, and what was decided about calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from p402.collector.api.auth import Principal
from p402.collector.api.budget_views import within_part
from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.dashboard.names import Naming, Nodes, asked_for, nodes_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import View
from p402.collector.pricing import PriceBook
from p402.collector.routing.moved import Moved, moved
from p402.collector.storage.calls import moved_calls
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.decision_rows import Decided, attribution_of, decisions_page
from p402.collector.storage.driver import driver
from p402.collector.storage.evaluations import Quality, quality_by_task_and_model
from p402.collector.storage.usage import usage_by
from p402.collector.storage.verdict_counts import UNASKED, verdicts_by_day
from p402.collector.usage.slices import Dimension, Slice
from p402.collector.usage.tiers import Part, Work, work_by_tier
from p402.decisions import Catalogue, Tier, Verdict
from p402.vocabulary import Attribution, Level

__all__ = ["RoutingPage"]

_REFUSALS_READ = 200
_REFUSALS_SHOWN = 15
_WORK_SHOWN = 20
_MOVED_READ = 20_000
_LEVELS = (Dimension.DEPARTMENT, Dimension.PROJECT, Dimension.CLIENT, Dimension.EMPLOYEE)
_OF = (Dimension.DEPARTMENT, Dimension.TASK_TYPE, Dimension.PROVIDER, Dimension.MODEL)


class RoutingView(View):
    """The query of the page."""

    rows: Annotated[Literal["all"] | None, Field(description="All rows, and not those only with the most.")] = None


@dataclass(frozen=True, slots=True)
class Routing:
    """What the page shows."""

    work: Sequence[Work]
    days: Sequence[tuple[int, Mapping[str, int]]]
    """Counts by verdict, the newest day first."""
    refused: Sequence[Decided]
    """The newest calls that were refused."""
    moved: Moved
    all_moved: bool
    """Whether these are all that were moved, or the newest."""
    quality: Sequence[tuple[Quality, Tier | None]]
    """What evaluators found by task type and model, with the model's tier."""

    @property
    def total(self) -> Part:
        """Of all calls."""
        return sum((work.total for work in self.work), Part())

    def tier(self, tier: Tier | None) -> Part:
        """Give the part of a tier; None: of models that the catalogue does not list."""
        return sum((work.tiers.get(tier, Part()) for work in self.work), Part())

    def decided(self, verdict: str) -> int:
        """Count a verdict in the whole period."""
        return sum(counts.get(verdict, 0) for _, counts in self.days)

    @property
    def nodes(self) -> Nodes:
        """What may have names."""
        departments = [(Level.DEPARTMENT, work.department) for work in self.work]
        return [*departments, *nodes_of(*(attribution_of(one) for one in self.refused))]

    @property
    def calls(self) -> int:
        """Those that were made, and those that were refused."""
        return sum(count for _, counts in self.days for name, count in counts.items() if name != Verdict.WAIT.value)


class RoutingPage(Pages):
    """The handler."""

    def __init__(self, shell: Shell, naming: Naming, catalogue: Catalogue, prices: PriceBook) -> None:
        super().__init__(shell)
        self._naming = naming
        self._catalogue = catalogue
        self._prices = prices

    @endpoint("GET /routing", scope="spend:read", answers={200: HTML})
    async def routing(self, request: web.Request, caller: Caller, query: RoutingView) -> web.Response:
        """Show where premium models are used, and what was decided about calls, day by day."""
        now, principal = self._shell.clock.now(), caller.principal
        asked = query.slice(caller.organisation, principal.within(caller.organisation), now)
        page, names = await self._naming.read(
            caller,
            query,
            "GET /routing",
            lambda connection: self._read(connection, asked, query.path, principal, now),
            lambda page: [*page.nodes, *asked_for(caller, query.only, shown=bool(page.nodes))],
            long=True,
        )
        return self._shell.page(
            request,
            caller,
            query,
            "routing.html",
            live=False,  # it reads the calls of the period, which is too much for every change
            page=page,
            names=names,
            only=query.only,
            shown=_WORK_SHOWN,
            tiers=[*reversed(Tier), None],
            verdicts={
                UNASKED: "not asked about",
                Verdict.ALLOW.value: "allowed",
                Verdict.CLAMP.value: "shortened",
                Verdict.DOWNGRADE.value: "downgraded",
                Verdict.WAIT.value: "waited",
                Verdict.BLOCK.value: "refused",
            },
        )

    def _read(
        self, connection: Connection, asked: Slice, path: Attribution, principal: Principal, now: datetime
    ) -> Routing:
        end = min(to_millis(asked.period.end), to_millis(now) + 1)
        newest = decisions_page(driver(connection), asked.organisation, Verdict.BLOCK.value, (end, ""), _REFUSALS_READ)
        since = asked.period.begin
        refused = [
            one
            for one in newest
            if one.decided_at >= since
            and within_part(principal, attribution_of(one))
            and all(value in (None, getattr(attribution_of(one), level)) for level, value in path)
        ]
        calls = moved_calls(connection, asked, _MOVED_READ + 1)
        return Routing(
            work=work_by_tier(usage_by(connection, asked, _OF), self._tier),
            days=sorted(verdicts_by_day(connection, asked).items(), reverse=True),
            refused=refused[:_REFUSALS_SHOWN],
            moved=moved(calls[:_MOVED_READ], self._prices),
            all_moved=len(calls) <= _MOVED_READ,
            quality=self._quality(connection, asked, principal.within(asked.organisation).over(path)),
        )

    def _quality(
        self, connection: Connection, asked: Slice, within: Attribution
    ) -> Sequence[tuple[Quality, Tier | None]]:
        """Read what evaluators found; nothing where the part is what nobody is named for, which evaluations are not told by."""
        if any(asked.only.get(level) == "" for level in _LEVELS):
            return []
        found = quality_by_task_and_model(connection, within, asked.period.begin, asked.period.end)
        values = {Dimension.TASK_TYPE: "task_type", Dimension.PROVIDER: "provider", Dimension.MODEL: "model"}
        return [
            (one, self._tier(one.provider, one.model))
            for one in found
            if all(
                (getattr(one, name) or "") == asked.only.get(of, getattr(one, name) or "")
                for of, name in values.items()
            )
        ]

    def _tier(self, provider: str, model: str) -> Tier | None:
        found = self._catalogue.find(provider, model) or self._catalogue.find(provider, model, any_provider=True)
        return None if found is None else found.tier
