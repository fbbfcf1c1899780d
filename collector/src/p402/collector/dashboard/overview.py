"""The first page: the month in one minute. What was spent, by whom, where it is heading, and what wants a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from aiohttp import web
from sqlalchemy import Connection, func, select

from p402.collector.anomalies.ports import Anomaly, AnomalyState
from p402.collector.api.auth import Principal
from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.budgets.alerts import Alert
from p402.collector.budgets.period import PeriodKind
from p402.collector.dashboard.budget_lines import BudgetLine, project_lines, read_lines
from p402.collector.dashboard.charts import Lines, Stack, burn_down, stack_by_day
from p402.collector.dashboard.format import total
from p402.collector.dashboard.names import Names, Naming
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import View
from p402.collector.forecast.project import Projection
from p402.collector.forecast.service import Forecasts
from p402.collector.storage.alerts import alerts_page
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.charges import within_scope
from p402.collector.storage.database import Database
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
    by_day: Stack
    departments: Sequence[UsageSum]
    employees: Sequence[UsageSum]
    people: int
    models: Sequence[UsageSum]
    budgets: Sequence[BudgetLine]
    """Those of which most is used."""
    more_budgets: int
    alerts: Sequence[Alert]
    anomalies: Sequence[Anomaly]
    receipts: int
    anchored: int

    @property
    def spent(self) -> Money:
        """In the period."""
        return self.total.cost if self.total else Money(0)


class OverviewPage(Pages):
    """The handler."""

    def __init__(self, shell: Shell, database: Database, naming: Naming, forecasts: Forecasts) -> None:
        super().__init__(shell)
        self._database = database
        self._naming = naming
        self._forecasts = forecasts

    @endpoint("GET /", scope="spend:read", answers={200: HTML})
    async def overview(self, request: web.Request, caller: Caller, query: View) -> web.Response:
        """Show the month."""
        now = self._shell.clock.now()
        organisation, principal = caller.organisation, caller.principal
        asked = query.slice(organisation, principal.within(organisation), now)

        def read(connection: Connection) -> tuple[Overview, Names]:
            page = _read(connection, asked, principal, now)
            nodes = [
                *((Level.DEPARTMENT.value, str(one.by[0])) for one in page.departments),
                *((Level.EMPLOYEE.value, str(one.by[0])) for one in page.employees),
                *((line.level.value, line.node) for line in page.budgets),
            ]
            names = self._naming.names(connection, caller, nodes, hidden=query.people == "hidden")
            by_day = replace(page.by_day, names=[names.of(Level.DEPARTMENT, name) for name in page.by_day.names])
            return replace(page, by_day=by_day), names

        page, names = await self._database.read(read)
        await self._naming.note(caller, "GET /", names)
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
    organisation = asked.organisation
    by_department = usage_by(connection, asked, [Dimension.DAY, Dimension.DEPARTMENT])
    employees = usage_by(connection, asked, [Dimension.EMPLOYEE])
    today = now.astimezone(UTC).date()
    before = usage_before(connection, asked, [], today)
    within = principal.within(organisation)
    unreviewed = anomalies_page(connection, within, Attribution(), AnomalyFilter(AnomalyState.OPEN), 0, _NEWEST)
    issued, anchored = _receipts(connection, asked, within)
    sees_all = within == Attribution(organisation=organisation)
    alerts = alerts_page(driver(connection), organisation, 0, _NEWEST, unresolved=True) if sees_all else []
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
        by_day=stack_by_day("days", "Spend by day and department", by_department, asked.period, today),
        departments=fold(by_department, [1]),
        employees=[one for one in employees if one.by != ("",)][:_SHOWN],
        people=sum(one.by != ("",) for one in employees),
        models=usage_by(connection, asked, [Dimension.PROVIDER, Dimension.MODEL])[:_SHOWN],
        budgets=lines[:_MOST_BUDGETS],
        more_budgets=len(lines[_MOST_BUDGETS:]),
        alerts=alerts[::-1],
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
