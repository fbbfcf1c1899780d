"""Spend by any dimension, down to the calls that a number is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date
from functools import partial

from aiohttp import web
from sqlalchemy import Connection

from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.problem import NotFound
from p402.collector.dashboard.charts import MOST_NAMES, OTHERS, stack_by_day
from p402.collector.dashboard.format import total
from p402.collector.dashboard.names import Naming, asked_for, nodes_of
from p402.collector.dashboard.places import place_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import FILTERS, Pageful, View
from p402.collector.storage.calls import calls_of
from p402.collector.storage.usage import usage_before, usage_by
from p402.collector.usage.slices import Dimension, Period, Slice, UsageSum, fold
from p402.vocabulary import Money

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
    by_day: Sequence[UsageSum]
    """And by the dimension, as far as a chart tells it apart."""

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

    def __init__(self, shell: Shell, naming: Naming) -> None:
        super().__init__(shell)
        self._naming = naming

    @endpoint("GET /spend/{dimension}", scope="spend:read", answers={200: HTML})
    async def spend(self, request: web.Request, caller: Caller, query: View, dimension: str) -> web.Response:
        """Show spend by a dimension: department, project, client, employee, provider, model or task_type."""
        if dimension not in (known.value for known in FILTERS):
            raise NotFound(f"Spend is shown by {', '.join(known.value for known in FILTERS)}.")
        by, now = Dimension(dimension), self._shell.clock.now()
        asked = query.slice(caller.organisation, caller.principal.within(caller.organisation), now)
        today = now.astimezone(UTC).date()
        page, names = await self._naming.read(
            caller,
            query,
            "GET /spend/{dimension}",
            lambda connection: _read(connection, asked, by, today),
            lambda page: [
                *((by, str(one.by[0])) for one in page.rows),
                *asked_for(caller, query.only, shown=bool(page.rows)),
            ],
        )
        title = f"Spend by day and {by.value.replace('_', ' ')}"
        return self._shell.page(
            request,
            caller,
            query,
            "spend.html",
            page=page,
            by_day=stack_by_day("days", title, page.by_day, asked.period, today, partial(names.of, by)),
            names=names,
            only=query.only,
            tabs=[one for one in FILTERS if one is by or one not in query.only],
        )

    @endpoint("GET /calls", scope="spend:read", answers={200: HTML})
    async def calls(self, request: web.Request, caller: Caller, query: Pageful) -> web.Response:
        """List the calls of a slice, the newest first, with their sum."""
        now = self._shell.clock.now()
        asked = query.slice(caller.organisation, caller.principal.within(caller.organisation), now)
        place = place_of(query.before)
        (found, sums), names = await self._naming.read(
            caller,
            query,
            "GET /calls",
            lambda connection: (
                calls_of(connection, asked, place, _AT_ONCE),
                usage_by(connection, asked, []),
            ),
            lambda page: [
                *nodes_of(*(charge.attribution for _, charge in page[0])),
                *asked_for(caller, query.only, shown=bool(page[0])),
            ],
        )
        more = str(found[-1][0]) if len(found) == _AT_ONCE else None
        return self._shell.page(
            request,
            caller,
            query,
            "calls.html",
            live=place is None,
            total=next(iter(sums), None),
            calls=found,
            names=names,
            more=more,
            only=query.only,
        )


def _read(connection: Connection, asked: Slice, by: Dimension, today: date) -> Breakdown:
    rows = usage_by(connection, asked, [by])
    before = usage_before(connection, asked, [by], today)
    return Breakdown(
        dimension=by,
        total=next(iter(fold(rows)), None),
        before=None if before is None else total(one.cost for one in before),
        compared=asked.period.before(today),
        rows=rows[:_MOST_ROWS],
        others=len(rows[_MOST_ROWS:]),
        rest=next(iter(fold(rows[_MOST_ROWS:])), None),
        before_by=None if before is None else {str(one.by[0]): one.cost for one in before},
        by_day=_by_day(connection, asked, by, rows),
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
