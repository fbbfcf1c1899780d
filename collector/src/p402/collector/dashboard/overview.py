"""The first page: the month in one minute. What was spent, by whom, where it is heading, and what wants a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from aiohttp import web
from sqlalchemy import Connection, func, select

from p402.collector.anomalies.ports import Anomaly, AnomalyState
from p402.collector.api.auth import Principal
from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.budgets.alerts import Alert
from p402.collector.budgets.period import PeriodKind
from p402.collector.dashboard.budget_lines import BudgetLine, project_lines, read_lines
from p402.collector.dashboard.charts import Lines, burn_down, stack_by_day
from p402.collector.dashboard.format import total
from p402.collector.dashboard.names import Naming, Nodes, nodes_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import View
from p402.collector.forecast.project import Projection
from p402.collector.forecast.service import Forecasts
from p402.collector.storage.alerts import alerts_page
from p402.collector.storage.budgets import budgets_in_force
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.charges import within_scope
from p402.collector.storage.driver import driver
from p402.collector.storage.reviews import AnomalyFilter, anomalies_page
from p402.collector.storage.tables import receipts, scopes
from p402.collector.storage.usage import usage_before, usage_by
from p402.collector.usage.slices import Dimension, Period, Slice, UsageSum, fold
from p402.decisions import Measure
from p402.vocabulary import Attribution, Level, Money

__all__ = ["OverviewPage"]

_SHOWN = 6
_MOST_BUDGETS = 8
_NEWEST = 100


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows of one part of an organisation in a period."""

    total: UsageSum | None
    """None if nothing was used."""
    before: Money | None
    """In the days that these are compared with; None if usage began later."""
    compared: Period
    by_day: Sequence[UsageSum]
    """And by department."""
    departments: Sequence[UsageSum]
    employees: Sequence[UsageSum]
    people: int
    models: Sequence[UsageSum]
    budgets: Sequence[BudgetLine]
    """Those of which most is used."""
    more_budgets: int
    alerts: Sequence[Alert]
    levels: Mapping[str, Level]
    """Of the budgets in force, by name."""
    anomalies: Sequence[Anomaly]
    receipts: int
    anchored: int

    @property
    def spent(self) -> Money:
        """In the period."""
        return self.total.cost if self.total else Money(0)

    @property
    def nodes(self) -> Nodes:
        """What may have names."""
        return [
            *((Level.DEPARTMENT, str(one.by[0])) for one in self.departments),
            *((Level.EMPLOYEE, str(one.by[0])) for one in self.employees),
            *((line.level, line.node) for line in self.budgets),
            *((self.levels.get(alert.budget, ""), alert.node) for alert in self.alerts[:_SHOWN]),
            *nodes_of(*(anomaly.session for anomaly in self.anomalies[:_SHOWN])),
        ]


