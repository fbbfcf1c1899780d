"""Statements as documents: chargeback by department, client or project, and an organisation's consolidated invoice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from p402.exporters.documents.pdf.blocks import (
    Attachment,
    Block,
    Column,
    Document,
    Facts,
    Paragraph,
    Relationship,
    Section,
    Table,
    Value,
)
from p402.exporters.documents.pdf.figures import amounts, count, shortened, utc
from p402.exporters.documents.pdf.proof import files_section
from p402.exporters.documents.pdf.typeset import typeset
from p402.exporters.documents.statement import (
    Amounts,
    Statement,
    StatementBy,
    StatementLine,
    Usages,
    make_statement,
)
from p402.vocabulary import Attribution, Level, Money, rfc3339

__all__ = ["PeriodStatement", "render_statement", "statement_document"]

_NOTHING = Money(0)
_MOST_DETAILS = 2_000
"""Lines of detail that are set; more of them nobody reads on paper."""
_TITLES = {
    StatementBy.ORGANISATION: "Consolidated invoice of AI usage",
    StatementBy.DEPARTMENT: "Chargeback statement by department",
    StatementBy.PROJECT: "Chargeback statement by project",
    StatementBy.CLIENT: "Chargeback statement by client",
    StatementBy.MODEL: "Statement of AI usage by model",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodStatement:
    """What a statement's document is made from."""

    statement: Statement
    within: Attribution
    """What it covers: an organisation, or a part of one down to the client."""
    period: str
    """A month (UTC), such as ``2026-10``."""
    closed_at: datetime | None
    """When the period was closed, after which its figures do not change; None while it is open."""
    made_at: datetime
    """The time that it shows."""
    machine_copy: bytes
    """The statement in JSON, as the API gives it."""


def render_statement(given: PeriodStatement) -> bytes:
    """Set a statement as PDF/A-3b; the same statement gives the same bytes.

    Raises:
        DocumentFailed: if it could not be set.
    """
    return typeset(statement_document(given))


def statement_document(given: PeriodStatement) -> Document:
    """Say what was spent, by whom, and what is added for it."""
    statement = given.statement
    files = (
        Attachment(
            name=f"statement-{given.period}.json",
            content=given.machine_copy,
            media_type="application/json",
            relationship=Relationship.DATA,
            description="The statement with all its lines, for machines.",
        ),
    )
    organisation = given.within.organisation or ""
    return Document(
        title=_TITLES[statement.by],
        issuer=organisation,
        lead=_lead(given),
        sections=(*_summaries(statement), _unattributed(statement), *_details(statement), files_section(files)),
        footer=f"{_TITLES[statement.by]}, {shortened(organisation)}, {given.period}",
        created=given.made_at,
        attachments=files,
    )


def _lead(given: PeriodStatement) -> tuple[tuple[str, Value], ...]:
    totals = given.statement.totals
    cost, adjustments, markup, total = amounts(
        [str(totals.cost), str(totals.adjustments), str(totals.markup), str(totals.total)]
    )
    narrowed = tuple(
        (level.value.capitalize(), Value(value))
        for level, value in given.within
        if value is not None and level is not Level.ORGANISATION
    )
    state = "Open: figures as of the date of this statement; more may be added"
    if given.closed_at is not None:
        state = f"Closed {utc(rfc3339(given.closed_at))}; later charges post to later periods as adjustments"
    late = f"of which {adjustments} USD adjusts closed periods" if totals.adjustment_charges else ""
    missing = f"{_charges(totals.unpriced_charges)} without a known price not included"
    return (
        *narrowed,
        ("Period", Value(given.period, note="calendar month, UTC")),
        ("State", Value(state)),
        ("Date of this statement", Value(utc(rfc3339(given.made_at)))),
        ("Cost of usage", Value(f"{cost} USD", note=late)),
        ("Mark-up", Value(f"{markup} USD") if totals.markup != _NOTHING else Value("", note="none")),
        ("Total", Value(f"{total} USD", note=missing if totals.unpriced_charges else "")),
    )


def _summaries(statement: Statement) -> list[Section]:
    """Give the table of the lines; of an invoice, a table for each way of dividing it, each with the same total."""
    if statement.by is not StatementBy.ORGANISATION:
        return [Section("Summary", (_table(statement.by.value.capitalize(), statement),))]
    ways = (StatementBy.DEPARTMENT, StatementBy.CLIENT, StatementBy.PROJECT, StatementBy.MODEL)
    sections = [Section(f"By {by.value}", (_table(by.value.capitalize(), _divided(statement, by)),)) for by in ways]
    adjustments = _adjustments(statement)
    return sections if adjustments is None else [*sections, adjustments]


def _divided(statement: Statement, by: StatementBy) -> Statement:
    """Divide the same usage another way; mark-ups stay as they are."""
    parts = [part for line in statement.lines for part in line.parts]
    return make_statement(parts, (), by, Attribution())


