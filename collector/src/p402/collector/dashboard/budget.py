"""One budget, and the forms that make one and change it; each form shows first what the change would have done lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated

from aiohttp import web
from pydantic import Field, ValidationError
from sqlalchemy import Connection

from p402.collector.api.budget_views import read_budget
from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.problem import NotFound
from p402.collector.api.query import Cursor
from p402.collector.dashboard.budget_changes import BudgetChanges, BudgetPreview
from p402.collector.dashboard.budget_detail import REFUSALS_LOOKED_AT, BudgetDetail, budget_detail
from p402.collector.dashboard.budget_forms import (
    changed_document,
    form_of_budget,
    new_document,
    override_of,
    wrong_fields,
)
from p402.collector.dashboard.budget_lines import project_lines
from p402.collector.dashboard.budget_words import amount_in_words, budget_in_words, nodes_in_words, period_in_words
from p402.collector.dashboard.charts import Lines, burn_down
from p402.collector.dashboard.forms import AGAIN, FORM, WRITES_RULES, Told, form_of, is_part, see_other
from p402.collector.dashboard.names import Naming, Nodes
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.forecast.service import Forecasts
from p402.collector.storage.budgets import BudgetChangeKind
from p402.collector.storage.database import Database
from p402.vocabulary import IdFactory, Money, Permanent

__all__ = ["BudgetPages"]

_NEW_FORM = {"level": "department", "measure": "cost", "period": "month", "mode": "enforce", "warn_at": "80, 95"}


class BudgetView(Told):
    """The query of one budget's page."""

    after: Annotated[Cursor | None, Field(exclude=True, description="Goes on after this node; as the page links.")] = (
        None
    )


