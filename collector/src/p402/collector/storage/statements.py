"""Sums of the ledger for a statement: what posts to a month, by department, project, client and model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, case, func, literal, select

from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.periods import closed_periods_of, period_bounds, posting_to
from p402.collector.storage.tables import charges, models, scopes
from p402.exporters.documents.statement import Usages
from p402.vocabulary import Money

__all__ = ["PostedMonth", "posted_month"]


@dataclass(frozen=True, slots=True)
class PostedMonth:
    """Everything that posts to a month, at one moment."""

    usages: list[Usages]
    closed_at: datetime | None
    """When the month was closed; None: it is open, and more may post to it."""
    through_seq: int
    """The last charge of the ledger that was looked at."""


def posted_month(connection: Connection, organisation: str, period: str) -> PostedMonth:
    """Sum what posts to a month of an organisation.

    Raises:
        ValueError: if it is no month like ``2026-10``.
    """
    closed = closed_periods_of(connection, organisation)
    begins, ends = (to_millis(bound) for bound in period_bounds(period))
    begun_here = and_(charges.c.started_at >= begins, charges.c.started_at < ends)
    begun_in = case(
        (begun_here, literal("")),
        *(
            (and_(charges.c.started_at >= to_millis(begin), charges.c.started_at < to_millis(end)), literal(other))
            for other in closed
            for begin, end in [period_bounds(other)]
        ),
        else_=literal(""),
    )
    answered = case((models.c.response_model != "", models.c.response_model), else_=models.c.request_model)
    by = [
        scopes.c.department,
        scopes.c.project,
        scopes.c.client,
        models.c.provider,
        answered.label("model"),
        begun_in.label("begun_in"),
    ]
    query = (
        select(
            *by,
            func.sum(charges.c.cost_nano_usd).label("cost"),
            func.count().label("charges"),
            func.count(charges.c.cost_nano_usd).label("priced"),
            func.sum(charges.c.input_tokens).label("input_tokens"),
            func.sum(charges.c.output_tokens).label("output_tokens"),
        )
        .select_from(charges.join(scopes, charges.c.scope_id == scopes.c.id).join(models))
        .where(scopes.c.organisation == organisation, posting_to(period, closed))
        .group_by(*by)
    )
    usages = [
        Usages(
            department=row.department or None,
            project=row.project or None,
            client=row.client or None,
            provider=row.provider,
            model=row.model or "unknown",
            adjusts=row.begun_in or None,
            cost=Money(int(row.cost or 0)),
            charges=row.charges,
            unpriced_charges=row.charges - row.priced,
            input_tokens=int(row.input_tokens),
            output_tokens=int(row.output_tokens),
        )
        for row in connection.execute(query)
    ]
    through = connection.execute(select(func.max(charges.c.seq))).scalar() or 0
    return PostedMonth(usages, closed[period].closed_at if period in closed else None, through)
