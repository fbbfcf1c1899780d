"""Budgets in words (pure)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from p402.collector.budgets.budget import Budget
from p402.collector.budgets.definition import show_amount
from p402.collector.budgets.period import PeriodKind
from p402.collector.dashboard.format import day, usd
from p402.decisions import Measure, Mode
from p402.vocabulary import Level, Money

__all__ = ["amount_in_words", "budget_in_words", "nodes_in_words", "nodes_said", "period_in_words", "tried_in_words"]

_UNITS = {Measure.TOKENS: "tokens", Measure.REQUESTS: "calls", Measure.CONCURRENCY: "calls at once"}


def amount_in_words(measure: Measure, amount: int) -> str:
    """Write an amount of a budget's measure, exactly: ``$20,000.00``, ``1,000 calls``."""
    if measure is Measure.COST:
        return usd(Money(amount))
    return f"{int(show_amount(measure, amount)):,} {_UNITS[measure]}"


def period_in_words(budget: Budget) -> str:
    """Say for how long the cap is: ``a month (Europe/Berlin)``, ``within any 24 hours``, ``in all``."""
    period = budget.period
    if budget.level is Level.REQUEST:
        return "each"
    if period.kind is PeriodKind.TOTAL:
        return "" if budget.measure is Measure.CONCURRENCY else "in all"
    if period.length is not None:
        return f"within any {_span(period.length)}"
    zone = "" if period.time_zone == "UTC" else f" ({period.time_zone})"
    return f"a {period.kind.value}{zone}"


def tried_in_words(budget: Budget, begin: datetime, *, over: bool) -> str:
    """Name a period that a budget is tried on by its days, which are those of the budget's time zone."""
    period = budget.period
    if period.length is not None:
        return f"Since {day(begin.date())}"
    if period.kind is PeriodKind.TOTAL:
        return "All until now"
    local = begin.astimezone(ZoneInfo(period.time_zone)).date()
    named = {
        PeriodKind.MONTH: f"{local:%B %Y}",
        PeriodKind.WEEK: f"The week from {day(local)}",
        PeriodKind.DAY: day(local),
    }[period.kind]
    return f"{named}, complete" if over else f"{named}, so far"


def _span(length: timedelta) -> str:
    seconds = length // timedelta(seconds=1)
    for name, many in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % many == 0 and (seconds >= 2 * many or name == "minute"):
            return f"{seconds // many} {name}{'' if seconds == many else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def nodes_in_words(budget: Budget, called: Callable[[Level, str], str] = lambda _, node: node) -> str:
    """Say whose calls are counted: ``the department legal``, ``each employee within department legal``.

    Args:
        budget: of which.
        called: gives what the nodes are called that `nodes_said` gives.
    """
    if budget.level is Level.REQUEST:
        whose = "single calls"
    elif budget.node is None:
        whose = f"each {budget.level.value}"
    else:
        whose = f"the {budget.level.value} {called(budget.level, budget.node)}"
    within = [f"{level.value} {called(level, value)}" for level, value in budget.within if value is not None]
    return f"{whose} within {' and '.join(within)}" if within else whose


def nodes_said(budget: Budget) -> Sequence[tuple[Level, str | None]]:
    """Give the nodes that the words name."""
    return [(budget.level, budget.node), *budget.within]


def budget_in_words(budget: Budget, called: Callable[[Level, str], str] = lambda _, node: node) -> str:
    """Say all of it in a sentence or two; see `nodes_in_words`."""
    cap = " ".join(filter(None, (amount_in_words(budget.measure, budget.cap), period_in_words(budget))))
    said = f"At most {cap} for {nodes_in_words(budget, called)}."
    if budget.mode is Mode.OBSERVE:
        return f"{said} Observed only: what goes beyond is noted, and no call is refused."
    said += " Enforced: a call that does not fit is refused, unless the department's policy finds another way."
    if budget.hard:
        said += " Hard: refused too when the collector cannot be asked, or a model has no known price."
    return said
