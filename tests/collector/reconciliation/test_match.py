"""Invoice beside ledger: the reasons of a difference are the right ones, and add up to it to the nano-dollar."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from p402.collector.reconciliation.lines import InvoiceLine, LineKind, ProviderExport
from p402.collector.reconciliation.match import Difference, LedgerSum, Place, Reason, reconcile
from p402.vocabulary import Money

DAY = date(2026, 10, 3)
IN, OUT, READ = LineKind.INPUT, LineKind.OUTPUT, LineKind.CACHE_READ
PRICES = {IN: Fraction(2_500), OUT: Fraction(10_000), READ: Fraction(1_250)}  # gpt-4o: nano-USD a token


def price(_: date, model: str, kind: LineKind) -> Fraction | None:
    return PRICES.get(kind) if model == "gpt-4o" else None


def usage(model: str = "gpt-4o", key: str | None = None, **tokens: int) -> ProviderExport:
    lines = [
        InvoiceLine(day=DAY, model=model, key=key, kind=LineKind(kind), tokens=count) for kind, count in tokens.items()
    ]
    return ProviderExport(provider="openai", shape="usage", lines=tuple(lines))


def costs(
    *amounts: str, model: str | None = "gpt-4o", quantum: int = 1, kind: LineKind = LineKind.ANY
) -> ProviderExport:
    lines = [InvoiceLine(day=DAY, model=model, kind=kind, amount=Money.parse(amount)) for amount in amounts]
    named = model is not None
    return ProviderExport(
        provider="openai", shape="costs", lines=tuple(lines), quantum_nano_usd=quantum, names_models=named
    )


def ledger(cost: str, *, model: str = "gpt-4o", part: str = "", unpriced: int = 0, **tokens: int) -> LedgerSum:
    counts = {LineKind(kind): count for kind, count in tokens.items()}
    place = Place(DAY, model, part)
    return LedgerSum(place=place, tokens=counts, charges=10, unpriced_charges=unpriced, cost=Money.parse(cost))


def compare(*exports: ProviderExport, of: list[LedgerSum], parts: frozenset[str] = frozenset()) -> list[Difference]:
    return reconcile(exports, of, parts, price)


def reasons(found: Difference) -> dict[str, str]:
    return {reason.value: str(amount) for reason, amount in found.reasons.items()}


def test_what_agrees_has_no_reasons() -> None:
    [same] = compare(usage(input=1_000, output=100), costs("0.0035"), of=[ledger("0.0035", input=1_000, output=100)])
    assert (same.difference, dict(same.reasons)) == (Money(0), {})


def test_tokens_that_only_the_invoice_has_were_not_metered() -> None:
    # 400 more in at 2.50 a million: 0.001.
    [found] = compare(usage(input=1_400, output=100), costs("0.0045"), of=[ledger("0.0035", input=1_000, output=100)])
    assert (str(found.difference), reasons(found)) == ("0.001", {"unmetered": "0.001"})


def test_tokens_that_only_the_ledger_has_were_not_billed() -> None:
    [found] = compare(usage(input=600, output=100), costs("0.0025"), of=[ledger("0.0035", input=1_000, output=100)])
    assert reasons(found) == {"not_billed": "-0.001"}


def test_the_same_tokens_at_another_price_are_a_difference_of_price() -> None:
    [found] = compare(usage(input=1_000, output=100), costs("0.0028"), of=[ledger("0.0035", input=1_000, output=100)])
    assert reasons(found) == {"price": "-0.0007"}


def test_both_at_once_are_told_apart() -> None:
    # 200 more out at 10 a million: 0.002; the other 0.0003 are no tokens.
    [found] = compare(usage(input=1_000, output=300), costs("0.0058"), of=[ledger("0.0035", input=1_000, output=100)])
    assert reasons(found) == {"unmetered": "0.002", "price": "0.0003"}


def test_the_last_digit_of_the_invoice_is_rounding() -> None:
    cents = costs("0.01", "0.01", quantum=10_000_000)
    [found] = compare(usage(input=1_000, output=1_000), cents, of=[ledger("0.0125", input=1_000, output=1_000)])
    assert reasons(found) == {"rounding": "0.0075"}


def test_calls_without_a_price_are_named() -> None:
    [found] = compare(
        usage(input=1_000, output=100), costs("0.0035"), of=[ledger("0", unpriced=10, input=1_000, output=100)]
    )
    assert reasons(found) == {"unpriced": "0.0035"}


def test_credits_and_searches_stand_apart() -> None:
    search = costs("0.03", kind=LineKind.OTHER)
    credit = costs("-0.0035", kind=LineKind.CREDIT)
    [found] = compare(
        usage(input=1_000, output=100), costs("0.0035"), search, credit, of=[ledger("0.0035", input=1_000, output=100)]
    )
    assert (str(found.difference), reasons(found)) == ("0.0265", {"credits": "-0.0035", "other_services": "0.03"})


def test_a_model_that_nobody_metered_is_unmetered_whatever_it_is() -> None:
    [theirs, ours] = compare(costs("7", model="o9"), of=[ledger("0.0035", model="x-1", input=1_000)])
    assert (theirs.place.model, reasons(theirs)) == ("o9", {"unmetered": "7"})
    assert (ours.place.model, reasons(ours)) == ("x-1", {"not_billed": "-0.0035"})


def test_costs_without_tokens_leave_price_and_volume_together() -> None:
    [found] = compare(costs("0.0045"), of=[ledger("0.0035", input=1_000, output=100)])
    assert reasons(found) == {"unexplained": "0.001"}


def test_costs_without_models_are_compared_by_the_day() -> None:
    [found] = compare(costs("0.0070", model=None), of=[ledger("0.0035"), ledger("0.0035", model="o3")])
    assert (found.place.model, str(found.difference), found.ledger and found.ledger.charges) == ("", "0", 20)


def test_usage_alone_values_the_tokens_that_differ() -> None:
    [found] = compare(usage(input=1_400, output=50), of=[ledger("0.0035", input=1_000, output=100)])
    assert (found.difference, reasons(found)) == (None, {"unmetered": "0.001", "not_billed": "-0.0005"})


def test_a_key_is_compared_with_the_part_of_the_tree_that_it_pays_for() -> None:
    both = [ledger("0.0025", part="key_1", input=1_000), ledger("0.0025", input=1_000)]
    exports = usage(key="key_1", input=1_000), usage(key="key_2", input=400)
    found = {item.place.part: reasons(item) for item in compare(*exports, of=both, parts=frozenset({"key_1"}))}
    assert found == {"key_1": {}, "": {"not_billed": "-0.0015"}}  # 600 at 2.50 a million


def test_quantities_of_a_cost_export_are_not_counted_twice() -> None:
    counted = ProviderExport(
        provider="openai",
        shape="costs",
        lines=(InvoiceLine(day=DAY, model="gpt-4o", kind=IN, tokens=1_000, amount=Money.parse("0.0025")),),
    )
    [found] = compare(usage(input=1_000), counted, of=[ledger("0.0025", input=1_000)])
    assert (found.difference, found.invoice and found.invoice.tokens) == (Money(0), {IN: 1_000})


models = st.sampled_from(["gpt-4o", "o9"])
counts = st.integers(0, 10**9)
money = st.integers(-(10**12), 10**12).map(Money)


@st.composite
def invoice_lines(draw: st.DrawFn) -> InvoiceLine:
    fields: dict[str, Any] = {"tokens": draw(st.none() | counts), "amount": draw(st.none() | money)}
    kind = draw(st.sampled_from(LineKind))
    return InvoiceLine(day=DAY, model=draw(models), key=draw(st.sampled_from([None, "k"])), kind=kind, **fields)


@st.composite
def ledger_sums(draw: st.DrawFn) -> LedgerSum:
    return LedgerSum(
        place=Place(DAY, draw(models), draw(st.sampled_from(["", "k"]))),
        tokens={IN: draw(counts), OUT: draw(counts), READ: draw(counts)},
        charges=draw(st.integers(1, 100)),
        unpriced_charges=draw(st.integers(0, 1)),
        cost=draw(money),
    )


@given(st.lists(st.lists(invoice_lines(), max_size=8), min_size=1, max_size=3), st.lists(ledger_sums(), max_size=6))
def test_reasons_always_add_up_and_nothing_is_lost(exported: list[list[InvoiceLine]], ours: list[LedgerSum]) -> None:
    exports = [ProviderExport(provider="openai", shape="x", lines=tuple(lines)) for lines in exported]
    found = reconcile(exports, ours, frozenset({"k"}), price)
    billed = sum((line.amount for lines in exported for line in lines if line.amount), Money(0))
    if not any(line.amount is not None for lines in exported for line in lines):
        assert all(item.difference is None for item in found)
        return
    assert sum((item.difference for item in found if item.difference), Money(0)) == billed - sum(
        (item.cost for item in ours), Money(0)
    )
    for item in found:
        assert sum(item.reasons.values(), Money(0)) == item.difference
        assert set(item.reasons) <= set(Reason)
