"""What a page is asked to show: a period, and a part of the usage. Both are in the address, so that a view can be sent on."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from p402.collector.api.query import Query
from p402.collector.usage.slices import Dimension, Period, Slice
from p402.vocabulary import Attribution, Level

__all__ = ["FILTERS", "Pageful", "View"]

FILTERS = tuple(one for one in Dimension if one not in (Dimension.DAY, Dimension.VERDICT))
"""What pages are narrowed to, and what they show spend by."""
_DAYS = {"7d": 7, "30d": 30, "90d": 90}
_MONTHS_OFFERED = 6

_Only = Annotated[str | None, Field(max_length=256, description="Only this one; empty: what is not attributed.")]


class View(Query):
    """The query of a page."""

    period: Annotated[
        str,
        Field(
            pattern=r"^(20[0-9]{2}-(0[1-9]|1[0-2])|today|7d|30d|90d|month)$",
            description="A month, or days up to today (UTC).",
            examples=["2026-05", "today", "7d", "30d", "90d", "month"],
        ),
    ] = "month"
    people: Annotated[
        Literal["shown", "hidden"], Field(description="Whether employees are named, or told apart only.")
    ] = "shown"
    department: _Only = None
    project: _Only = None
    client: _Only = None
    employee: _Only = None
    provider: _Only = None
    model: _Only = None
    task_type: _Only = None

    def days(self, now: datetime) -> Period:
        """Give the days that are asked for; a month that is under way has all of its days."""
        today = now.astimezone(UTC).date()
        if self.period == "today":
            return Period(today, today)
        if self.period in _DAYS:
            return Period(today - timedelta(days=_DAYS[self.period] - 1), today)
        first = today.replace(day=1) if self.period == "month" else _first_of(self.period)
        return Period(first, first.replace(day=monthrange(first.year, first.month)[1]))

    def is_now(self, now: datetime) -> bool:
        """Tell whether the period includes this day, so that it still changes."""
        days = self.days(now)
        return days.first <= now.astimezone(UTC).date() <= days.last

    @property
    def only(self) -> dict[Dimension, str]:
        """The part of the usage that is asked for."""
        asked = {dimension: getattr(self, dimension.value) for dimension in FILTERS}
        return {dimension: value for dimension, value in asked.items() if value is not None}

    @property
    def path(self) -> Attribution:
        """The part of the tree that is asked for; what is unattributed cannot be said this way."""
        return Attribution(**{name: getattr(self, name) or None for name in _LEVELS})

    def slice(self, organisation: str, within: Attribution, now: datetime) -> Slice:
        """Give the part of the usage that is asked for and may be seen."""
        return Slice(organisation, self.days(now), self.only).within(within)

    def parameters(self, **changed: str | None) -> dict[str, str]:
        """Give the query of a link to the same view, with changes; None takes one away."""
        said = {**self.model_dump(exclude_none=True, exclude_defaults=True), **changed}
        return {name: value for name, value in said.items() if value is not None}

    @staticmethod
    def periods(now: datetime) -> Mapping[str, str]:
        """Give the periods to choose from, with their names."""
        month = now.astimezone(UTC).date().replace(day=1)
        offered = {"month": f"{month:%B %Y}", "today": "Today", **{key: f"{days} days" for key, days in _DAYS.items()}}
        for _ in range(_MONTHS_OFFERED):
            month = (month - timedelta(days=1)).replace(day=1)
            offered[f"{month:%Y-%m}"] = f"{month:%B %Y}"
        return offered


class Pageful(View):
    """The query of a page with a long list."""

    before: Annotated[
        str | None, Field(max_length=400, description="Goes on with what is older than this; as the page links.")
    ] = None


_LEVELS = tuple(level.value for level in (Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE))


def _first_of(month: str) -> date:
    return date(int(month[:4]), int(month[5:]), 1)