def _adjustments(statement: Statement) -> Section | None:
    """List the closed periods that this one corrects."""
    late = [part for line in statement.lines for part in line.parts if part.adjusts is not None]
    if not late:
        return None
    periods = sorted({part.adjusts for part in late if part.adjusts is not None})
    sums = [[part for part in late if part.adjusts == period] for period in periods]
    totals = [sum((part.cost for part in parts), _NOTHING) for parts in sums]
    *costs, total = amounts([*map(str, totals), str(sum(totals, _NOTHING))])
    charges = [sum(part.charges for part in parts) for parts in sums]
    rows = tuple(
        (Value(period), Value(count(number)), Value(cost))
        for period, number, cost in zip(periods, charges, costs, strict=True)
    )
    columns = (Column("Closed period", figures=False), Column("Charges"), Column("Cost", "USD"))
    note = (
        "Charges of calls that began in a closed period and were recorded later. They are included in the sums above."
    )
    totals_row = (Value("Total"), Value(count(sum(charges))), Value(total))
    return Section("Adjustments of closed periods", (Table(columns, rows, (totals_row,)), Paragraph(note, quiet=True)))


def _unattributed(statement: Statement) -> Section:
    """Tell how much belongs to nobody: what somebody still has to find out."""
    parts = [part for line in statement.lines for part in line.parts]
    rows = []
    for level in ("department", "project", "client"):
        without = [part for part in parts if getattr(part, level) is None]
        cost = sum((part.cost for part in without), _NOTHING)
        charges = sum(part.charges for part in without)
        said = f"{amounts([str(cost)])[0]} USD in {_charges(charges)}" if without else "nothing"
        rows.append((f"No {level}", Value(said)))
    return Section("Unattributed usage", (Facts(tuple(rows)),))


def _details(statement: Statement) -> list[Section]:
    if statement.by is StatementBy.ORGANISATION:
        return []
    number = sum(len(line.parts) for line in statement.lines)
    if number > _MOST_DETAILS:
        said = f"This statement has {count(number)} lines of detail; all of them are in the attached file."
        return [Section("Details", (Paragraph(said),))]
    marked_up = statement.totals.markup != _NOTHING
    named = statement.by.value.capitalize()
    return [
        Section(f"{named}: {line.of or 'not attributed'}", (_parts(statement.by, line, marked_up=marked_up),))
        for line in statement.lines
    ]


def _parts(by: StatementBy, line: StatementLine, *, marked_up: bool) -> Block:
    """Give the smallest lines of one line, by whatever else they are told apart by."""
    levels = [level for level in ("department", "project", "client") if level != by.value]
    columns = (
        *(Column(level.capitalize(), figures=False, weight=3) for level in levels),
        Column("Model", figures=False, weight=4),
        Column("Charges"),
        Column("Input", "tokens"),
        Column("Output", "tokens"),
        *_money_columns(marked_up=marked_up),
    )
    amounted = [_Row.of_part(part) for part in line.parts]
    last = _Row.of(line.amounts)
    money = _money([*amounted, last], marked_up=marked_up)
    rows = tuple(
        (
            *(_node(getattr(part, level)) for level in levels),
            Value(
                part.model, note=part.provider if part.adjusts is None else f"{part.provider}; adjusts {part.adjusts}"
            ),
            *_figures(row),
            *shown,
        )
        for part, row, shown in zip(line.parts, amounted, money, strict=False)
    )
    total = (Value("Total"), *(Value("") for _ in levels), *_figures(last), *money[-1])
    return Table(columns, rows, (total,))


def _table(title: str, statement: Statement) -> Table:
    lines, totals = statement.lines, statement.totals
    marked_up = totals.markup != _NOTHING
    columns = (
        Column(title, figures=False),
        Column("Charges"),
        Column("Input", "tokens"),
        Column("Output", "tokens"),
        *_money_columns(marked_up=marked_up),
    )
    all_rows = [_Row.of(line.amounts) for line in lines] + [_Row.of(totals)]
    *money, last = _money(all_rows, marked_up=marked_up)
    rows = tuple(
        (_node(line.of), *_figures(row), *shown) for line, row, shown in zip(lines, all_rows, money, strict=False)
    )
    return Table(columns, rows, ((Value("Total"), *_figures(all_rows[-1]), *last),))


@dataclass(frozen=True, slots=True)
class _Row:
    """The figures of a line."""

    charges: int
    input_tokens: int
    output_tokens: int
    cost: Money
    markup: Money

    @classmethod
    def of(cls, found: Amounts) -> _Row:
        return cls(found.charges, found.input_tokens, found.output_tokens, found.cost, found.markup)

    @classmethod
    def of_part(cls, found: Usages) -> _Row:
        return cls(found.charges, found.input_tokens, found.output_tokens, found.cost, found.markup)


def _figures(row: _Row) -> tuple[Value, Value, Value]:
    return Value(count(row.charges)), Value(count(row.input_tokens)), Value(count(row.output_tokens))


def _money_columns(*, marked_up: bool) -> tuple[Column, ...]:
    more = (Column("Mark-up", "USD"), Column("Total", "USD")) if marked_up else ()
    return (Column("Cost", "USD"), *more)


def _money(rows: Sequence[_Row], *, marked_up: bool) -> list[tuple[Value, ...]]:
    """Write the amounts of all rows of a table, each column with as many decimals as it needs."""
    columns = [[row.cost for row in rows]]
    if marked_up:
        columns += [[row.markup for row in rows], [row.cost + row.markup for row in rows]]
    return [
        tuple(map(Value, row)) for row in zip(*(amounts(list(map(str, column))) for column in columns), strict=True)
    ]


def _charges(number: int) -> str:
    return "1 charge" if number == 1 else f"{count(number)} charges"


def _node(name: str | None) -> Value:
    return Value("", note="not attributed") if name is None else Value(name)
