"""Statements of a month: who is charged what for AI usage, and what is added for it.

The smallest lines are sums of the ledger, by department, project, client and model; every other amount here is a sum of
those, so it agrees with the ledger to the nano-dollar at each level. A mark-up is a share of what its rule covers, rounded
half-even once, and divided among the lines of the rule by largest remainder: each line shows cost and mark-up apart, and
what a client pays is exactly its percentage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import Any

from p402.exporters.documents.apportion import apportion, divide_half_even
from p402.exporters.documents.csv_lines import Cell
from p402.vocabulary import Attribution, Level, Money

__all__ = [
    "STATEMENT_COLUMNS",
    "Amounts",
    "MarkupRule",
    "Statement",
    "StatementBy",
    "StatementLine",
    "Usages",
    "make_statement",
    "markup_of",
    "statement_cells",
    "statement_value",
]

_ONE = 10_000
"""Basis points of the whole."""
_NOTHING = Money(0)
_LEVELS = (Level.DEPARTMENT, Level.PROJECT, Level.CLIENT)


class StatementBy(StrEnum):
    """What the lines of a statement are for."""

    ORGANISATION = "organisation"
    """One line: the consolidated invoice, with its parts."""
    DEPARTMENT = "department"
    PROJECT = "project"
    CLIENT = "client"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkupRule:
    """What is added to the cost of a client's or a project's usage; None fits all."""

    client: str | None = None
    project: str | None = None
    department: str | None = None
    basis_points: int
    """Hundredths of a per cent: 1,250 are 12.5 %."""

    def fits(self, department: str | None, project: str | None, client: str | None) -> bool:
        """Tell whether usage is under this rule."""
        pairs = ((self.department, department), (self.project, project), (self.client, client))
        return all(wanted is None or wanted == found for wanted, found in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usages:
    """The smallest line: what one department spent for one client and project with one model."""

    department: str | None
    """None: unattributed, as with the next two."""
    project: str | None
    client: str | None
    provider: str
    model: str
    adjusts: str | None
    """The closed period in which the calls began, such as ``2026-09``; None: the period of the statement."""
    cost: Money
    charges: int
    unpriced_charges: int
    input_tokens: int
    output_tokens: int
    markup: Money = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What something comes to."""

    cost: Money
    adjustments: Money
    """The part of the cost that is for calls of closed periods."""
    markup: Money
    charges: int
    adjustment_charges: int
    unpriced_charges: int
    input_tokens: int
    output_tokens: int

    @property
    def total(self) -> Money:
        """Cost and mark-up."""
        return self.cost + self.markup


