"""Statements: at every level the lines add up to the ledger, and a client pays exactly its percentage on top."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.exporters.documents.csv_lines import Cell
from p402.exporters.documents.statement import (
    STATEMENT_COLUMNS,
    MarkupRule,
    StatementBy,
    Usages,
    make_statement,
    markup_of,
    statement_cells,
    statement_value,
)
from p402.vocabulary import Attribution, Money

ACME = Attribution("acme")


def usages(cost: int = 100, **changed: Any) -> Usages:
    values: dict[str, Any] = {
        "department": "legal",
        "project": "contracts",
        "client": "globex",
        "provider": "anthropic",
        "model": "claude-opus-4-5",
        "adjusts": None,
        "charges": 1,
        "unpriced_charges": 0,
        "input_tokens": 10,
        "output_tokens": 5,
    }
    return Usages(**{**values, **changed}, cost=Money(cost))


def test_a_line_for_each_node_and_one_for_what_is_unattributed_last() -> None:
    statement = make_statement(
        [usages(department=None), usages(department="sales"), usages(), usages(7, model="other")],
        (),
        StatementBy.DEPARTMENT,
        ACME,
    )
    assert [(line.of, line.amounts.cost.nano_usd) for line in statement.lines] == [
        ("legal", 107),
        ("sales", 100),
        (None, 100),
    ]
    assert statement.totals.cost == Money(307)


def test_what_adjusts_a_closed_period_is_shown_as_that() -> None:
    statement = make_statement([usages(5, adjusts="2026-09"), usages()], (), StatementBy.CLIENT, ACME)
    [line] = statement.lines
    assert (line.amounts.cost, line.amounts.adjustments, line.amounts.adjustment_charges) == (Money(105), Money(5), 1)
    assert [part["adjusts"] for part in statement_value(statement)["lines"][0]["parts"]] == [None, "2026-09"]


def test_the_first_rule_that_fits_marks_up_and_the_rest_stays_at_cost() -> None:
    rules = (
        MarkupRule(client="globex", project="tender", basis_points=0),
        MarkupRule(client="globex", basis_points=1250),
    )
    statement = make_statement(
        [usages(1000), usages(1000, project="tender"), usages(1000, client="initech")], rules, StatementBy.PROJECT, ACME
    )
    assert [(line.of, line.amounts.cost.nano_usd, line.amounts.markup.nano_usd) for line in statement.lines] == [
        ("contracts", 2000, 125),
        ("tender", 1000, 0),
    ]


def test_half_a_nano_dollar_is_rounded_once_for_the_client_and_not_for_each_part() -> None:
    parts = [usages(1, model=f"m{number}") for number in range(10)]
    [line] = make_statement(parts, [MarkupRule(client="globex", basis_points=5000)], StatementBy.CLIENT, ACME).lines
    assert line.amounts.markup == Money(5)
    assert [part.markup.nano_usd for part in line.parts] == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_who_sees_a_part_sees_the_lines_of_that_part_as_everybody_does() -> None:
    parts = [usages(1, department=f"d{number}") for number in range(5)]
    rules = [MarkupRule(basis_points=5000)]
    whole = make_statement(parts, rules, StatementBy.DEPARTMENT, ACME)
    for line in whole.lines:
        assert make_statement(parts, rules, StatementBy.DEPARTMENT, Attribution("acme", line.of)).lines == (line,)


def test_the_consolidated_invoice_is_one_line_with_its_parts() -> None:
    [line] = make_statement([usages(), usages(client=None)], (), StatementBy.ORGANISATION, ACME).lines
    assert (line.of, line.amounts.cost, len(line.parts)) == ("acme", Money(200), 2)


names = st.sampled_from([None, "a", "b"])
many = st.lists(
    st.builds(
        lambda cost, department, project, client, model, adjusts: usages(
            cost, department=department, project=project, client=client, model=model, adjusts=adjusts
        ),
        st.integers(0, 10**12),
        names,
        names,
        names,
        st.sampled_from(["m", "n"]),
        st.sampled_from([None, "2026-09"]),
    ),
    max_size=30,
)
some_rules = st.lists(
    st.builds(MarkupRule, client=names, project=names, department=names, basis_points=st.integers(0, 20_000)),
    max_size=4,
)


@pytest.mark.parametrize("by", list(StatementBy))
@given(many, some_rules)
def test_the_lines_of_every_level_add_up_to_the_ledger_to_the_nano_dollar(
    by: StatementBy, parts: list[Usages], rules: list[MarkupRule]
) -> None:
    statement = make_statement(parts, rules, by, ACME)
    ledger = sum((part.cost for part in parts), Money(0))
    assert statement.totals.cost == sum((line.amounts.cost for line in statement.lines), Money(0)) == ledger
    assert statement.totals.charges == len(parts)
    marked = [(part, rule) for part in parts if (rule := markup_of(rules, part.department, part.project, part.client))]
    exact = sum((Fraction(part.cost.nano_usd * rule.basis_points, 10_000) for part, rule in marked), Fraction(0))
    assert abs(statement.totals.markup.nano_usd - exact) <= Fraction(len(rules), 2)
    for line in statement.lines:
        assert line.amounts.markup == sum((part.markup for part in line.parts), Money(0))
        assert line.amounts.total == line.amounts.cost + line.amounts.markup
    assert statement.totals.markup == make_statement(parts, rules, StatementBy.MODEL, ACME).totals.markup


def test_the_cells_of_lines_add_up_to_the_statement() -> None:
    statement = make_statement([usages(), usages(50, client=None)], (), StatementBy.CLIENT, ACME)
    rows: list[dict[str, Cell]] = [
        dict(zip(STATEMENT_COLUMNS, statement_cells("2026-10", StatementBy.CLIENT, line), strict=True))
        for line in statement.lines
    ]
    assert [row["of"] for row in rows] == ["globex", None]
    assert [row["total_usd"] for row in rows] == [Money(100), Money(50)]
