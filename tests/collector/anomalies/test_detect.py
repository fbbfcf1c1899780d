"""Which sessions are flagged: exactly those that the rules name, whatever comes together and in which order."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.collector.anomalies.baseline import DAYS, Baseline, Baselines, Employee, Totals
from p402.collector.anomalies.detect import AnomalyRules, Flag, PricedCharge, Rule, SessionCost, take
from p402.vocabulary import Money

USD = 1_000_000_000
RULES = AnomalyRules(Fraction(3), 5, Money(USD // 2), Money(10 * USD))
ANNA, BEN = Employee("acme", "anna"), Employee("acme", "ben")


class Watched:
    """Sessions and baselines, kept as the database keeps them between two looks."""

    def __init__(self, rules: AnomalyRules = RULES) -> None:
        self.rules = rules
        self.days: defaultdict[tuple[Employee, int], Totals] = defaultdict(lambda: Totals(0, 0))
        self.sessions: dict[int, SessionCost] = {}

    def look(self, *charges: PricedCharge) -> list[Flag]:
        baselines = Baselines(self._stored)
        flags = take(charges, self.sessions, baselines, self.rules)
        for employee, days in baselines.new.items():
            for day, (sessions, cost) in days.items():
                self.days[employee, day] = self.days[employee, day].plus(sessions, cost)
        return flags

    def history(self, *costs: int, employee: Employee = ANNA, day: int = 100) -> None:
        for cost in costs:
            assert self.look(PricedCharge(len(self.sessions) + 1000, employee, day, cost)) == []

    def _stored(self, employee: Employee, first: int, last: int) -> Totals:
        found = [self.days[employee, day] for day in range(first, last + 1)]
        return Totals(sum(day.sessions for day in found), sum(day.cost for day in found))


def test_a_session_above_three_times_the_mean_is_flagged_with_what_it_was_compared_with() -> None:
    watched = Watched()
    watched.history(*[USD] * 5)
    assert watched.look(PricedCharge(1, ANNA, 100, 3 * USD)) == []
    [flag] = watched.look(PricedCharge(1, ANNA, 100, 1))
    assert flag == Flag(1, Rule.EMPLOYEE_MEAN, 3 * USD + 1, Baseline(5, 5 * USD))


def test_the_mean_is_exact_where_it_is_no_whole_number() -> None:
    costs = [USD, USD, USD, USD, USD, USD + 1]  # three times the mean is 3 USD and half a nano-dollar
    watched = Watched()
    watched.history(*costs)
    assert watched.look(PricedCharge(1, ANNA, 100, 3 * USD)) == []
    assert len(watched.look(PricedCharge(1, ANNA, 100, 1))) == 1


def test_few_sessions_say_nothing() -> None:
    watched = Watched()
    watched.history(*[USD] * 4)
    assert watched.look(PricedCharge(1, ANNA, 100, 9 * USD)) == []


def test_cents_alarm_nobody() -> None:
    watched = Watched()
    watched.history(*[USD // 100] * 5)
    assert watched.look(PricedCharge(1, ANNA, 100, USD // 2)) == []
    assert len(watched.look(PricedCharge(1, ANNA, 100, 1))) == 1


def test_a_session_above_ten_dollars_is_flagged_whoevers_it_is() -> None:
    watched = Watched()
    assert watched.look(PricedCharge(1, None, 100, 10 * USD)) == []
    assert watched.look(PricedCharge(1, None, 100, 1)) == [Flag(1, Rule.SESSION_COST, 10 * USD + 1, Baseline(0, 0))]
    assert watched.look(PricedCharge(2, ANNA, 100, 11 * USD)) == [Flag(2, Rule.SESSION_COST, 11 * USD, Baseline(0, 0))]


def test_a_session_is_flagged_once_for_each_rule() -> None:
    watched = Watched()
    watched.history(*[USD] * 5)
    rules = [flag.rule for _ in range(30) for flag in watched.look(PricedCharge(1, ANNA, 100, USD))]
    assert rules == [Rule.EMPLOYEE_MEAN, Rule.SESSION_COST]


@pytest.mark.parametrize(("days_later", "flagged"), [(0, 1), (DAYS, 1), (DAYS + 1, 0)])
def test_only_the_thirty_days_before_count(days_later: int, flagged: int) -> None:
    watched = Watched()
    watched.history(*[USD] * 5, day=100)
    assert len(watched.look(PricedCharge(1, ANNA, 100 + days_later, 4 * USD))) == flagged


def test_what_began_later_does_not_count() -> None:
    watched = Watched()
    watched.history(*[USD] * 5, day=101)
    assert watched.look(PricedCharge(1, ANNA, 100, 4 * USD)) == []


def test_other_people_do_not_count() -> None:
    watched = Watched()
    watched.history(*[USD] * 5, employee=BEN)
    assert watched.look(PricedCharge(1, ANNA, 100, 4 * USD)) == []


def test_a_session_belongs_to_the_day_on_which_it_began() -> None:
    watched = Watched()
    watched.history(*[USD] * 4)
    watched.look(PricedCharge(7, ANNA, 100, USD // 4))
    watched.look(PricedCharge(7, ANNA, 100 + DAYS + 1, USD // 4 * 3))
    assert watched.days[ANNA, 100] == Totals(5, 5 * USD)


def test_a_factor_with_decimals_is_exact() -> None:
    watched = Watched(AnomalyRules(Fraction("2.5"), 5, Money(0), Money(100 * USD)))
    watched.history(*[USD] * 5)
    assert watched.look(PricedCharge(1, ANNA, 100, 5 * USD // 2)) == []
    assert len(watched.look(PricedCharge(1, ANNA, 100, 1))) == 1


def _owner(scope_id: int) -> Employee | None:
    return (None, ANNA, ANNA, ANNA, BEN)[scope_id % 5]


@st.composite
def histories(draw: st.DrawFn) -> list[PricedCharge]:
    scope_ids = draw(st.lists(st.integers(1, 12), max_size=60))
    return [
        PricedCharge(scope_id, _owner(scope_id), draw(st.integers(60, 140)), draw(st.integers(0, 3 * USD)))
        for scope_id in scope_ids
    ]


def _by_definition(charges: list[PricedCharge], rules: AnomalyRules) -> list[tuple[int, Rule, int]]:
    """The same, from the history itself and without any bookkeeping."""
    flags: list[tuple[int, Rule, int]] = []
    costs: dict[int, int] = {}
    began: dict[int, int] = {}
    for charge in charges:
        scope, owner = charge.scope_id, charge.employee
        costs[scope] = costs.get(scope, 0) + charge.cost
        day = began.setdefault(scope, charge.day)
        others = [
            cost
            for other, cost in costs.items()
            if other != scope and owner and _owner(other) == owner and day - DAYS <= began[other] <= day
        ]
        seen = {(flagged, rule) for flagged, rule, _ in flags}
        above = (
            len(others) >= rules.min_sessions
            and costs[scope] > rules.min_cost.nano_usd
            and costs[scope] > rules.factor * Fraction(sum(others), len(others))
        )
        if above and (scope, Rule.EMPLOYEE_MEAN) not in seen:
            flags.append((scope, Rule.EMPLOYEE_MEAN, costs[scope]))
        if costs[scope] > rules.session_cost.nano_usd and (scope, Rule.SESSION_COST) not in seen:
            flags.append((scope, Rule.SESSION_COST, costs[scope]))
    return flags


@given(histories(), st.lists(st.integers(1, 20), max_size=20), st.integers(1, 4))
def test_what_is_flagged_follows_from_the_history_alone_however_it_is_cut(
    charges: list[PricedCharge], cuts: list[int], min_sessions: int
) -> None:
    rules = AnomalyRules(Fraction(3), min_sessions, Money(USD // 2), Money(5 * USD))
    watched = Watched(rules)
    flags, rest = [], list(charges)
    for cut in [*cuts, len(charges)]:
        flags += watched.look(*rest[:cut])
        rest = rest[cut:]
    assert [(flag.scope_id, flag.rule, flag.cost) for flag in flags] == _by_definition(charges, rules)