@dataclass(frozen=True, slots=True)
class StatementLine:
    """What one node, or one model, came to."""

    of: str | None
    """None: what is not attributed to any."""
    amounts: Amounts
    parts: tuple[Usages, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """All lines of a month, in the order of their names, what is unattributed last."""

    by: StatementBy
    lines: tuple[StatementLine, ...]
    totals: Amounts


def markup_of(
    rules: Sequence[MarkupRule], department: str | None, project: str | None, client: str | None
) -> MarkupRule | None:
    """Give the rule that usage is under: the first that fits."""
    return next((rule for rule in rules if rule.fits(department, project, client)), None)


def make_statement(
    usages: Iterable[Usages], rules: Sequence[MarkupRule], by: StatementBy, within: Attribution
) -> Statement:
    """Make a statement.

    Args:
        usages: of the whole organisation, even if only a part of it is shown: a rule's mark-up is divided once.
        rules: the first that fits applies.
        by: what the lines are for.
        within: the part of the organisation that is shown; down to the client.
    """
    shown = [(level.value, value) for level, value in within if value is not None and level in _LEVELS]
    marked = [
        usage
        for usage in _marked_up(sorted(usages, key=_place), rules)
        if all(getattr(usage, level) == value for level, value in shown)
    ]

    def line_of(usage: Usages) -> str | None:
        match by:
            case StatementBy.ORGANISATION:
                return within.organisation
            case StatementBy.MODEL:
                return f"{usage.provider}/{usage.model}"
            case _:
                found: str | None = getattr(usage, by.value)
                return found

    def order(usage: Usages) -> tuple[bool, str]:
        name = line_of(usage)
        return name is None, name or ""

    lines = []
    for (unattributed, name), group in groupby(sorted(marked, key=order), key=order):
        parts = tuple(group)
        lines.append(StatementLine(None if unattributed else name, _sum(parts), parts))
    return Statement(by, tuple(lines), _sum(marked))


STATEMENT_COLUMNS = (
    "period",
    "by",
    "of",
    "cost_usd",
    "adjustments_usd",
    "markup_usd",
    "total_usd",
    "charges",
    "adjustment_charges",
    "unpriced_charges",
    "input_tokens",
    "output_tokens",
)


def statement_cells(period: str, by: StatementBy, line: StatementLine) -> tuple[Cell, ...]:
    """Give the cells of a line, in the order of `STATEMENT_COLUMNS`. There is no line of totals: cells shall add up."""
    amounts = line.amounts
    return (
        period,
        by.value,
        line.of,
        amounts.cost,
        amounts.adjustments,
        amounts.markup,
        amounts.total,
        amounts.charges,
        amounts.adjustment_charges,
        amounts.unpriced_charges,
        amounts.input_tokens,
        amounts.output_tokens,
    )


def statement_value(statement: Statement) -> dict[str, Any]:
    """Give a statement as JSON values; amounts are decimal strings of USD."""
    return {
        "by": statement.by.value,
        "lines": [
            {"of": line.of, **_amounts_value(line.amounts), "parts": [_usages_value(part) for part in line.parts]}
            for line in statement.lines
        ],
        "totals": _amounts_value(statement.totals),
    }


def _marked_up(usages: Sequence[Usages], rules: Sequence[MarkupRule]) -> list[Usages]:
    under: dict[MarkupRule, list[int]] = {}
    for number, usage in enumerate(usages):
        rule = markup_of(rules, usage.department, usage.project, usage.client)
        if rule is not None:
            under.setdefault(rule, []).append(number)
    marked = list(usages)
    for rule, numbers in under.items():
        exact = [usages[number].cost.nano_usd * rule.basis_points for number in numbers]
        shares = apportion(divide_half_even(sum(exact), _ONE), exact, _ONE)
        for number, share in zip(numbers, shares, strict=True):
            marked[number] = replace(usages[number], markup=Money(share))
    return marked


def _place(usage: Usages) -> tuple[str, ...]:
    named = (usage.department, usage.project, usage.client, usage.provider, usage.model, usage.adjusts)
    return tuple(name or "" for name in named)


def _sum(parts: Sequence[Usages]) -> Amounts:
    late = [part for part in parts if part.adjusts is not None]
    return Amounts(
        cost=sum((part.cost for part in parts), _NOTHING),
        adjustments=sum((part.cost for part in late), _NOTHING),
        markup=sum((part.markup for part in parts), _NOTHING),
        charges=sum(part.charges for part in parts),
        adjustment_charges=sum(part.charges for part in late),
        unpriced_charges=sum(part.unpriced_charges for part in parts),
        input_tokens=sum(part.input_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
    )


def _amounts_value(amounts: Amounts) -> dict[str, Any]:
    return {
        "cost_usd": str(amounts.cost),
        "adjustments_usd": str(amounts.adjustments),
        "markup_usd": str(amounts.markup),
        "total_usd": str(amounts.total),
        "charges": amounts.charges,
        "adjustment_charges": amounts.adjustment_charges,
        "unpriced_charges": amounts.unpriced_charges,
        "tokens": {"input": amounts.input_tokens, "output": amounts.output_tokens},
    }


def _usages_value(part: Usages) -> dict[str, Any]:
    return {
        "department": part.department,
        "project": part.project,
        "client": part.client,
        "provider": part.provider,
        "model": part.model,
        "adjusts": part.adjusts,
        "cost_usd": str(part.cost),
        "markup_usd": str(part.markup),
        "total_usd": str(part.cost + part.markup),
        "charges": part.charges,
        "unpriced_charges": part.unpriced_charges,
        "tokens": {"input": part.input_tokens, "output": part.output_tokens},
    }