@dataclass(frozen=True, slots=True)
class _Filled:
    """A form as it was sent, and what came of it."""

    form: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with which field."""
    override: bool = False
    """Whether it is the form of an override."""
    preview: BudgetPreview | None = None
    part: bool = False
    """Whether a script asks for the preview only."""

    @property
    def nodes(self) -> Nodes:
        """What of the preview may have names."""
        return () if self.preview is None else self.preview.nodes


class BudgetPages(Pages):
    """The handlers."""

    def __init__(
        self, shell: Shell, database: Database, naming: Naming, forecasts: Forecasts, new_id: IdFactory
    ) -> None:
        super().__init__(shell)
        self._database = database
        self._naming = naming
        self._forecasts = forecasts
        self._changes = BudgetChanges(database, shell.clock, new_id)

    @endpoint("GET /budgets/new", scope=WRITES_RULES, answers={200: HTML})
    async def form(self, request: web.Request, caller: Caller, query: Told) -> web.Response:
        """Show the form for a new budget."""
        return await self._form(request, caller, query, _Filled(_NEW_FORM))

    @endpoint("POST /budgets/new", scope=WRITES_RULES, answers={200: HTML, 303: None, 400: AGAIN}, takes=FORM)
    async def make(self, request: web.Request, caller: Caller, query: Told) -> web.Response:
        """Make a budget, or preview it."""
        form = await form_of(request)
        try:
            wanted = read_budget(new_document(form), caller.organisation, caller.principal)
            if form.get("action") == "preview":
                preview = await self._changes.preview(caller, wanted)
                return await self._form(request, caller, query, _Filled(form, preview=preview))
            await self._changes.apply(caller, wanted, only_new=True)
        except Permanent as error:
            return await self._form(request, caller, query, _Filled(form, wrong_fields(error), part=is_part(request)))
        return see_other(self._shell.frame(request, caller, query).to(f"/budgets/{wanted.name}", done="made"))

    @endpoint("GET /budgets/{name}", scope="spend:read", answers={200: HTML})
    async def budget(self, request: web.Request, caller: Caller, query: BudgetView, name: str) -> web.Response:
        """Show one budget: its nodes, where it is heading, its overrides, alerts, refusals, overruns and changes."""
        return await self._show(request, caller, query, name, _Filled(), query.after)

    @endpoint("POST /budgets/{name}", scope=WRITES_RULES, answers={200: HTML, 303: None, 400: AGAIN}, takes=FORM)
    async def change(self, request: web.Request, caller: Caller, query: Told, name: str) -> web.Response:
        """Change a budget, preview that, retire it, or allow more for a while."""
        form = await form_of(request)
        now = self._shell.clock.now()
        detail = await self._database.read(lambda connection: _read(connection, caller, name, now))
        to = self._shell.frame(request, caller, query).to
        try:
            if form.get("action") == "retire":
                await self._changes.retire(caller, name)
                return see_other(to("/budgets", done="retired"))
            if form.get("action") == "override":
                await self._changes.override(caller, detail.stored, override_of(form))
                return see_other(to(f"/budgets/{name}", done="override"))
            document = changed_document(detail.stored.definition, form)
            wanted = read_budget(document, caller.organisation, caller.principal)
            if form.get("action") == "preview":
                preview = await self._changes.preview(caller, wanted)
                return await self._show(request, caller, query, name, _Filled(form, preview=preview))
            change = await self._changes.apply(caller, wanted)
        except (Permanent, ValidationError) as error:
            is_override = form.get("action") == "override"
            filled = _Filled(form, wrong_fields(error), is_override, part=is_part(request))
            return await self._show(request, caller, query, name, filled)
        done = "unchanged" if change.kind is BudgetChangeKind.UNCHANGED else "saved"
        return see_other(to(f"/budgets/{name}", done=done))

    # --- showing

    async def _form(self, request: web.Request, caller: Caller, query: Told, filled: _Filled) -> web.Response:
        names = await self._naming.look_up(caller, query, "POST /budgets/new", filled.nodes)
        return self._shell.page(
            request,
            caller,
            query,
            "budget_new.html",
            live=False,
            status=_status(filled),
            filled=filled,
            names=names,
            words=budget_in_words,
            amount=amount_in_words,
        )

    async def _show(
        self,
        request: web.Request,
        caller: Caller,
        query: Told,
        name: str,
        filled: _Filled,
        after: tuple[int, str] | None = None,
    ) -> web.Response:
        now = self._shell.clock.now()
        detail, names = await self._naming.read(
            caller,
            query,
            "GET /budgets/{name}",
            lambda connection: _read(connection, caller, name, now, after),
            lambda detail: [*detail.nodes, *filled.nodes],
        )
        lines = await project_lines(self._forecasts, caller.organisation, detail.lines, now)
        detail = replace(detail, lines=lines)
        if not filled.form or filled.override:
            typed = filled.form
            filled = replace(filled, form={**form_of_budget(detail.stored.definition), **typed})
        return self._shell.page(
            request,
            caller,
            query,
            "budget.html",
            live=False,
            status=_status(filled),
            page=detail,
            names=names,
            burn=await self._burn(caller.organisation, detail),
            window=detail.budget.period.window(now),
            filled=filled,
            writes=caller.principal.may(WRITES_RULES),
            looked_at=REFUSALS_LOOKED_AT,
            nodes=nodes_in_words,
            period=period_in_words,
            words=budget_in_words,
            amount=amount_in_words,
            now=now,
        )

    async def _burn(self, organisation: str, detail: BudgetDetail) -> Lines | None:
        line = detail.single
        if line is None or not detail.is_month_of_one:
            return None
        now, period = self._shell.clock.now(), detail.budget.period
        window = period.window(now)
        assert window.end is not None, "a month ends"
        projection = await self._forecasts.project(
            organisation, line.level, line.node, window.start, window.end, period.time_zone, Money(line.cap), now
        )
        return burn_down("burn", "Spent by the end of each day", projection)


def _read(
    connection: Connection, caller: Caller, name: str, now: datetime, after: tuple[int, str] | None = None
) -> BudgetDetail:
    found = budget_detail(connection, caller.organisation, name, caller.principal, now, after)
    if found is None:
        raise NotFound(f"There is no budget {name[:100]!r} that you may see; /budgets lists them.")
    return found


def _status(filled: _Filled) -> int:
    """A form that is wrong is refused; but a part of the page that a script asked for has to come, to say so."""
    return 400 if filled.wrong and not filled.part else 200
