"""Statements of a month over HTTP: the chargeback of departments, clients and projects, and the consolidated invoice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.fields import Count, Time, Usd, shape
from p402.collector.api.problem import Forbidden
from p402.collector.api.query import Query
from p402.collector.api.typesetting import Typesetter
from p402.collector.storage.database import Database
from p402.collector.storage.periods import period_bounds
from p402.collector.storage.statements import PostedMonth, posted_month
from p402.exporters.documents.csv_lines import csv_line, csv_lines
from p402.exporters.documents.pdf import PeriodStatement, render_statement
from p402.exporters.documents.statement import (
    STATEMENT_COLUMNS,
    MarkupRule,
    Statement,
    StatementBy,
    make_statement,
    statement_cells,
    statement_value,
)
from p402.vocabulary import Clock, rfc3339

__all__ = ["StatementsApi"]


@shape
class Tokens(TypedDict):
    """Tokens, all kinds."""

    input: Count
    output: Count


@shape
class AmountsView(TypedDict):
    """What something comes to."""

    cost_usd: Usd
    """As in the ledger."""
    adjustments_usd: Usd
    """The part of the cost that is for calls of closed months."""
    markup_usd: Usd
    total_usd: Usd
    """Cost and mark-up."""
    charges: Count
    adjustment_charges: Count
    unpriced_charges: Count
    """Without a price; they are in no amount."""
    tokens: Tokens


@shape
class PartView(TypedDict):
    """The smallest line: one department, project, client and model."""

    department: str | None
    project: str | None
    client: str | None
    provider: str
    model: str
    adjusts: str | None
    """The closed month that it adjusts, such as `2026-09`."""
    cost_usd: Usd
    markup_usd: Usd
    total_usd: Usd
    charges: Count
    unpriced_charges: Count
    tokens: Tokens


@shape
class LineView(AmountsView):
    """What one node, or one model, came to."""

    of: str | None
    """Null: what is not attributed to any."""
    parts: list[PartView]


@shape
class StatementView(TypedDict):
    """A statement; its lines add up to its totals, and those to the ledger."""

    organisation: str
    period: str
    time_zone: Literal["UTC"]
    currency: Literal["USD"]
    state: Literal["open", "closed"]
    closed_at: Time | None
    through_seq: Count
    """The last charge of the ledger that was looked at."""
    generated_at: Time
    by: StatementBy
    lines: list[LineView]
    totals: AmountsView


def _month(period: str) -> str:
    period_bounds(period)
    return period


class StatementQuery(Query):
    """Which statement."""

    period: Annotated[
        str,
        AfterValidator(_month),
        Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", description="A month (UTC).", examples=["2026-10"]),
    ]
    by: Annotated[
        StatementBy,
        Field(description="What the lines are for; `organisation` is the consolidated invoice."),
    ] = StatementBy.DEPARTMENT


@dataclass(frozen=True, slots=True)
class StatementsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    markups: Sequence[MarkupRule]
    typesetter: Typesetter
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/statements", scope="spend:read", answers={200: StatementView})
    async def statement(self, caller: Caller, query: StatementQuery) -> web.Response:
        """State what a month came to, and for whom.

        A charge posts to the month in which its call began. One that was recorded after that month was closed posts to
        the month of its recording, as an adjustment: a closed month does not change.
        """
        month, statement = await self._made(caller, query)
        return web.json_response(_view(caller.organisation, query.period, month, statement, self.clock.now()))

    @endpoint(
        "GET /v1/statements.csv",
        scope="spend:read",
        answers={200: Media("text/csv", about="The lines of the statement. There is no line of totals.")},
        sends=("Content-Disposition",),
    )
    async def statement_csv(self, caller: Caller, query: StatementQuery) -> web.Response:
        """Give the lines of a statement as CSV."""
        _, statement = await self._made(caller, query)
        rows = csv_lines(statement_cells(query.period, statement.by, line) for line in statement.lines)
        name = f"statement-{query.period}-by-{statement.by}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(body=csv_line(STATEMENT_COLUMNS) + rows, content_type="text/csv", headers=headers)

    @endpoint(
        "GET /v1/statements.pdf",
        scope="spend:read",
        answers={200: Media("application/pdf", about="PDF/A-3b; the statement in JSON is attached to it.")},
        sends=("Content-Disposition",),
    )
    async def statement_pdf(self, caller: Caller, query: StatementQuery) -> web.Response:
        """Give a statement as a document."""
        month, statement = await self._made(caller, query)
        now = self.clock.now()
        copy = json.dumps(_view(caller.organisation, query.period, month, statement, now)).encode()
        given = PeriodStatement(
            statement=statement,
            within=caller.principal.within(caller.organisation),
            period=query.period,
            closed_at=month.closed_at,
            made_at=now,
            machine_copy=copy,
        )
        made = await self.typesetter.set(lambda: render_statement(given))
        name = f"statement-{query.period}-by-{statement.by}.pdf"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(body=made, content_type="application/pdf", headers=headers)

    async def _made(self, caller: Caller, query: StatementQuery) -> tuple[PostedMonth, Statement]:
        within = caller.principal.within(caller.organisation)
        if within.employee is not None:
            raise Forbidden("The API key is bound to an employee; statements are of departments, projects and clients.")
        month = await self.database.read(
            lambda connection: posted_month(connection, caller.organisation, query.period), long=True
        )
        return month, make_statement(month.usages, self.markups, query.by, within)


def _view(organisation: str, period: str, month: PostedMonth, statement: Statement, at: datetime) -> dict[str, Any]:
    return {
        "organisation": organisation,
        "period": period,
        "time_zone": "UTC",
        "currency": "USD",
        "state": "open" if month.closed_at is None else "closed",
        "closed_at": None if month.closed_at is None else rfc3339(month.closed_at),
        "through_seq": month.through_seq,
        "generated_at": rfc3339(at),
        **statement_value(statement),
    }