class OverviewPage(Pages):
    """The handler."""

    def __init__(self, shell: Shell, naming: Naming, forecasts: Forecasts) -> None:
        super().__init__(shell)
        self._naming = naming
        self._forecasts = forecasts

    @endpoint("GET /", scope="spend:read", answers={200: HTML})
    async def overview(self, request: web.Request, caller: Caller, query: View) -> web.Response:
        """Show the month."""
        now = self._shell.clock.now()
        organisation, principal = caller.organisation, caller.principal
        asked = query.slice(organisation, principal.within(organisation), now)
        page, names = await self._naming.read(
            caller,
            query,
            "GET /",
            lambda connection: _read(connection, asked, principal, now),
            lambda page: page.nodes,
        )
        called, today = partial(names.of, Level.DEPARTMENT), now.astimezone(UTC).date()
        by_day = stack_by_day("days", "Spend by day and department", page.by_day, asked.period, today, called)
        lines = await project_lines(self._forecasts, organisation, page.budgets, now)
        projection = await self._project(organisation, principal, lines) if query.period == "month" else None
        chart: Lines | None = burn_down("burn", "Spent by the end of each day", projection) if projection else None
        return self._shell.page(
            request,
            caller,
            query,
            "overview.html",
            page=page,
            names=names,
            by_day=by_day,
            budgets=lines,
            projection=projection,
            burn=chart,
        )

    async def _project(self, organisation: str, principal: Principal, lines: Sequence[BudgetLine]) -> Projection | None:
        """Project the month of the organisation, or of the department that somebody is bound to."""
        bound = [(level, value) for level, value in principal.bound_to if value and level is not Level.ORGANISATION]
        if len(bound) > 1:
            return None
        level, node = bound[0] if bound else (Level.ORGANISATION, organisation)
        of_node = [
            line
            for line in lines
            if (line.level, line.node) == (level, node)
            and line.budget.measure is Measure.COST
            and line.budget.period.kind is PeriodKind.MONTH
        ]
        tightest = min(of_node, key=lambda line: line.cap, default=None)
        if tightest is not None and tightest.projection is not None and tightest.budget.period.time_zone == "UTC":
            return tightest.projection
        cap = None if tightest is None else Money(tightest.cap)
        now = self._shell.clock.now().astimezone(UTC)
        begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        end = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
        return await self._forecasts.project(organisation, level, node, begin, end, "UTC", cap, now)


def _read(connection: Connection, asked: Slice, principal: Principal, now: datetime) -> Overview:
    organisation, sql = asked.organisation, driver(connection)
    by_department = usage_by(connection, asked, [Dimension.DAY, Dimension.DEPARTMENT])
    employees = usage_by(connection, asked, [Dimension.EMPLOYEE])
    today = now.astimezone(UTC).date()
    before = usage_before(connection, asked, [], today)
    within = principal.within(organisation)
    unreviewed = anomalies_page(connection, within, Attribution(), AnomalyFilter(AnomalyState.OPEN), 0, _NEWEST)
    issued, anchored = _receipts(connection, asked, within)
    sees_all = within == Attribution(organisation=organisation)
    alerts = alerts_page(sql, organisation, 0, _NEWEST, unresolved=True) if sees_all else []
    lines = [
        line
        for line in read_lines(connection, organisation, principal, now, _SHOWN)
        if line.level in (Level.ORGANISATION, Level.DEPARTMENT, Level.PROJECT, Level.CLIENT)
    ]
    lines.sort(key=lambda line: -line.used)
    return Overview(
        total=next(iter(fold(by_department)), None),
        before=None if before is None else total(one.cost for one in before),
        compared=asked.period.before(today),
        by_day=by_department,
        departments=fold(by_department, [1]),
        employees=[one for one in employees if one.by != ("",)][:_SHOWN],
        people=sum(one.by != ("",) for one in employees),
        models=usage_by(connection, asked, [Dimension.PROVIDER, Dimension.MODEL])[:_SHOWN],
        budgets=lines[:_MOST_BUDGETS],
        more_budgets=len(lines[_MOST_BUDGETS:]),
        alerts=alerts[::-1],
        levels={one.definition.name: one.definition.level for one in budgets_in_force(sql, organisation, now)},
        anomalies=unreviewed[::-1],
        receipts=issued,
        anchored=anchored,
    )


def _receipts(connection: Connection, asked: Slice, within: Attribution) -> tuple[int, int]:
    """Count the receipts of a period, and those whose settlement is final."""
    begin, end = to_millis(asked.period.begin), to_millis(asked.period.end)
    query = (
        select(func.count(), func.count(receipts.c.settlement_id))
        .where(receipts.c.organisation == asked.organisation)
        .where(receipts.c.issued_at >= begin, receipts.c.issued_at < end)
    )
    if within != Attribution(organisation=asked.organisation):
        query = query.join(scopes, receipts.c.scope_id == scopes.c.id).where(*within_scope(within))
    issued, anchored = connection.execute(query).one()
    return int(issued), int(anchored)
