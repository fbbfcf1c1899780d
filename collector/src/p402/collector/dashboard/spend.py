"""Spend by any dimension, down to the calls that a number is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from aiohttp import web
from sqlalchemy import Connection

from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.problem import NotFound
from p402.collector.dashboard.charts import MOST_NAMES, OTHERS, Stack, stack_by_day
from p402.collector.dashboard.format import someone, total
from p402.collector.dashboard.names import Names, Naming, asked_for
from p402.collector.dashboard.places import place_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import FILTERS, Pageful, View
from p402.collector.storage.calls import Place, calls_of
from p402.collector.storage.database import Database
from p402.collector.storage.usage import usage_before, usage_by
from p402.collector.usage.slices import Dimension, Period, Slice, UsageSum, fold
from p402.vocabulary import Charge, Money

__all__ = ["SpendPages"]

_AT_ONCE = 100
_MOST_ROWS = 250
_BELOW = {
    Dimension.DEPARTMENT: Dimension.PROJECT,
    Dimension.PROJECT: Dimension.CLIENT,
    Dimension.CLIENT: Dimension.EMPLOYEE,
    Dimension.PROVIDER: Dimension.MODEL,
    Dimension.MODEL: Dimension.TASK_TYPE,
    Dimension.TASK_TYPE: Dimension.MODEL,
}
"""Where a row leads; an employee's row leads to their sessions."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A slice, summed by one dimension."""

    dimension: Dimension
    total: UsageSum | None
    before: Money | None
    """In the days that these are compared with; None if usage began later."""
    compared: Period
    rows: Sequence[UsageSum]
    """The dearest."""
    others: int
    rest: UsageSum | None
    """What the others used together."""
    before_by: Mapping[str, Money] | None
    by_day: Stack

    @property
    def spent(self) -> Money:
        """Of the slice."""
        return self.total.cost if self.total else Money(0)

    @property
    def below(self) -> Dimension | None:
        """By what a row is told apart further."""
        return _BELOW.get(self.dimension)


class SpendPages(Pages):
    """The handlers."""

    def __init__(self, shell: Shell, database: Database, naming: Naming) -> None:
        super().__init__(shell)
        self._database = database
        self._naming = naming

    @endpoint("GET /spend/{dimension}", scope="spend:read", answers={200: HTML})
    async def spend(self, request: web.Request, caller: Caller, query: View, dimension: str) -> web.Response:
        """Show spend by a dimension: department, project, client, employee, provider, model or task_type."""
        if dimension not in (known.value for known in FILTERS):
            raise NotFound(f"Spend is shown by {', '.join(known.value for known in FILTERS)}.")
        by, now = Dimension(dimension), self._shell.clock.now()
        asked = query.slice(caller.organisation, caller.principal.within(caller.organisation), now)
        hidden = by is Dimension.EMPLOYEE and query.people == "hidden"

        def read(connection: Connection) -> tuple[Breakdown, Names]:
            rows = usage_by(connection, asked, [by])
            named = asked_for(caller, query.only, shown=bool(rows))
            nodes = [*((by.value, str(one.by[0])) for one in rows[:_MOST_ROWS]), *named]
            names = self._naming.names(connection, caller, nodes, hidden=query.people == "hidden")
            return _read(connection, asked, by, rows, now, someone if hidden else partial(names.of, by.value)), names

        page, names = await self._database.read(read)
        await self._naming.note(caller, "GET /spend/{dimension}", names)
        tabs = [one for one in FILTERS if one is by or one not in query.only]
        return self._shell.page(
            request, caller, query, "spend.html", page=page, names=names, only=query.only, tabs=tabs
        )

    @endpoint("GET /calls", scope="spend:read", answers={200: HTML})
    async def calls(self, request: web.Request, caller: Caller, query: Pageful) -> web.Response:
        """List the calls of a slice, the newest first, with their sum."""
        now = self._shell.clock.now()
        asked = query.slice(caller.organisation, caller.principal.within(caller.organisation), now)
        place = place_of(query.before)

        def read(connection: Connection) -> tuple[UsageSum | None, list[tuple[Place, Charge]]]:
            found = calls_of(connection, asked, place, _AT_ONCE)
            return next(iter(usage_by(connection, asked, [])), None), found

        total, found = await self._database.read(read)
        more = str(found[-1][0]) if len(found) == _AT_ONCE else None
        return self._shell.page(
            request,
            caller,
            query,
            "calls.html",
            live=place is None,
            total=total,
            calls=found,
            more=more,
            only=query.only,
        )


def _read(
    connection: Connection,
    asked: Slice,
    by: Dimension,
    rows: Sequence[UsageSum],
    now: datetime,
    called: Callable[[str], str],
) -> Breakdown:
    today = now.astimezone(UTC).date()
    before = usage_before(connection, asked, [by], today)
    named = {str(one.by[0]): called(str(one.by[0])) for one in rows[:MOST_NAMES] if one.by[0]}
    title = f"Spend by day and {by.value.replace('_', ' ')}"
    return Breakdown(
        dimension=by,
        total=next(iter(fold(rows)), None),
        before=None if before is None else total(one.cost for one in before),
        compared=asked.period.before(today),
        rows=rows[:_MOST_ROWS],
        others=len(rows[_MOST_ROWS:]),
        rest=next(iter(fold(rows[_MOST_ROWS:])), None),
        before_by=None if before is None else {str(one.by[0]): one.cost for one in before},
        by_day=stack_by_day("days", title, _by_day(connection, asked, by, rows), asked.period, today, named),
    )


def _by_day(connection: Connection, asked: Slice, by: Dimension, rows: Sequence[UsageSum]) -> list[UsageSum]:
    """Sum by day what a chart tells apart: a name for each day of thousands would be read for nothing."""
    dearest = [str(one.by[0]) for one in rows[:MOST_NAMES]]
    named = usage_by(connection, asked, [Dimension.DAY, by], (by, dearest))
    if len(rows) <= MOST_NAMES:
        return named
    shown = {one.by[0]: one for one in fold(named, [0])}
    days = usage_by(connection, asked, [Dimension.DAY])
    return named + [
        replace(one, by=(one.by[0], OTHERS), cost=Money(one.cost.nano_usd - shown[one.by[0]].cost.nano_usd))
        if one.by[0] in shown
        else replace(one, by=(one.by[0], OTHERS))
        for one in days
    ]
